"""Verifies an event store: all histories in the order of the jobs, a bounded part of them in each consistent read."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from milepost.infrastructure.audit.differences import Difference, Differs, Kind
from milepost.infrastructure.audit.histories import check, unfounded
from milepost.infrastructure.audit.lately import newest_since
from milepost.infrastructure.audit.pruned_jobs import check_pruned
from milepost.infrastructure.audit.reading import in_a_read
from milepost.infrastructure.audit.side_by_side import Stored, bare, is_id
from milepost.infrastructure.event_store.database import Database
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
        part = in_a_read(self._database, lambda cursors: _part(Stored(cursors, after=after, only=only)))
        found = [*part.found, *self._no_jobs(part.foreign)]
        part.tally.different = len(found)
        self.tally.add(part.tally)
        self._progress(self.tally)
        return found, part.last

    def _no_jobs(self, ids: list[tuple[str, str]]) -> Iterator[Difference]:
        for table, each in dict.fromkeys(ids):
            if (table, each) not in self._foreign:
                self._foreign.add((table, each))
                what, column = _CALLED.get(table, ("rows", "job_id"))
                message = f"{table} has {what} of {each!r}, which no job can be called"
                yield Difference(each, 0, Kind.ID_INVALID, table, each, column, each, None, message)


class _Part(NamedTuple):
    found: list[Difference]
    foreign: list[tuple[str, str]]  # tables, and ids in them that no job can have
    tally: Tally
    last: str | None  # None: there are no more


def _part(stored: Stored) -> _Part:
    """What one read finds."""
    found: list[Difference] = []
    tally, last = Tally(), None
    while (job_id := stored.next_job()) is not None and not _is_full(tally, last):
        if (difference := checked(job_id, stored, tally)) is not None:
            found.append(difference)
        last = job_id
    return _Part(found, stored.foreign, tally, last if job_id is not None else None)


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
