"""Which job a worker takes next: what dead workers left first, then by priority and age. See ADR/0014."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.event_store.json_texts import json_texts
from milepost.infrastructure.event_store.lease_time import lease_holds, overdue
from milepost.infrastructure.event_store.opposition import UNOPPOSED
from milepost.infrastructure.event_store.schema import jobs, leases, refusals

Condition = sa.ColumnElement[bool]

SILENT_SHARE: Final = 0.4  # of a lease: a worker that gave no sign of life for so long may be gone


@dataclass(frozen=True, slots=True)
class ClaimOffer:
    """What a worker says of a job type that it takes.

    running, running_per_key: how many jobs of the type, and of one limit key, may run at once over all workers
    (None: any number). has_cleanup: it has code to call when a job is cancelled.
    """

    running: int | None = None
    running_per_key: int | None = None
    has_cleanup: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker may take.

    queues: only from these. only: this job. skip: none of these. takeover_after: for how many seconds a lease must
    have run out before its job is taken over (None: no job is taken over). room: how many jobs it has place for that
    no worker has begun (None: any number); what dead workers left is taken over also without.
    """

    worker: str
    offers: Mapping[str, ClaimOffer]
    queues: Collection[str] | None = None
    only: UUID | None = None
    skip: Collection[UUID] = ()
    takeover_after: float | None = 0.0
    room: int | None = None


class Candidate(NamedTuple):
    """A job that could be claimed, as its row tells it; of several, the least comes first."""

    behind: int
    id: str
    type: str
    request: str


def next_candidate(connection: sa.Connection, wanted: Wanted, now: float) -> Candidate | None:
    """What the worker should take now, if anything.

    A worker that looks just after another one has died would fill its place with new work, and what the dead one had
    begun would wait until that ends. So it keeps place for as many jobs as there are whose workers are silent.
    """
    silent = _silent_for(connection, wanted.worker, now)
    after = wanted.takeover_after
    left = [job_id for job_id, seconds in silent.items() if after is not None and seconds > after]
    if not left and wanted.room == 0:
        return None
    places = list(_places(connection, wanted, now))
    if left:
        found = _first(connection, places, _among(left))
        if found is not None:
            return found
    if wanted.room == 0:
        return None
    if silent and wanted.room is not None and _count(connection, places, _among(list(silent))) >= wanted.room:
        return None
    return _first(connection, places, ~sa.exists().where(leases.c.job_id == jobs.c.id))


def _silent_for(connection: sa.Connection, worker: str, now: float) -> dict[str, float]:
    """The jobs that other workers hold and do not say so any more, and for how long their leases have run out.

    A worker's own lease that ran out unnoticed is prolonged by its next heartbeat, not claimed again.
    """
    chosen = sa.select(leases.c.job_id, overdue(now)).where(
        leases.c.worker != worker, ~lease_holds(now, without_last=1 - SILENT_SHARE)
    )
    return dict(connection.execute(chosen).all())


def _first(connection: sa.Connection, places: Iterable[Condition], which: Condition) -> Candidate | None:
    found: list[Candidate] = []
    for place in places:
        waiting = sa.select(-jobs.c.priority, jobs.c.id, jobs.c.type, jobs.c.request).where(place, which)
        first = waiting.order_by(jobs.c.priority.desc(), jobs.c.id).limit(1)
        found += [Candidate(*row) for row in connection.execute(first)]
    return min(found, default=None)


def _count(connection: sa.Connection, places: Iterable[Condition], which: Condition) -> int:
    return sum(
        connection.scalar(sa.select(sa.func.count()).select_from(jobs).where(place, which)) or 0 for place in places
    )


def _places(connection: sa.Connection, wanted: Wanted, now: float) -> Iterator[Condition]:
    """Where to look, by type and queue: each a seek in an index, past what is refused or behind a limit per key."""
    refused = sa.exists().where(refusals.c.job_id == jobs.c.id, refusals.c.worker == wanted.worker)
    free = sa.and_(jobs.c.live, ~refused, UNOPPOSED, ~_among([str(job_id) for job_id in wanted.skip]))
    if wanted.only is not None:
        free = sa.and_(free, jobs.c.id == str(wanted.only))
    counted = connection.execute(
        sa.select(leases.c.type, leases.c.limit_key, sa.func.count())
        .where(lease_holds(now))
        .group_by(leases.c.type, leases.c.limit_key)
    ).all()
    for job_type, offer in wanted.offers.items():
        running = {key: count for of_type, key, count in counted if of_type == job_type}
        if offer.running is None or sum(running.values()) < offer.running:
            of_type = sa.and_(free, jobs.c.type == job_type, _within(offer, running))
            if wanted.queues is None:
                yield of_type
            else:
                yield from (sa.and_(of_type, jobs.c.queue == queue) for queue in wanted.queues)


def _among(ids: Collection[str]) -> Condition:
    """One parameter, however many there are: databases have a limit."""
    listed = json_texts(sa.literal(json.dumps(list(ids))))
    return jobs.c.id.in_(sa.select(listed.c.value))


def _within(offer: ClaimOffer, running: Mapping[str | None, int]) -> Condition:
    """Jobs whose limit key is not at its limit; jobs without one have no such limit."""
    if offer.running_per_key is None:
        return sa.true()
    full = [key for key, count in running.items() if key is not None and count >= offer.running_per_key]
    return sa.or_(jobs.c.limit_key.is_(None), jobs.c.limit_key.not_in(full))
