"""The streams of all jobs: read and folded, and appended to together with the rows that follow."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from milepost.domain.envelope import RecordedEvent
from milepost.domain.job import Job, evolve
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store import snapshots
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.codec import EventRow, decode, encode
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.garbage import collection_paused
from milepost.infrastructure.event_store.schema import EVENTS_TABLE

PAGE: Final = 5_000
_SELECT_EVENTS: Final = (
    f"SELECT originator_version, topic, state FROM {EVENTS_TABLE}"
    " WHERE originator_id=? AND originator_version>? ORDER BY originator_version LIMIT ?"
)
_FINISHED: Final = frozenset({JobStatus.COMPLETED_SUCCESSFULLY, JobStatus.CANCELLED, JobStatus.REMOVED})


# A batch, its events as they are stored, and whether the job is at rest then, and for good.
Append = Callable[[sa.Connection, Batch, list[EventRow], bool, bool], None]


class StreamMoved(Exception):
    """Somebody else appended to the stream first: read what is new, and decide again."""

    def __init__(self, job_id: UUID, version: int) -> None:
        self.job_id, self.version = job_id, version
        super().__init__(f"Job {job_id} has gone on from version {version}: read what is new, and decide again.")


class Streams:
    """One stream of events per job; its version is the fence that keeps a second writer out. See ADR/0004."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._append = _append_of(database)

    def history(self, job_id: UUID, after: int = 0) -> Iterator[RecordedEvent]:
        """The job's events with a version above `after`, in order; page by page, so it may be long."""
        while True:
            with self.database.read() as connection:
                page = _page(connection, job_id, after)
            for version, topic, state in page:
                yield decode(job_id, version, topic, state)
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def load(self, job_id: UUID) -> Job:
        """The fold of the job's history, from its newest usable snapshot; version 0 where there is none."""
        with collection_paused():
            with self.database.read() as connection:
                snapshot = snapshots.newest(connection, job_id)
            return self.catch_up(snapshot or Job(job_id))

    def catch_up(self, job: Job) -> Job:
        """The job with whatever was appended since."""
        for recorded in self.history(job.id, job.version):
            job = evolve(job, recorded)
        return job

    def tail(self, connection: sa.Connection, job: Job) -> Job:
        """The same inside a transaction: under the write lock nobody can come between."""
        while page := _page(connection, job.id, job.version):
            for version, topic, state in page:
                job = evolve(job, decode(job.id, version, topic, state))
        return job

    def append(self, batch: Batch) -> Job:
        """All its events and rows, or none. Raises StreamMoved, or DatabaseUnavailable."""
        if batch.recorded:
            events = encode(batch.after.id, batch.recorded)  # before the lock is taken
            with self.database.append_transaction() as connection:
                self._write(connection, batch, events)
        return batch.after

    def write(self, connection: sa.Connection, batch: Batch) -> None:
        """Append inside a transaction."""
        self._write(connection, batch, encode(batch.after.id, batch.recorded))

    def _write(self, connection: sa.Connection, batch: Batch, events: list[EventRow]) -> None:
        rests, ends = batch.after.worker is None, batch.after.status in _FINISHED
        try:
            self._append(connection, batch, events, rests, rests and ends)
        except IntegrityError as error:  # the primary key: that version is taken
            raise StreamMoved(batch.before.id, batch.before.version) from error


def _page(connection: sa.Connection, job_id: UUID, after: int) -> Sequence[tuple[int, str, bytes]]:
    asked = _SELECT_EVENTS if connection.dialect.name == "sqlite" else _SELECT_EVENTS.replace("?", "%s")
    rows = connection.exec_driver_sql(asked, (job_id.hex, after, PAGE))
    return cast("Sequence[tuple[int, str, bytes]]", rows.fetchall())


def _append_of(database: Database) -> Append:
    if database.engine.dialect.name == "sqlite":
        from milepost.infrastructure.event_store import sqlite_append

        return sqlite_append.append
    from milepost.infrastructure.event_store import postgres_append

    return postgres_append.append
