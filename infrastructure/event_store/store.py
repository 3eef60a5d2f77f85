"""The job store: histories in, histories out, read models changed in the events' own transaction."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.persistence import IntegrityError
from sqlalchemy.dialects.sqlite import insert

from milepost.domain.commands import ClaimJob, JobCommand, StartJob
from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.errors import VersionMismatch
from milepost.domain.events import JobEvent, Progress
from milepost.domain.job import Job, evolve
from milepost.domain.state_machine import LIVE
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.codec import decode, encode
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.recorder import cursor_of, recorder_for
from milepost.infrastructure.event_store.schema import (
    checkpoints,
    commands,
    jobs,
    leases,
    prepare,
    status_changes,
    steps,
)

PAGE: Final = 5_000
LIVE_NAMES: Final = tuple(sorted(LIVE))


class JobNotFound(Exception):
    """No job of that id in that namespace."""

    def __init__(self, job_id: UUID | str, namespace: str) -> None:
        self.job_id, self.namespace = job_id, namespace
        super().__init__(f"Job {job_id} not found in namespace {namespace}")


class StreamMoved(Exception):
    """Somebody else appended to the stream first: read what is new, and decide again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did: the events it appended (none: it was so already) and the job after."""

    events: tuple[JobEvent, ...]
    before: Job
    job: Job

    @property
    def changed(self) -> bool:
        return bool(self.events)


class JobStore:
    """Jobs of one event store, all namespaces."""

    def __init__(self, database: Database, surroundings: Surroundings) -> None:
        prepare(database)
        self.database = database
        self.surroundings = surroundings
        self._recorder = recorder_for(database, "milepost_events")

    # -- reading

    def history(self, job_id: UUID, after: int = 0) -> Iterator[RecordedEvent]:
        """The job's events with a version above `after`, in order."""
        while True:
            page = self._recorder.select_events(job_id, gt=after, limit=PAGE)
            for stored in page:
                yield decode(stored)
            if len(page) < PAGE:
                return
            after = page[-1].originator_version

    def load(self, job_id: UUID) -> Job:
        """The fold of the job's history; version 0 where there is none."""
        return self.catch_up(Job(job_id))

    def catch_up(self, job: Job) -> Job:
        """The job with whatever was appended since."""
        for recorded in self.history(job.id, job.version):
            job = evolve(job, recorded)
        return job

    # -- writing

    def append(self, batch: Batch) -> Job:
        """All its events and rows, or none. Raises StreamMoved when the stream has gone on."""
        if not batch.recorded:
            return batch.after
        try:
            with self.database.write() as connection:
                self._write(connection, batch)
        except IntegrityError as error:
            raise StreamMoved from error
        except sa.exc.IntegrityError as error:
            raise StreamMoved from error
        return batch.after

    def _write(self, connection: sa.Connection, batch: Batch) -> None:
        try:
            self._recorder._insert_events(cursor_of(connection), [encode(recorded) for recorded in batch.recorded])
        except Exception as error:
            if "UNIQUE" in str(error):
                raise IntegrityError(str(error)) from error
            raise
        job_id = str(batch.after.id)
        if batch.resets_steps and batch.before.total:
            connection.execute(steps.delete().where(steps.c.job_id == job_id))
        connection.execute(_UPSERT_JOB, batch.job_rows())
        if rows := batch.step_rows():
            connection.execute(_UPSERT_STEP, rows)
        if rows := batch.status_rows():
            connection.execute(status_changes.insert(), rows)
        if batch.after.worker is None:
            connection.execute(leases.delete().where(leases.c.job_id == job_id))

    def start(self, command: StartJob, origin: Origin, command_id: str | None = None) -> tuple[Job, bool]:
        """The job, and whether it is new: not so when the command or the key is that of a live one."""
        batch = Batch(Job(self.surroundings.new_id()), origin, self.surroundings)
        batch.do(command)
        with self.database.write() as connection:
            known = self._same(connection, command, command_id)
            if known is None:
                self._write(connection, batch)
                if command_id:
                    row = {"namespace": command.namespace, "command_id": command_id}
                    connection.execute(commands.insert(), {**row, "job_id": str(batch.after.id)})
        return (batch.after, True) if known is None else (self.load(known), False)

    def _same(self, connection: sa.Connection, command: StartJob, command_id: str | None) -> UUID | None:
        found: str | None = None
        if command_id:
            found = connection.scalar(
                sa.select(commands.c.job_id).where(
                    commands.c.namespace == command.namespace, commands.c.command_id == command_id
                )
            )
        if found is None and command.key is not None:
            found = connection.scalar(
                sa.select(jobs.c.id).where(
                    jobs.c.namespace == command.namespace,
                    jobs.c.type == command.job_type,
                    jobs.c.key == command.key,
                    jobs.c.status.in_(LIVE_NAMES),
                )
            )
        return UUID(found) if found else None

    def execute(
        self,
        namespace: str,
        job_id: UUID,
        command: Callable[[bool], JobCommand],
        origin: Origin,
        expected_version: int | None = None,
    ) -> Outcome:
        """Decide an operator's command in one transaction; `command` is told if a worker is alive.

        Raises JobNotFound, VersionMismatch, or what the domain refuses it with.
        """
        known = self.load(job_id)
        with self.database.write() as connection:
            fresh = self._recorder_tail(connection, known)
            if fresh.status is None or fresh.facts.namespace != namespace:
                raise JobNotFound(job_id, namespace)
            if expected_version is not None and expected_version != fresh.version:
                raise VersionMismatch(job_id, expected_version, fresh.version)
            batch = Batch(fresh, origin, self.surroundings)
            events = batch.do(command(self._lease_alive(connection, job_id)))
            if events:
                self._write(connection, batch)
        return Outcome(tuple(events), fresh, batch.after)

    def _recorder_tail(self, connection: sa.Connection, job: Job) -> Job:
        """What came since the load, read under the write lock so that nobody can come between."""
        rows = connection.exec_driver_sql(
            "SELECT originator_version, topic, state FROM milepost_events"
            " WHERE originator_id=? AND originator_version>? ORDER BY originator_version",
            (job.id.hex, job.version),
        )
        from eventsourcing.persistence import StoredEvent

        for version, topic, state in rows:
            job = evolve(job, decode(StoredEvent(job.id, version, topic, state)))
        return job

    def _lease_alive(self, connection: sa.Connection, job_id: UUID) -> bool:
        expires = connection.scalar(sa.select(leases.c.expires_at).where(leases.c.job_id == str(job_id)))
        return expires is not None and expires > self.surroundings.now().timestamp()

    # -- claims and leases

    def claim(self, worker: str, types: dict[str, int | None], lease_seconds: float, origin: Origin) -> Job | None:
        """Take the oldest job that waits for a worker of these types (type → how many at once)."""
        now = self.surroundings.now().timestamp()
        if not self._candidates(types, now):
            return None
        with self.database.write() as connection:
            for row in self._candidates(types, now, connection):
                job = self._recorder_tail(connection, Job(UUID(row.id)))
                batch = Batch(job, origin, self.surroundings)
                batch.do(ClaimJob(worker))
                self._write(connection, batch)
                lease = {
                    "job_id": row.id,
                    "worker": worker,
                    "claim": batch.after.claim,
                    "type": row.type,
                    "key": row.key,
                    "expires_at": now + lease_seconds,
                }
                connection.execute(_UPSERT_LEASE, lease)
                return batch.after
        return None

    def _candidates(
        self, types: dict[str, int | None], now: float, connection: sa.Connection | None = None
    ) -> list[sa.Row[tuple[str, str, str]]]:
        if connection is None:
            with self.database.read() as reader:
                return self._candidates(types, now, reader)
        busy = dict(
            connection.execute(
                sa.select(leases.c.type, sa.func.count()).where(leases.c.expires_at > now).group_by(leases.c.type)
            ).all()
        )
        open_types = [name for name, limit in types.items() if limit is None or busy.get(name, 0) < limit]
        held = sa.select(leases.c.job_id).where(leases.c.expires_at > now)
        return list(
            connection.execute(
                sa.select(jobs.c.id, jobs.c.type, jobs.c.key)
                .where(
                    jobs.c.status.in_(LIVE_NAMES),
                    jobs.c.type.in_(open_types),
                    jobs.c.id.not_in(held),
                )  # fmt: skip
                .order_by(jobs.c.id)
                .limit(1)
            )
        )

    def renew(self, worker: str, lease_seconds: float) -> None:
        """Prolong all leases of the worker: its heartbeat."""
        expires = self.surroundings.now().timestamp() + lease_seconds
        with self.database.write() as connection:
            connection.execute(leases.update().where(leases.c.worker == worker).values(expires_at=expires))

    def checkpoints_of(self, job_id: UUID) -> dict[int, Progress]:
        """What steps reached in their own transactions, by step."""
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(checkpoints.c.step, checkpoints.c.progress).where(checkpoints.c.job_id == str(job_id))
            )
            return {row.step: Progress(**json.loads(row.progress)) for row in rows}


def _upsert(table: sa.Table) -> sa.Insert:
    statement = insert(table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {c.name: statement.excluded[c.name] for c in table.c if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


_UPSERT_JOB: Final = _upsert(jobs)
_UPSERT_STEP: Final = _upsert(steps)
_UPSERT_LEASE: Final = _upsert(leases)
