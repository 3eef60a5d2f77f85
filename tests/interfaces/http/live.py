"""A real server on a real port, in a thread of this process, and clients that listen to its streams."""

import json
import socket
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx

from milepost.domain.commands import OperatorCommand, StartJob, StopJob
from milepost.domain.envelope import Origin
from milepost.domain.events import Json
from milepost.domain.job import Job
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.event_store.tokens import Tokens
from milepost.infrastructure.settings import resolve
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.http.app import Served
from milepost.interfaces.http.server import Server, listening

PATIENCE_SECONDS: Final = 60.0  # until a test believes that something will never come: nothing is measured
SOMEBODY: Final = Origin("ann@desk", "cli")


class LiveServer:
    """Serves an event store. What happens in it is done beside the server, as by other processes."""

    def __init__(self, url: str, folder: Path, *, open_to_all_here: bool = True) -> None:
        self.url = url
        self.store = JobStore(open_database(url), RealSurroundings())
        environ = {"MILEPOST_URL": url, "MILEPOST_CONFIG_DIR": str(folder)}
        self._app = Application(resolve(environ=environ, folder=folder))
        self.served = Served(self._app, open_to_all_here=open_to_all_here)
        self.server = Server(self.served)
        self._socket = listening("127.0.0.1", 0)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self.server.run, args=([self._socket],), name="live-server")
        self._thread.start()

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.store.database, self.store.surroundings)

    def jobs_of(self, namespace: str) -> str:
        return f"http://127.0.0.1:{self.port}/api/event-stores/default/namespaces/{namespace}/jobs"

    def start(self, namespace: str, request: dict[str, Json] | None = None) -> Job:
        return self.store.start(StartJob(namespace, "self-test", request or {}), SOMEBODY)[0]

    def stop(self, job: Job) -> None:
        self.execute(job, StopJob(worker_alive=False))

    def execute(self, job: Job, command: OperatorCommand) -> None:
        self.store.execute(job.facts.namespace, job.id, lambda _: command, SOMEBODY)

    def end(self) -> None:
        """Tell it to end, and wait until it has."""
        self.server.should_exit = True
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the server does not end"

    def close(self) -> None:
        self.end()
        self._app.close()
        self.store.database.close()


@contextmanager
def live_server(url: str, folder: Path, *, open_to_all_here: bool = True) -> Generator[LiveServer]:
    server = LiveServer(url, folder, open_to_all_here=open_to_all_here)
    try:
        yield server
    finally:
        server.close()


@dataclass(frozen=True)
class Heard:
    """A block of a stream."""

    id: str | None
    event: str | None
    data: Any
    comment: str | None

    @classmethod
    def of(cls, block: str) -> "Heard":
        lines = [line.partition(": ") for line in block.split("\n")]
        fields = {name: value for name, _, value in lines if name}
        said = next((value for name, _, value in lines if not name), None)
        data = fields.get("data")
        return cls(fields.get("id"), fields.get("event"), None if data is None else json.loads(data), said)


class Listening:
    """A client of a stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._blocks = self._split()
        self.last_id: str | None = None

    def _split(self) -> Iterator[str]:
        rest = ""
        for text in self.response.iter_text():
            *blocks, rest = (rest + text).split("\n\n")
            yield from blocks

    def __iter__(self) -> Iterator[Heard]:
        """Every block, to the stream's end."""
        for block in self._blocks:
            heard = Heard.of(block)
            self.last_id = heard.id or self.last_id
            yield heard

    def begin(self) -> str:
        """The id that it begins with."""
        return next(heard.id for heard in self if heard.id is not None)

    def events(self) -> Iterator[Heard]:
        return (heard for heard in self if heard.event is not None)

    def next(self, count: int) -> list[Heard]:
        """So many events, once they have come."""
        events = self.events()
        return [next(events) for _ in range(count)]

    def until(self, *ids: str) -> list[str]:
        """The ids of events, until all of these have come."""
        missing, heard = set(ids), list[str]()
        for each in self.events():
            assert each.id is not None
            heard.append(each.id)
            missing.discard(each.id)
            if not missing:
                break
        return heard


@contextmanager
def listening_to(
    jobs: str, job: UUID | str | None = None, after: str | None = None, **headers: str
) -> Generator[Listening]:
    """A stream of a namespace's jobs, or of one."""
    url = f"{jobs}/stream" if job is None else f"{jobs}/{job}/stream"
    sent = headers if after is None else {"Last-Event-ID": after, **headers}
    with httpx.stream("GET", url, headers=sent, timeout=PATIENCE_SECONDS) as response:
        assert response.status_code == 200, response.read()
        yield Listening(response)


def ids(heard: Sequence[Heard]) -> list[str | None]:
    return [each.id for each in heard]


class SilentClient:
    """A client that asks for a stream and does not read it until it is told to."""

    def __init__(self, server: LiveServer, namespace: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(("127.0.0.1", server.port))
        path = httpx.URL(f"{server.jobs_of(namespace)}/stream").path
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
        self.heard = b""
        while b"id: " not in self.heard:
            self.heard += self._socket.recv(4_096)

    def read_to_the_end(self) -> bytes:
        """All that is still told. The connection may break."""
        try:
            while not self.heard.endswith(b"\r\n0\r\n\r\n") and (more := self._socket.recv(1_000_000)):
                self.heard += more
        except ConnectionError:
            pass
        return self.heard

    def close(self) -> None:
        self._socket.close()
