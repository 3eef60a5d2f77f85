"""The streams of all jobs: read and folded, and appended to together with the rows that follow."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from milepost.domain.envelope import RecordedEvent
from milepost.domain.job import Job, evolve
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store import snapshots, tombstones
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.codec import EventRow, decode, encode
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.garbage import collection_paused
from milepost.infrastructure.event_store.job_not_found import JobPruned
from milepost.infrastructure.event_store.past import NotBegun, VersionUnknown
from milepost.infrastructure.event_store.schema import EVENTS_TABLE

PAGE: Final = 5_000
CLOCK_SLACK: Final = timedelta(minutes=1)  # what a clock may have been set back by between two events
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

    def history(self, job_id: UUID, after: int = 0, until: int | None = None) -> Iterator[RecordedEvent]:
        """The job's events with a version above `after`, up to `until`, in order; page by page, so it may be long."""
        while until is None or after < until:
            limit = PAGE if until is None else min(PAGE, until - after)
            with self.database.read() as connection:
                page = _page(connection, job_id, after, limit)
            for version, topic, state in page:
                yield decode(job_id, version, topic, state)
            if len(page) < limit:
                return
            after = page[-1][0]

    def event(self, job_id: UUID, version: int) -> RecordedEvent | None:
        """The event that made this version; None where there is none."""
        return next(self.history(job_id, version - 1, version), None) if version > 0 else None

    def as_of(self, job_id: UUID, *, version: int | None = None, at: datetime | None = None) -> Job:
        """The job as it was at this version of its history, or at this time; version 0 is what was before it began.

        Raises VersionUnknown, NotBegun, JobPruned.
        """
        try:
            with collection_paused():
                job = self._begin(job_id, version, at)
                for recorded in self.until(job, version=version, at=at):
                    job = evolve(job, recorded)
        finally:  # perhaps it was pruned while it was read: what is left of it is no history
            self._refuse_pruned(job_id)
        if at is not None and job.version == 0 and (first := self.event(job_id, 1)) is not None:
            raise NotBegun(job_id, at, first.recorded_at)
        return job

    def _refuse_pruned(self, job_id: UUID) -> None:
        with self.database.read() as connection:
            pruned = tombstones.find(connection, job_id)
        if pruned is not None:
            raise JobPruned(pruned)

    def until(self, job: Job, *, version: int | None = None, at: datetime | None = None) -> Iterator[RecordedEvent]:
        """What the job's history holds behind `job`, up to this version or this time. Raises VersionUnknown.

        A history is cut at the first event that was recorded later: where a clock was set back, those behind it are
        later, too, whatever their times say.
        """
        seen = job.version
        for recorded in self.history(job.id, job.version, version):
            if at is not None and recorded.recorded_at > at:
                return
            seen = recorded.version
            yield recorded
        if version is not None and seen < version:
            raise VersionUnknown(job.id, version, seen)

    def _begin(self, job_id: UUID, version: int | None, at: datetime | None) -> Job:
        """A snapshot from before that moment, or nothing."""
        with self.database.read() as connection:
            of = snapshots.newest_version(connection, job_id)
        if not of or not self._is_before(job_id, of, version, at):
            return Job(job_id)
        with self.database.read() as connection:
            snapshot = snapshots.newest(connection, job_id)
        # A newer one may have taken its place meanwhile.
        return snapshot if snapshot is not None and snapshot.version == of else Job(job_id)

    def _is_before(self, job_id: UUID, snapshot: int, version: int | None, at: datetime | None) -> bool:
        if version is not None:
            return snapshot <= version
        return at is None or self.had_come_to(job_id, snapshot, at)

    def had_come_to(self, job_id: UUID, version: int, at: datetime) -> bool:
        """Whether this version was surely there by that time, whatever the clock did; False where it is close."""
        event = self.event(job_id, version)
        return event is not None and event.recorded_at + CLOCK_SLACK <= at

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
        while page := _page(connection, job.id, job.version, PAGE):
            for version, topic, state in page:
                job = evolve(job, decode(job.id, version, topic, state))
        return job

    def append(self, batch: Batch) -> Job:
        """All its events and rows, or none. Raises StreamMoved, or DatabaseUnavailable."""
        if batch.recorded:
            events = encode(batch.after.id, batch.recorded)  # before the lock is taken
            with self.database.append_transaction() as connection:
                self.write_stored(connection, batch, events)
        return batch.after

    def write(self, connection: sa.Connection, batch: Batch) -> None:
        """Append inside a transaction."""
        self.write_stored(connection, batch, encode(batch.after.id, batch.recorded))

    def write_stored(self, connection: sa.Connection, batch: Batch, events: list[EventRow]) -> None:
        """The same with its events as they are to be stored."""
        rests, ends = batch.after.worker is None, batch.after.status in _FINISHED
        try:
            self._append(connection, batch, events, rests, rests and ends)
        except IntegrityError as error:  # the primary key: that version is taken
            raise StreamMoved(batch.before.id, batch.before.version) from error


def _page(connection: sa.Connection, job_id: UUID, after: int, limit: int) -> Sequence[tuple[int, str, bytes]]:
    asked = _SELECT_EVENTS if connection.dialect.name == "sqlite" else _SELECT_EVENTS.replace("?", "%s")
    rows = connection.exec_driver_sql(asked, (job_id.hex, after, limit))
    return cast("Sequence[tuple[int, str, bytes]]", rows.fetchall())


def _append_of(database: Database) -> Append:
    if database.engine.dialect.name == "sqlite":
        from milepost.infrastructure.event_store import sqlite_append

        return sqlite_append.append
    from milepost.infrastructure.event_store import postgres_append

    return postgres_append.append
