"""Which workers live, and why jobs wait although they do."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.lease_time import lease_holds
from milepost.infrastructure.event_store.read_models import upsert
from milepost.infrastructure.event_store.schema import jobs, leases, refusals, workers

KEPT_SECONDS: Final = 3_600.0  # how long a worker that said nothing more is remembered
NOTED_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker as it presents itself. `queues`: those that it takes jobs from (None: from all)."""

    name: str
    types: tuple[str, ...]
    slots: int
    started_at: datetime
    queues: tuple[str, ...] | None = None
    host: str | None = None
    pid: int | None = None


class Workers:
    """The workers of one event store."""

    def __init__(self, database: Database, surroundings: Surroundings) -> None:
        self._database = database
        self._surroundings = surroundings

    def register(self, worker: WorkerRecord, lease_seconds: float) -> None:
        """Say that it lives; forget those that have long been silent."""
        started_at = worker.started_at.isoformat(timespec="microseconds")
        types = json.dumps(sorted(worker.types))
        queues = None if worker.queues is None else json.dumps(sorted(worker.queues))
        with self._database.write() as connection:
            now = self._surroundings.now().timestamp()
            lives = (now, now + lease_seconds)
            row = (worker.name, types, worker.slots, started_at, *lives, queues, worker.host, worker.pid)
            silent = connection.scalars(sa.select(workers.c.name).where(workers.c.expires_at < now - KEPT_SECONDS))
            for name in silent.all():
                _forget(connection, name)
            connection.exec_driver_sql(upsert(workers, connection.dialect.name), row)

    def deregister(self, name: str) -> None:
        """Say that it ends."""
        with self._database.write() as connection:
            _forget(connection, name)

    def note_refusals(self, worker: str, known_types: Collection[str], queues: Collection[str] | None = None) -> None:
        """Write why jobs of types that the worker does not know wait, in its queues; nothing when nothing is new."""
        with self._database.read() as connection:
            unknown = [name for name in _types_of_live_jobs(connection) if name not in known_types]
            new = self._not_yet_refused(connection, worker, unknown, queues) if unknown else []
        if not new:
            return
        at = self._surroundings.now()
        with self._database.write() as connection:
            for job_id, job_type in new:
                why = f"worker {worker} does not know the job type '{job_type}'"
                note_refusal(connection, UUID(job_id), worker, why, at)

    def _not_yet_refused(
        self, connection: sa.Connection, worker: str, types: list[str], queues: Collection[str] | None
    ) -> list[tuple[str, str]]:
        now = self._surroundings.now().timestamp()
        held = sa.exists().where(leases.c.job_id == jobs.c.id, lease_holds(now))
        known = sa.exists().where(refusals.c.job_id == jobs.c.id, refusals.c.worker == worker)
        waiting = (
            sa.select(jobs.c.id, jobs.c.type)
            .where(jobs.c.live, jobs.c.type.in_(types), ~held, ~known)
            .limit(NOTED_AT_ONCE)
        )
        if queues is not None:
            waiting = waiting.where(jobs.c.queue.in_(queues))
        return [(job_id, job_type) for job_id, job_type in connection.execute(waiting)]

    def note_refusal(self, job_id: UUID, worker: str, why: str) -> None:
        """Write why a worker does not take a job."""
        with self._database.write() as connection:
            note_refusal(connection, job_id, worker, why, self._surroundings.now())


def note_refusal(connection: sa.Connection, job_id: UUID, worker: str, why: str, at: datetime) -> None:
    row = (str(job_id), worker, why, at.isoformat(timespec="microseconds"))
    connection.exec_driver_sql(upsert(refusals, connection.dialect.name), row)


def _types_of_live_jobs(connection: sa.Connection) -> Iterator[str]:
    """One look into the index per type, however many jobs wait."""
    after = ""
    while True:
        found: str | None = connection.scalar(
            sa.select(sa.func.min(jobs.c.type)).where(jobs.c.live, jobs.c.type > after)
        )
        if found is None:
            return
        yield found
        after = found


def _forget(connection: sa.Connection, name: str) -> None:
    connection.execute(refusals.delete().where(refusals.c.worker == name))
    connection.execute(workers.delete().where(workers.c.name == name))
