"""A server as users run it, a worker in another process, and what a test does there beside the browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from milepost.domain import commands as c
from milepost.domain.envelope import Origin
from milepost.domain.events import ErrorDetail, PlannedStep, Progress
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.queries import JobQueries, Row
from milepost.infrastructure.event_store.store import ClaimOffer, JobStore, Wanted
from milepost.infrastructure.event_store.tokens import Role, Tokens
from tests.browser import odd
from tests.scenarios.workshop import eventually

EXECUTABLE: Final = Path(sys.executable).with_name("milepost")
ANN: Final = Origin("ann@desk", "cli")
WIDE: Final = 10_000
PARKED: Final = "parked"  # a queue that the worker does not take


class Site:
    """One event store. Each test has a namespace of its own in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(odd.__file__, folder / "odd.py")
        (folder / "milepost.toml").write_text('job_types = ["odd"]\n')
        self.database_url = f"sqlite:///{folder / 'jobs.sqlite'}"
        self.store = JobStore(open_database(self.database_url), RealSurroundings())
        self.queries = JobQueries(self.store.database)
        self._processes: list[subprocess.Popen[bytes]] = []

    # -- processes

    def begin(self, *arguments: str) -> "subprocess.Popen[bytes]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
        ours = {"CONFIG_DIR": str(self.folder), "DATA_DIR": str(self.folder), "URL": self.database_url}
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [EXECUTABLE, *arguments],
                cwd=self.folder,
                env=kept | {f"MILEPOST_{name}": value for name, value in ours.items()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def worker(self) -> None:
        self.begin("worker", "--slots", "2", "--queues", "default")

    def server(self, *options: str, port: int | None = None) -> "Server":
        return Server(self, options, port or free_port())

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.store.database.close()

    # -- what there is

    def token(self, name: str, role: Role, *namespaces: str) -> str:
        """`namespaces`: none for all."""
        tokens = Tokens(self.store.database, self.store.surroundings)
        return tokens.create(name, role, namespaces=namespaces or None, created_by="the test")

    def start(self, namespace: str, job_type: str = "self-test", *, reason: str = "", **more: Any) -> str:
        """Accepted; parked unless it says in which queue it waits."""
        more = {"queue": PARKED, **more}
        command = c.StartJob(namespace, job_type, more.pop("request", {}), more.pop("details", ""), **more)
        return str(self.store.start(command, Origin(ANN.actor, ANN.source, reason))[0].id)

    def change(self, namespace: str, job_id: str, command: c.OperatorCommand, reason: str = "") -> None:
        origin = Origin(ANN.actor, ANN.source, reason)
        self.store.execute(namespace, UUID(job_id), lambda _: command, origin)

    def row(self, namespace: str, job_id: str) -> Row:
        return self.queries.job(namespace, job_id)

    def comes_to(self, namespace: str, job_id: str, *statuses: str) -> None:
        eventually(lambda: self.row(namespace, job_id)["status"] in statuses, f"{job_id} is one of {statuses}")

    def events(self, job_id: str) -> list[str]:
        return [type(each.event).__name__ for each in self.store.history(UUID(job_id))]

    def wide_job(self, namespace: str, steps: int = WIDE) -> str:
        """A job of many steps whose worker is busy with the last tenth; one in 500 has failed."""
        job_id = self.start(namespace, request={"steps": steps}, details=f"{steps:,} steps", tags=("wide",))
        job = self.store.claim(
            Wanted("host:1:abc", {"self-test": ClaimOffer()}, only=UUID(job_id)), 3600.0, Origin("host:1:abc", "worker")
        )
        assert job is not None
        planned = tuple(PlannedStep(name=f"step-{number + 1}") for number in range(steps))
        failure = ErrorDetail(type="builtins.ValueError", message="no such aircraft", traceback="Traceback: N14228")
        for first in range(0, steps * 9 // 10, 500):
            batch = Batch(job, Origin("host:1:abc", "worker"), self.store.surroundings)
            if first == 0:
                batch.do(c.PlanSteps(job.claim, 0, planned))
                batch.do(c.PrepareJob(job.claim))
            for step in range(first, min(first + 500, steps * 9 // 10)):
                batch.do(c.StartStep(job.claim, step))
                if step % 500 == 7:
                    batch.do(c.ReportFailure(job.claim, step, 1, 0.1, failure))
                else:
                    batch.do(c.ReportSuccess(job.claim, step, 1, 0.1, Progress(done=10, total=10, unit="items")))
            job = self.store.append(batch)
        return job_id


class Server:
    """`milepost serve` without a worker, on a port that stays its own when it is started again."""

    def __init__(self, site: Site, options: tuple[str, ...], port: int) -> None:
        self._site, self._options, self.port = site, options, port
        self.url = f"http://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        self._process = self._site.begin("serve", "--no-worker", "--port", str(self.port), *self._options)
        eventually(self._answers, f"the server at {self.url} answers")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def page(self, namespace: str, path: str = "") -> str:
        return f"{self.url}/#/default/{namespace}{path}"

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._site.folder / "serve.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
