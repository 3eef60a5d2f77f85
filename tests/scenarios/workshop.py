"""A place for one test: an event store in a file, workers as real processes beside it, and what both leave behind."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import sqlalchemy as sa

from milepost.domain import events as e
from milepost.domain.commands import StartJob
from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.job import Job
from milepost.domain.state_machine import AT_REST
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store import schema
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.store import JobStore
from tests.length import FULL as FULL  # so that scenarios have all from here
from tests.scenarios.noted import HOLD, Planned
from tests.simulation.invariants import check_job

EXECUTABLE: Final = Path(sys.executable).with_name("milepost")
PATIENCE_SECONDS: Final = 900 if FULL else 120  # until a test believes that it will never happen: nothing is measured
LOOK_SECONDS: Final = 0.01

Found = TypeVar("Found")


def eventually(condition: Callable[[], Found | None], what: str) -> Found:
    """What `condition` answers as soon as that is something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"within {PATIENCE_SECONDS} s it never came to this: {what}"
        time.sleep(LOOK_SECONDS)


def tell(line: str) -> None:
    """A line that pytest shows when the test fails, and with -rP also when it passes."""
    sys.stdout.write(f"{line}\n")


def dice() -> random.Random:
    """Random, and the same again with the seed that it tells: MILEPOST_SEED=…"""
    seed = os.environ.get("MILEPOST_SEED") or str(random.SystemRandom().randrange(10**6))
    tell(f"MILEPOST_SEED={seed}")
    return random.Random(seed)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Row(NamedTuple):
    """The job as the lists show it, in short."""

    status: str
    version: int
    worker: str | None
    succeeded: int
    running: int
    items: float


class Note(NamedTuple):
    """A line that a step wrote outside of Milepost, see noted.py."""

    job: str
    step: int
    attempt: int
    pid: int
    what: str  # "begin", a number of an item, "end"


class Entry(NamedTuple):
    """A row that a step wrote in the event store's own database, see noted.py."""

    pid: int
    step: int
    item: int


class WorkerProcess:
    """`milepost worker` in a process of its own, and what it says of itself."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._log = log

    @property
    def says(self) -> str:
        return self._log.read_text()

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP, and it really stands still: a system call that it is in comes to its end first."""
        self.send(signal.SIGSTOP)
        eventually(
            lambda: os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG) is not None,
            f"worker {self.pid} is frozen",
        )

    def wake(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, and nothing of it is left."""
        self.process.kill()
        self.process.wait()

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(PATIENCE_SECONDS)

    def wrote(self, recorded: RecordedEvent) -> bool:
        return recorded.origin.source == "worker" and recorded.origin.actor.split(":")[-2] == str(self.pid)


class Workshop:
    """One event store. Everything in it is done through the executable; only looks are taken in this process."""

    def __init__(self, folder: Path, name: str = "jobs", url: str | None = None, inside: tuple[str, ...] = ()) -> None:
        """`url`: of an event store on a server; in a file of the folder where it is not given. `inside`: what stands
        before the commands of its workers."""
        self._inside = inside
        self.folder = folder
        self.file = folder / f"{name}.sqlite"
        self.url = url or f"sqlite:///{self.file}"
        self.diary = folder / "diary"
        self._processes: list[subprocess.Popen[str]] = []
        self._workers = 0

    @cached_property
    def store(self) -> JobStore:
        return JobStore(open_database(self.url), RealSurroundings())

    @cached_property
    def environment(self) -> dict[str, str]:
        # Unmeasured: measuring makes a process twice as slow, and other tests pass through all that it does.
        not_kept = ("MILEPOST_", "COVERAGE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(not_kept)}
        ours = {"CONFIG_DIR": str(self.folder), "DATA_DIR": str(self.folder), "URL": self.url, "OUTPUT": "json"}
        return kept | {f"MILEPOST_{name}": value for name, value in ours.items()} | {"NO_COLOR": "1"}

    # -- what users do

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """A command under way."""
        process = subprocess.Popen(
            [EXECUTABLE, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    @staticmethod
    def end(process: "subprocess.Popen[str]") -> Done:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        return Done(process.returncode, out, err)

    def milepost(self, *arguments: str) -> Done:
        return self.end(self.begin(*arguments))

    def start(self, job_type: str, **request: object) -> UUID:
        done = self.milepost("jobs", "start", job_type, "--request", json.dumps(request), "-q", "-o", "plain")
        assert done.code == 0, done
        return UUID(done.out.strip())

    def note_down(self, job_type: str, **request: object) -> UUID:
        """Start a job whose steps write in this workshop's diary."""
        return self.start(job_type, diary=str(self.diary), **request)

    def hold(self) -> None:
        """From now on no such job ends before it is let go, however slow this test or fast its worker is."""
        (self.folder / HOLD).touch()

    def let_go(self) -> None:
        (self.folder / HOLD).unlink()

    def enqueue(self, job_type: str, **request: object) -> UUID:
        """The same without a process for each, where there are many."""
        order = StartJob("Default", job_type, {"diary": str(self.diary), **request}, policy=Planned.policy)
        return self.store.start(order, Origin("somebody@somewhere", "cli"))[0].id

    def worker(self, *options: str, lease_seconds: float | None = 1.0) -> WorkerProcess:
        """With the default lease where `lease_seconds` is None."""
        self._workers += 1
        log = self.folder / f"{self.file.stem}-worker-{self._workers}.log"
        lease = () if lease_seconds is None else ("--lease-seconds", str(lease_seconds))
        with log.open("a") as says:
            process = subprocess.Popen(
                [*self._inside, EXECUTABLE, "worker", *lease, *options],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=says,
                text=True,
            )
        self._processes.append(process)
        return WorkerProcess(process, log)

    def freeze(self, worker: WorkerProcess) -> None:
        """Not in a write transaction, in which it would keep everybody waiting: on a server, in none at all."""
        worker.freeze()
        while self.is_locked() if self.url.startswith("sqlite") else self.is_in_use():
            worker.wake()
            worker.freeze()

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        if "store" in self.__dict__:
            self.store.database.close()

    # -- what can be seen

    def row(self, job_id: UUID) -> Row:
        columns = [schema.jobs.c[name] for name in Row._fields]
        with self.store.database.read() as connection:
            return Row(*connection.execute(sa.select(*columns).where(schema.jobs.c.id == str(job_id))).one())

    def until(self, job_id: UUID, condition: Callable[[Row], bool], what: str) -> Row:
        def found() -> Row | None:
            row = self.row(job_id)
            if condition(row):
                return row
            assert row.status not in AT_REST, f"it will never come to this: {what} (job {job_id}: {row})\n{self.said}"
            return None

        return eventually(found, f"{what} (job {job_id})")

    @property
    def said(self) -> str:
        """Everything that its workers said."""
        return "".join(log.read_text() for log in sorted(self.folder.glob("*.log")))

    def until_status(self, job_id: UUID, status: str) -> Row:
        return self.until(job_id, lambda row: row.status == status, status)

    def is_locked(self) -> bool:
        """Whether somebody is in the middle of a write transaction."""
        probe = sqlite3.connect(self.file, timeout=0, isolation_level=None)
        try:
            probe.execute("BEGIN IMMEDIATE")
            probe.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
        finally:
            probe.close()
        return False

    def is_in_use(self) -> bool:
        """Whether somebody is in the middle of a transaction, in the database on a server that it has alone."""
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        )
        with self.store.database.read() as connection:
            return bool(connection.exec_driver_sql(others).scalar_one())

    def until_its_lease_is_over(self, job_id: UUID) -> None:
        def over() -> bool:
            found = schema.leases.c.job_id == str(job_id)
            with self.store.database.read() as connection:
                until = connection.scalar(sa.select(schema.leases.c.expires_at).where(found))
            return until is None or until < time.time()

        eventually(over, f"the lease of job {job_id} is over")

    def history(self, job_id: UUID) -> list[RecordedEvent]:
        return list(self.store.history(job_id))

    def checked(self, job_id: UUID) -> Job:
        """The job, once its history and its rows were found to hold what must hold of all."""
        return check_job(self.store, job_id)

    def notes(self, job_id: UUID | None = None) -> list[Note]:
        """What steps wrote in the diary, of this job or of all."""
        notes = [_note(line) for line in self.diary.read_text().splitlines()]
        return [note for note in notes if job_id is None or note.job == str(job_id)]

    def ledger(self, job_id: UUID) -> list[Entry]:
        """What steps wrote in transactions, in the order in which they committed."""
        with self.store.database.read() as connection:
            found = connection.exec_driver_sql(
                "SELECT pid, step, item FROM ledger WHERE job = ? ORDER BY number", (str(job_id),)
            )
            return [Entry(*row) for row in found]


def _note(line: str) -> Note:
    job, step, attempt, pid, what = line.split()
    return Note(job, int(step), int(attempt), int(pid), what)


def claims(history: Iterable[RecordedEvent]) -> list[int]:
    return [recorded.event.claim for recorded in history if isinstance(recorded.event, e.JobClaimed)]


def of_kind(history: Iterable[RecordedEvent], kind: type[e.DomainEvent]) -> list[RecordedEvent]:
    return [recorded for recorded in history if isinstance(recorded.event, kind)]


def assert_no_succeeded_step_ran_again(history: Iterable[RecordedEvent], notes: Iterable[Note]) -> None:
    """By the steps' own testimony: no attempt follows the one that succeeded, and none was made twice."""
    notes = list(notes)
    succeeded = {
        recorded.event.step: recorded.event.attempt
        for recorded in history
        if isinstance(recorded.event, e.StepSucceeded)
    }
    begun = Counter((note.step, note.attempt) for note in notes if note.what == "begin")
    assert set(begun.values()) <= {1}, f"an attempt was made twice: {begun.most_common(3)}"
    again = [note for note in notes if note.attempt > succeeded.get(note.step, note.attempt)]
    assert not again, f"steps ran after they had succeeded: {again[:3]}"
