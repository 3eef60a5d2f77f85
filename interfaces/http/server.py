"""The server's process: told to end, it ends its streams at once, lets commands finish, and is through with success."""

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn

from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.http.app import Served, build
from milepost.interfaces.http.heads import BoundedHeads

GRACE_SECONDS: Final = 15  # for commands under way: a write may wait for its turn that long
QUIET_SECONDS: Final = 1.0  # for connections that nobody uses, or reads from, to close by themselves
LOOK_SECONDS: Final = 0.1
IDLE_SECONDS: Final = 30  # that a connection may be kept without a request
MOST_CONNECTIONS: Final = 4_000
BACKLOG: Final = 2_048  # connections that wait to be accepted
SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any that is free. Raises Told."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # there it would let others take the port
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(BACKLOG)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise Told(
            INVALID, f"Cannot listen at {host}:{port}: {error.strerror}", "Give another --host or --port"
        ) from error
    return found


def url_of(listener: socket.socket) -> str:
    """Where it listens, as a client writes it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Serves what is to be served, until it is told to end."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._leaving: Callable[[], None] = lambda: None
        super().__init__(
            uvicorn.Config(
                build(served),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # whoever asks could write X-Forwarded-For
                http=BoundedHeads,
                ws="none",
                lifespan="off",
                timeout_keep_alive=IDLE_SECONDS,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    def when_leaving(self, act: Callable[[], None]) -> None:
        """What is to be done as soon as it is told to end by a signal."""
        self._leaving = act

    def leave(self) -> None:
        """Tell it to end. From any thread."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._leaving()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn does, which then raises them again: to have been told to end is no failure."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn waits for all connections: those of streams would never close by themselves."""
        self._served.end_streams()
        breaking = asyncio.ensure_future(self._break_those_without_a_request())
        try:
            await super().shutdown(sockets)
        finally:
            breaking.cancel()
            self._served.close()

    async def _break_those_without_a_request(self) -> None:
        """Whoever does not take what was sent to them would hold up the end."""
        await asyncio.sleep(QUIET_SECONDS)
        while True:
            for connection in list(self.server_state.connections):
                cycle = getattr(connection, "cycle", None)
                if cycle is None or cycle.response_complete:
                    connection.transport.abort()
            await asyncio.sleep(LOOK_SECONDS)
