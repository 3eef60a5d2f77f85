"""A way to a server that can be cut: what was sent is then lost, and nobody hears that the other side is gone."""

import socket
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import make_url


class Way(ABC):
    """To a server, for somebody who may be elsewhere."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None: ...

    @property
    def inside(self) -> tuple[str, ...]:
        """What stands before a command that is to run where this way begins."""
        return ()

    @abstractmethod
    def url_of(self, url: str) -> str: ...

    @abstractmethod
    def cut(self) -> None:
        """Nothing passes any more, in neither direction, and no connection is closed."""

    @abstractmethod
    def mend(self) -> None:
        """What was on its way arrives late, as it may on a real network."""


class Tunnel(Way):
    """Passes on what comes over TCP to a PostgreSQL's own socket."""

    def __init__(self, server: Path, host: str = "127.0.0.1") -> None:
        self._server = server
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((host, 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._open.set()
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def url_of(self, url: str) -> str:
        known = make_url(url)
        query = {name: value for name, value in known.query.items() if name != "host"}
        host, port = self._listener.getsockname()
        return known.set(host=host, port=port, query=query).render_as_string(hide_password=False)

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        self._open.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(next(self._server.glob(".s.PGSQL.*[0-9]"))))
            self._sockets += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                self._open.wait()
                other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
