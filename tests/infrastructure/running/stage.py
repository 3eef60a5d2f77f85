"""What the tests of the runtime stand on: a store, a clock moved by hand, workers that turn until something is so."""

import time
from collections.abc import Callable, Collection, Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.commands import CancelJob, OperatorCommand, ResumeJob, StopJob
from milepost.domain.envelope import Origin
from milepost.domain.events import JobEvent, Json
from milepost.domain.job import Job
from milepost.domain.state_machine import AT_REST, JobStatus
from milepost.infrastructure.clock import uuid7
from milepost.infrastructure.event_store.database import Database, DatabaseUnavailable, open_database
from milepost.infrastructure.event_store.store import Batch, JobStore, Outcome, Situation, UnreadableEvent
from milepost.infrastructure.job_types.job_type import JobType
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.observers.observer import Observer
from milepost.infrastructure.running.executors import ProcessExecutor, StepExecutor, ThreadExecutor
from milepost.infrastructure.running.perform import Environment
from milepost.infrastructure.running.worker import Worker, WorkerSettings
from tests.length import FULL

NAMESPACE: Final = "Default"
OPERATOR: Final = Origin("ada@host", "test")
PATIENCE_SECONDS: Final = 1_800.0 if FULL else 60.0  # on a busy machine others have their turn late


class HandClock:
    """Time stands still until a test moves it; chance is none."""

    def __init__(self) -> None:
        self._at = datetime(2026, 1, 1, tzinfo=UTC)
        self._tick = 0.0
        self._random = Random(7)
        self._ids = 0

    def now(self) -> datetime:
        return self._at

    def monotonic(self) -> float:
        return self._tick

    def pass_time(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)
        self._tick += seconds

    def set_clock(self, seconds: float) -> None:
        """Forward or back, by somebody's hand: no time has passed."""
        self._at += timedelta(seconds=seconds)

    def new_id(self) -> UUID:
        self._ids += 1
        return uuid7(int(self._at.timestamp() * 1000) + self._ids, self._random.getrandbits(74))

    def chance(self) -> float:
        return 0.0


class FaultyDatabase(Database):
    """Writes fail when told to: `before` anything is written, or `after` the commit, so that nobody knows of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.faults: list[str] = []
        self.step_faults: list[str] = []  # the same for what steps write in transactions of their own
        self.broken = False
        self._real = open_database(url)
        self.engine, self.schema, self.in_memory = self._real.engine, self._real.schema, self._real.in_memory

    def read(self) -> AbstractContextManager[sa.Connection]:
        return self._real.read()

    def trouble(self, error: Exception) -> Exception | None:
        return self._real.trouble(error)

    def change_marker(self) -> int:
        return self._real.change_marker()

    def close(self) -> None:
        self._real.close()

    def write(self) -> AbstractContextManager[sa.Connection]:
        return self._faulty(self._real.write, self.faults)

    def append_transaction(self) -> AbstractContextManager[sa.Connection]:
        return self._faulty(self._real.append_transaction, self.faults)

    def user_transaction(self, *, read_committed: bool = False) -> AbstractContextManager[sa.Connection]:
        return self._faulty(partial(self._real.user_transaction, read_committed=read_committed), self.step_faults)

    def wait_at_most(self, connection: sa.Connection, seconds: float | None) -> None:
        self._real.wait_at_most(connection, seconds)

    def guard(self, connection: sa.Connection) -> None:
        self._real.guard(connection)

    @contextmanager
    def _faulty(
        self, transaction: Callable[[], AbstractContextManager[sa.Connection]], faults: list[str]
    ) -> Generator[sa.Connection]:
        fault = faults.pop(0) if faults else ""
        if self.broken or fault == "before":
            raise DatabaseUnavailable(self.url, "disk full", "Make room.")
        with transaction() as connection:
            yield connection
        if fault == "after":
            raise DatabaseUnavailable(self.url, "the answer was lost", "")


class FaultyStore(JobStore):
    """What others wrote cannot be read: for a while, or of one job never again."""

    deaf = False
    unreadable: UUID | None = None
    meanwhile: Callable[[], object] | None = None  # what somebody does just before the next append

    def append(self, batch: Batch) -> Job:
        act = self.meanwhile
        if act is not None and batch.recorded:
            self.meanwhile = None
            act()
        return super().append(batch)

    def versions(self, job_ids: Collection[UUID]) -> dict[UUID, int]:
        if self.deaf:
            raise DatabaseUnavailable(self.database.url, "locked", "")
        return super().versions(job_ids)

    def catch_up(self, job: Job) -> Job:
        if job.id == self.unreadable:
            raise UnreadableEvent(job.id, job.version + 1, "milepost:JobPaused", "it is of a newer version")
        return super().catch_up(job)


class Stage:
    """One event store and whoever acts on it."""

    def __init__(self, url: str, *types: type[JobType[Any]] | type[Observer]) -> None:
        self.url = url
        self.database = FaultyDatabase(self.url)
        self.clock = HandClock()
        self.store = FaultyStore(self.database, self.clock)
        self.types = JobTypes.load()
        self._executors: list[StepExecutor] = []
        self.know(*types)

    def know(self, *types: type[JobType[Any]] | type[Observer]) -> None:
        """The types that workers made from now on know."""
        self.types = JobTypes(types)

    def worker(self, slots: int = 2, *, only: UUID | None = None, max_jobs: int = 16, **more: Any) -> Worker:
        return self.worker_on(
            ThreadExecutor(slots, Environment(self.types, self.database, given_surroundings=self.clock)),
            only,
            max_jobs,
            **more,
        )

    def process_worker(self, slots: int = 1) -> Worker:
        return self.worker_on(ProcessExecutor(slots, self.types.modules, self.url), None, 16)

    def worker_on(
        self, executor: StepExecutor, only: UUID | None, max_jobs: int, name: str | None = None, **more: Any
    ) -> Worker:
        self._executors.append(executor)
        return Worker(
            store=self.store,
            job_types=self.types,
            executor=executor,
            surroundings=self.clock,
            settings=WorkerSettings(max_jobs=max_jobs, **more),
            only=only,
            name=name,
        )

    def close(self) -> None:
        for executor in self._executors:
            executor.close()
        self.database.close()

    # The operator

    def start(self, name: str, request: dict[str, Json] | None = None, namespace: str = NAMESPACE) -> UUID:
        job, _ = self.store.start(self.types.start_command(name, request or {}, namespace=namespace), OPERATOR)
        return job.id

    def stop(self, job_id: UUID) -> Outcome:
        return self._execute(job_id, lambda now: StopJob(now.worker_alive, now.reached))

    def resume(self, job_id: UUID) -> Outcome:
        return self._execute(job_id, lambda _: ResumeJob())

    def cancel(self, job_id: UUID) -> Outcome:
        return self._execute(job_id, lambda now: CancelJob(now.worker_alive, now.reached))

    def _execute(self, job_id: UUID, make: Callable[[Situation], OperatorCommand]) -> Outcome:
        return self.store.execute(self.job(job_id).facts.namespace, job_id, make, OPERATOR)

    # Whoever looks on

    def job(self, job_id: UUID) -> Job:
        return self.store.load(job_id)

    def status(self, job_id: UUID) -> JobStatus | None:
        return self.job(job_id).status

    def at_rest(self, job_id: UUID) -> bool:
        return self.status(job_id) in AT_REST

    def events(self, job_id: UUID) -> list[JobEvent]:
        return [recorded.event for recorded in self.store.history(job_id)]

    def happened(self, job_id: UUID) -> list[str]:
        return [type(event).__name__ for event in self.events(job_id)]

    def finish(self, job_id: UUID, *workers: Worker) -> JobStatus | None:
        """Turn until the job is at rest, and let go of; its status then."""
        turn_until(lambda: not any(holds(worker, job_id) for worker in workers) and self.at_rest(job_id), *workers)
        return self.status(job_id)


def holds(worker: Worker, job_id: UUID) -> bool:
    return any(job.id == job_id for job in worker.jobs)


def turn_until(condition: Callable[[], bool], *workers: Worker) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for worker in workers:
            worker.turn()
        if condition():
            return
        time.sleep(0.001)  # the steps' threads need the processor, too
    raise AssertionError(f"it did not come to pass within {PATIENCE_SECONDS:g} s")
