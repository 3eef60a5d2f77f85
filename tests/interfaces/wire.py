"""A way to a server on which answers can be lost and connections cut."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Wire:
    """Passes on what comes to `url`; `token` is what the server asks for.

    The next `answers_lost` connections end when their answer begins.
    """

    def __init__(self, server: str, token: str) -> None:
        self.token = token
        parts = urlsplit(server)
        self._server = (parts.hostname, parts.port)
        self.answers_lost = 0
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._turn = threading.Lock()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        _end(self._listener)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End all connections, wherever they are."""
        with self._turn:
            for each in self._sockets:
                _end(each)
                each.close()
            self._sockets = []

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._server)
                with self._turn:
                    self.connections += 1
                    self._sockets += [near, far]
                threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        for each in (one, other):
            _end(each)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            first = far.recv(65_536)
            if self.answers_lost:
                self.answers_lost -= 1
                _end(near)
                return
            near.sendall(first)
        self._pass_on(far, near)


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
