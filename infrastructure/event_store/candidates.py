"""Which job a worker takes next: what dead workers left first, then by priority and age. See ADR/0014."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.event_store.json_texts import json_texts
from milepost.infrastructure.event_store.lease_time import lease_holds, overdue
from milepost.infrastructure.event_store.opposition import UNOPPOSED
from milepost.infrastructure.event_store.schema import jobs, leases, refusals

Condition = sa.ColumnElement[bool]
Which = Literal["listed", "unheld"]

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
        found = _first(connection, places, "listed", left)
        if found is not None:
            return found
    if wanted.room == 0:
        return None
    if silent and wanted.room is not None and _count(connection, places, list(silent)) >= wanted.room:
        return None
    return _first(connection, places, "unheld")


def _silent_for(connection: sa.Connection, worker: str, now: float) -> dict[str, float]:
    """The jobs that other workers hold and do not say so any more, and for how long their leases have run out.

    A worker's own lease that ran out unnoticed is prolonged by its next heartbeat, not claimed again.
    """
    return dict(connection.execute(_SILENT, {"now": now, "me": worker}).all())


class _Place(NamedTuple):
    """Where to look: what a statement asks for there, and the values that it is given."""

    asks: frozenset[str]
    values: dict[str, Any]


def _first(
    connection: sa.Connection, places: Iterable[_Place], which: Which, listed: Collection[str] = ()
) -> Candidate | None:
    found: list[Candidate] = []
    for place in places:
        values = place.values | {"listed": json.dumps(list(listed))}
        found += [Candidate(*row) for row in connection.execute(_first_there(place.asks, which), values)]
    return min(found, default=None)


def _count(connection: sa.Connection, places: Iterable[_Place], listed: Collection[str]) -> int:
    named = {"listed": json.dumps(list(listed))}
    return sum(connection.scalar(_count_there(place.asks), place.values | named) or 0 for place in places)


# A worker asks several times a second, and building a statement takes longer than the database takes to answer it.

_NOW: Final = sa.bindparam("now", type_=sa.Float)
_SILENT: Final = sa.select(leases.c.job_id, overdue(_NOW)).where(
    leases.c.worker != sa.bindparam("me"), ~lease_holds(_NOW, without_last=1 - SILENT_SHARE)
)
_HELD: Final = (
    sa.select(leases.c.type, leases.c.limit_key, sa.func.count())
    .where(lease_holds(_NOW))
    .group_by(leases.c.type, leases.c.limit_key)
)


@cache
def _first_there(asks: frozenset[str], which: Which) -> sa.Executable:
    waiting = sa.select(-jobs.c.priority, jobs.c.id, jobs.c.type, jobs.c.request).where(_there(asks), _which(which))
    return waiting.order_by(jobs.c.priority.desc(), jobs.c.id).limit(1)


@cache
def _count_there(asks: frozenset[str]) -> sa.Executable:
    return sa.select(sa.func.count()).select_from(jobs).where(_there(asks), _which("listed"))


def _which(which: Which) -> Condition:
    return _among("listed") if which == "listed" else ~sa.exists().where(leases.c.job_id == jobs.c.id)


def _there(asks: frozenset[str]) -> Condition:
    """The condition of a place: a seek in an index, past what is refused or behind a limit per key."""
    refused = sa.exists().where(refusals.c.job_id == jobs.c.id, refusals.c.worker == sa.bindparam("for_worker"))
    there = [jobs.c.live, ~refused, UNOPPOSED, ~_among("skip"), jobs.c.type == sa.bindparam("of_type")]
    if "only" in asks:
        there.append(jobs.c.id == sa.bindparam("only"))
    if "in_queue" in asks:
        there.append(jobs.c.queue == sa.bindparam("in_queue"))
    if "full" in asks:  # jobs without a limit key have no such limit
        there.append(sa.or_(jobs.c.limit_key.is_(None), ~_among("full", jobs.c.limit_key)))
    return sa.and_(*there)


def _places(connection: sa.Connection, wanted: Wanted, now: float) -> Iterator[_Place]:
    """Where to look, by type and queue."""
    counted = connection.execute(_HELD, {"now": now}).all()
    values: dict[str, Any] = {
        "for_worker": wanted.worker,
        "skip": json.dumps([str(job_id) for job_id in wanted.skip]),
    }
    if wanted.only is not None:
        values["only"] = str(wanted.only)
    for job_type, offer in wanted.offers.items():
        running = {key: count for of_type, key, count in counted if of_type == job_type}
        if offer.running is None or sum(running.values()) < offer.running:
            here = values | {"of_type": job_type} | _full(offer, running)
            for queue in [{}] if wanted.queues is None else [{"in_queue": queue} for queue in wanted.queues]:
                asks = here | queue
                yield _Place(frozenset(asks), asks)


def _among(name: str, column: sa.ColumnElement[Any] = jobs.c.id) -> Condition:
    """One parameter, however many there are: databases have a limit."""
    listed = json_texts(sa.bindparam(name, type_=sa.Text))
    return column.in_(sa.select(listed.c.value))


def _full(offer: ClaimOffer, running: Mapping[str | None, int]) -> dict[str, str]:
    """The limit keys that are at their limit, where there is such a limit."""
    if offer.running_per_key is None:
        return {}
    full = [key for key, count in running.items() if key is not None and count >= offer.running_per_key]
    return {"full": json.dumps(full)}
