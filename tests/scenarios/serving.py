"""`milepost serve` in a process of its own, and commands that are sent to it."""

import http.client
import json
import re
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.scenarios.workshop import EXECUTABLE, PATIENCE_SECONDS, Workshop, eventually

JOBS: Final = "/api/event-stores/default/namespaces/Default/jobs"
CHANGES: Final = ("stop", "resume", "stop", "cancel")


class ServerProcess:
    """One server on an event store, at a port of its own."""

    def __init__(self, workshop: Workshop, *options: str, port: int = 0) -> None:
        self._log = Path(workshop.folder) / f"server-{next(_numbers)}.log"
        with self._log.open("w") as says:
            self.process = subprocess.Popen(
                [EXECUTABLE, "serve", "--no-worker", "--port", str(port), *options],
                cwd=workshop.folder,
                env=workshop.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=says,
            )
        self.port = int(eventually(self._port, "the server listens"))

    def _port(self) -> str | None:
        assert self.process.poll() is None, self.says
        found = re.search(r"at http://127\.0\.0\.1:(\d+);", self.says)
        return found[1] if found else None

    @property
    def says(self) -> str:
        return self._log.read_text()

    @property
    def resident(self) -> float:
        """Its memory now, in megabytes."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found[1]) / 1000

    @property
    def cpu(self) -> float:
        """Seconds that it has computed."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """The document that is answered."""
        with connected(self.port) as connection:
            return answered(connection, method, path, body, headers)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def end(self, number: int) -> int:
        """Its exit code, once it was told to end by a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


_numbers: Final = count(1)


@contextmanager
def serving(workshop: Workshop, *options: str, port: int = 0) -> Generator[ServerProcess]:
    server = ServerProcess(workshop, *options, port=port)
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def connected(port: int) -> Generator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def answered(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> Any:
    """The document; anything but success is an error."""
    text = None if body is None else json.dumps(body)
    kind = {} if text is None else {"Content-Type": "application/json"}
    connection.request(method, path, text, {**kind, **(headers or {})})
    response = connection.getresponse()
    found = json.loads(response.read())
    assert response.status < 300, found
    return found


@dataclass
class Commanders:
    """Connections that together send so many commands a second, at the times that they are due."""

    port: int
    per_second: float
    seconds: float
    connections: int = 8
    latencies: list[float] = field(default_factory=list[float])  # from when it was due, not from when it was sent
    errors: list[str] = field(default_factory=list[str])

    def run(self) -> None:
        """Until all is answered."""
        self._begun = time.monotonic() + 0.1
        self._due = count()
        threads = [threading.Thread(target=self._send) for _ in range(self.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send(self) -> None:
        try:
            with connected(self.port) as connection:
                while True:
                    job = self._sent(connection, JOBS, {"type": "self-test"})
                    for change in CHANGES:
                        self._sent(connection, f"{JOBS}/{job['id']}/{change}", {})
        except _Over:
            pass
        except Exception as error:  # noqa: BLE001 - told by the test
            self.errors.append(repr(error))

    def _sent(self, connection: http.client.HTTPConnection, path: str, body: Any) -> Any:
        due = next(self._due) / self.per_second
        if due > self.seconds:
            raise _Over
        time.sleep(max(0.0, self._begun + due - time.monotonic()))
        answer = answered(connection, "POST", path, body)
        self.latencies.append(time.monotonic() - self._begun - due)
        return answer


class _Over(Exception):
    """The time is."""
