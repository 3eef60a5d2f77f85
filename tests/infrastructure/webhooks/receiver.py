"""A receiver on a real port, which misbehaves as it is told."""

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

GIVEN_UP_SECONDS: Final = 60  # for what never comes: nothing is measured by it

Behaviour = int | str | Callable[[], int]  # a status, `close`, `hang`, or what is done before a status is answered


@dataclass(frozen=True)
class Received:
    """A request, and what it was answered: 0 for nothing."""

    id: str
    headers: dict[str, str]
    body: bytes
    status: int


class Receiver:
    """Answers 204, once `behaviours` are used up. A request that hangs does so until `release`."""

    def __init__(self, behaviours: Iterable[Behaviour] = (), headers: dict[str, str] | None = None) -> None:
        self.behaviours = iter(behaviours)
        self.headers = headers or {}
        self.requests: list[Received] = []
        self.hanging = 0
        self._changed = threading.Condition()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    @property
    def accepted(self) -> list[Received]:
        return [each for each in self.requests if 200 <= each.status < 300]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        assert self.wait_for(condition, GIVEN_UP_SECONDS), [each.status for each in self.requests]

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether it has come to this by then."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        with self._changed:
            behaviour = next(self.behaviours, 204)
        if behaviour == "hang":
            self._hang()
        status = behaviour() if callable(behaviour) else 0 if isinstance(behaviour, str) else behaviour
        with self._changed:
            self.requests.append(Received(handler.headers["webhook-id"], dict(handler.headers), body, status))
            self._changed.notify_all()
        if status:
            handler.send_response(status)
            for name, value in self.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "0" if status in (204, 304) else "4")
            handler.end_headers()
            handler.wfile.write(b"" if status in (204, 304) else b"said")

    def _hang(self) -> None:
        with self._changed:
            self.hanging += 1
            self._changed.notify_all()
        self._released.wait()


@contextmanager
def receiving(*behaviours: Behaviour, headers: dict[str, str] | None = None) -> Generator[Receiver]:
    receiver = Receiver(behaviours, headers)
    try:
        yield receiver
    finally:
        receiver.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever sent it does not wait for the answer any more."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) == length:  # else its sender broke it off: a part of a message is none
                receiver.take(self, body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            pass

    return Handler
