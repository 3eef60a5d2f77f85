"""Verifies an event store: all histories in the order of the jobs, a bounded part of them in each consistent read."""

import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.audit.differences import Difference, Differs, Kind
from milepost.infrastructure.audit.histories import check, unfounded
from milepost.infrastructure.audit.lately import newest_since
from milepost.infrastructure.audit.pruned_jobs import check_pruned
from milepost.infrastructure.audit.side_by_side import Cursors, Stored, bare, is_id
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.garbage import collection_paused
from milepost.infrastructure.event_store.job_not_found import JobNotFound
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs

EVENTS_OF_A_READ: Final = 50_000  # one read of all would keep a busy database from tidying up what it outlasts
JOBS_OF_A_READ: Final = 50_000  # there may be any number of tombstones without events
_CALLED: Final = {EVENTS_TABLE: ("events", "originator_id"), jobs.name: ("a row", "id")}


class NothingStored(JobNotFound):
    """There is no event and no row of a job of that id, in any namespace."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(job_id, "")
        self.told = f"Nothing is stored of job {job_id}"


@dataclass(slots=True)
class Tally:
    """What was looked at so far."""

    jobs: int = 0
    events: int = 0
    different: int = 0  # jobs, and what belongs to none
    pruned: int = 0  # jobs of which a tombstone is left

    def add(self, other: "Tally") -> None:
        self.jobs += other.jobs
        self.events += other.events
        self.different += other.different
        self.pruned += other.pruned


class Verifier:
    """Each method gives the first difference of each job that has one, as it is found. Writes nothing.

    Raises DatabaseUnavailable or CannotOpenDatabase. Each job is read as it is at one moment, so one that goes on
    meanwhile is not found to differ.
    """

    def __init__(self, database: Database, progress: Callable[[Tally], None] = lambda _: None) -> None:
        self._database = database
        self._progress = progress
        self._foreign: set[tuple[str, str]] = set()
        self.tally = Tally()

    def all(self) -> Iterator[Difference]:
        """Of all jobs of all namespaces, and of rows and events that are no job's."""
        after: str | None = ""
        while after is not None:
            found, after = self._part(after=after)
            yield from found

    def jobs(self, ids: Iterable[UUID]) -> Iterator[Difference]:
        """Of these. Raises NothingStored for one of which nothing is stored."""
        for job_id in ids:
            before = self._seen
            yield from self._one(str(job_id))
            if self._seen == before:
                raise NothingStored(job_id)

    def since(self, at: datetime) -> Iterator[Difference]:
        """Of all whose newest event was recorded at that time or later, and of rows that are no job's."""
        for job_id in newest_since(self._database, at):
            yield from self._one(job_id)

    @property
    def _seen(self) -> int:
        return self.tally.jobs + self.tally.pruned + self.tally.different

    def _one(self, job_id: str) -> list[Difference]:
        return self._part(only=job_id)[0]

    def _part(self, *, after: str = "", only: str | None = None) -> tuple[list[Difference], str | None]:
        """The differences of as many jobs as one read may take, and the last of them; None: there are no more."""
        try:
            return self._looked_at(after, only, strict=True)
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error):
                raise
            return self._looked_at(after, only, strict=False)  # somebody changed a byte of a text

    def _looked_at(self, after: str, only: str | None, *, strict: bool) -> tuple[list[Difference], str | None]:
        found: list[Difference] = []
        tally, last = Tally(), None
        with collection_paused(), self._read(strict=strict) as cursors:
            stored = Stored(cursors, after=after, only=only)
            while (job_id := stored.next_job()) is not None and not _is_full(tally, last):
                if (difference := checked(job_id, stored, tally)) is not None:
                    found.append(difference)
                last = job_id
            more = job_id is not None
        found.extend(self._no_jobs(stored.foreign))
        tally.different = len(found)
        self.tally.add(tally)
        self._progress(self.tally)
        return found, last if more else None

    @contextmanager
    def _read(self, *, strict: bool) -> Generator[Cursors]:
        with self._database.read() as connection, any_text(connection, strict=strict), Cursors(connection) as cursors:
            yield cursors

    def _no_jobs(self, ids: list[tuple[str, str]]) -> Iterator[Difference]:
        for table, each in dict.fromkeys(ids):
            if (table, each) not in self._foreign:
                self._foreign.add((table, each))
                what, column = _CALLED.get(table, ("rows", "job_id"))
                message = f"{table} has {what} of {each!r}, which no job can be called"
                yield Difference(each, 0, Kind.ID_INVALID, table, each, column, each, None, message)


def _is_full(tally: Tally, last: str | None) -> bool:
    """Whether a read may end behind the job `last`. A server would refuse to go on behind what is no id."""
    looked_at = tally.jobs + tally.pruned
    return (tally.events >= EVENTS_OF_A_READ or looked_at >= JOBS_OF_A_READ) and last is not None and is_id(last)


def checked(job_id: str, stored: Stored, tally: Tally) -> Difference | None:
    """The first difference of the job that comes next; all of it is read then."""
    difference: Difference | None = None
    tombstone = next(stored.tombstones.of(job_id), None)
    if tombstone is None and (stored.events.next is None or stored.events.next[0] != bare(job_id)):
        difference = unfounded(job_id, stored)
    else:
        tally.jobs += tombstone is None
        try:
            tally.events += check(job_id, stored) if tombstone is None else check_pruned(tombstone, stored)
            tally.pruned += tombstone is not None
        except Differs as differs:
            difference = differs.difference
            tally.events += difference.version - (difference.kind is Kind.EVENT_MISSING)  # that one was not there
    stored.skip(job_id)
    return difference


@contextmanager
def any_text(connection: sa.Connection, *, strict: bool) -> Generator[None]:
    """Where not `strict`, bytes that are no text are read as text all the same, to be told as what they are."""
    if strict:
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.text_factory = _with_surrogates
    try:
        yield
    finally:
        driver.text_factory = str


def _with_surrogates(text: bytes) -> str:
    return text.decode(errors="surrogateescape")
