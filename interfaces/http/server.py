"""The server's process: told to end, it ends its streams at once, lets commands finish, and is through with success."""

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import uvicorn

from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.http.app import Served, build

GRACE_SECONDS: Final = 15  # for commands under way: a write may wait for its turn that long
QUIET_SECONDS: Final = 1.0  # for connections that nobody uses, or reads from, to close by themselves
LOOK_SECONDS: Final = 0.1
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


class Server(uvicorn.Server):
    """Serves what is to be served, until it is told to end."""

    def __init__(self, served: Served) -> None:
        self._served = served
        super().__init__(
            uvicorn.Config(
                build(served),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

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

    async def _break_those_without_a_request(self) -> None:
        """Whoever does not take what was sent to them would hold up the end."""
        await asyncio.sleep(QUIET_SECONDS)
        while True:
            for connection in list(self.server_state.connections):
                cycle = getattr(connection, "cycle", None)
                if cycle is None or cycle.response_complete:
                    connection.transport.abort()
            await asyncio.sleep(LOOK_SECONDS)
