"""Goes through the jobs of one namespace and no other: a bounded part of them in each consistent read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.audit.owning import Bond, Bound, bound
from milepost.infrastructure.audit.reading import in_a_read
from milepost.infrastructure.audit.side_by_side import Cursors, Stored, is_id
from milepost.infrastructure.event_store.database import Database

EVENTS_OF_A_READ: Final = 20_000  # between two of them a step can stop, and says how far it is
JOBS_OF_A_READ: Final = 2_000
JOBS_OF_A_RUN: Final = 200


class Seen(Protocol):
    """What was made of a job."""

    @property
    def events(self) -> int:
        """How many of its events were looked at."""
        ...


T = TypeVar("T", bound=Seen)
Look = Callable[[Bound, Stored], T]
"""Makes something of a job while it stands side by side; what it leaves unread is left out."""


@dataclass(frozen=True, slots=True)
class Span:
    """The jobs behind `after`, not behind `until`; None: to the last one, whichever that will be."""

    after: str = ""
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """What was made of some jobs. `last`: the one to go on behind; None where there are no more."""

    seen: list[T]
    last: str | None


def part(database: Database, namespace: str, span: Span, look: Look[T]) -> Part[T]:
    """Have so many jobs looked at as one read may take. Raises DatabaseUnavailable."""

    def read(cursors: Cursors) -> Part[T]:
        seen: list[T] = []
        jobs = events = 0
        for run in _runs(bound(cursors, namespace, after=span.after, until=span.until)):
            if run[0].bond is not Bond.NONE:
                for job_id, made in _looked_at(run, cursors.connection, look):
                    seen.append(made)
                    events += made.events
                    if events >= EVENTS_OF_A_READ and is_id(job_id):
                        return Part(seen, job_id)
            jobs += len(run)
            if jobs >= JOBS_OF_A_READ and is_id(run[-1].job_id):
                return Part(seen, run[-1].job_id)
        return Part(seen, None)

    return in_a_read(database, read)


def one(database: Database, namespace: str, job_id: UUID, look: Look[T]) -> list[T]:
    """The same with one job; nothing where the namespace has none of that id."""

    def read(cursors: Cursors) -> list[T]:
        found = [each for each in bound(cursors, namespace, only=str(job_id)) if each.bond is not Bond.NONE]
        return [made for _, made in _looked_at(found, cursors.connection, look)] if found else []

    return in_a_read(database, read)


def _runs(jobs: Iterator[Bound]) -> Iterator[list[Bound]]:
    """Jobs that follow one another and are all the namespace's, or all not: of others nothing more is read.

    A row whose id is none stands alone: no range of events can begin or end there.
    """
    for (mine, usual), run in groupby(jobs, key=lambda each: (each.bond is not Bond.NONE, is_id(each.job_id))):
        while some := list(islice(run, (JOBS_OF_A_RUN if mine else JOBS_OF_A_READ) if usual else 1)):
            yield some


def _looked_at(run: Sequence[Bound], connection: sa.Connection, look: Look[T]) -> Iterator[tuple[str, T]]:
    """One after another: many long jobs may follow each other, and nobody has to keep what was made of all."""
    wanted = {each.job_id: each for each in run}
    with Cursors(connection) as cursors:
        # The first one included: what stands before it is no job's.
        first, last = run[0].job_id, run[-1].job_id
        stored = Stored(cursors, only=first) if first == last else Stored(cursors, first=first, until=last)
        while (job_id := stored.next_job()) is not None:
            if job_id in wanted:
                yield job_id, look(wanted[job_id], stored)
            stored.skip(job_id)  # what is left of it, or what is no job's
