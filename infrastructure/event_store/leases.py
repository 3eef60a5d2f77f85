"""Who may run a job, and until when: claims, heartbeats and takeovers. See ADR/0004."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.commands import ClaimJob
from milepost.domain.envelope import Origin
from milepost.domain.errors import JobError
from milepost.domain.events import Json
from milepost.domain.job import Job
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.checkpoints import checkpoints_of, hold_back_steps
from milepost.infrastructure.event_store.codec import UnreadableEvent
from milepost.infrastructure.event_store.json_texts import json_texts
from milepost.infrastructure.event_store.keys import UNOPPOSED
from milepost.infrastructure.event_store.lease_time import lease_holds
from milepost.infrastructure.event_store.read_models import upsert
from milepost.infrastructure.event_store.schema import jobs, leases, refusals, workers
from milepost.infrastructure.event_store.streams import Streams
from milepost.infrastructure.event_store.workers import note_refusal

CLAIM_TRIES: Final = 10  # jobs that a worker looks at in one go: it has a heartbeat to give

Accepts = Callable[[str, dict[str, Json]], str | None]  # job type and request → why not, or None


@dataclass(frozen=True, slots=True)
class ClaimOffer:
    """What a worker says of a job type that it takes.

    running, running_per_key: how many jobs of the type, and of one limit key, may run at once over all workers
    (None: any number). has_cleanup: it has code to call when a job is cancelled.
    """

    running: int | None = None
    running_per_key: int | None = None
    has_cleanup: bool = False


class _Candidate(NamedTuple):
    """A job that could be claimed, as its row tells it; of several, the least comes first."""

    behind: int
    id: str
    type: str
    request: str


class Leases:
    """The claims on the jobs of one event store."""

    def __init__(self, streams: Streams, surroundings: Surroundings) -> None:
        self._streams = streams
        self._database = streams.database
        self._surroundings = surroundings

    def claim(
        self,
        worker: str,
        offers: Mapping[str, ClaimOffer],
        lease_seconds: float,
        origin: Origin,
        *,
        only: UUID | None = None,
        skip: Collection[UUID] = (),
        accepts: Accepts = lambda job_type, request: None,
        queues: Collection[str] | None = None,
        takeover_after: float | None = 0.0,
        took_over: Callable[[], None] = lambda: None,
        only_takeovers: bool = False,
    ) -> Job | None:
        """Take the oldest job of the highest priority that waits; None where there is none within these limits.

        `queues`: only from these. `takeover_after`: for how long a lease must have run out before its job is taken
        over, after which `took_over` is told; None: no job is taken over. `only_takeovers`: no other jobs.

        A job that the worker does not accept, or cannot read, is left to others from then on, and says why.
        """
        for _ in range(CLAIM_TRIES):
            with self._database.read() as connection:
                free = self._free(worker, only, skip, takeover_after, only_takeovers)
                waits = self._first(connection, offers, queues, free)
            if waits is None:
                return None
            why_not = accepts(waits.type, json.loads(waits.request))
            if why_not is None:
                try:
                    known = self._streams.load(UUID(waits.id))  # may be long: not under the write lock
                    free = self._free(worker, known.id, (), takeover_after, only_takeovers)
                    claimed = self._take(known, worker, offers, lease_seconds, origin, queues, free)
                except (UnreadableEvent, JobError) as error:
                    why_not = str(error)
                else:
                    if claimed is not None:
                        if known.worker is not None:
                            took_over()
                        return claimed
            if why_not is not None:
                self._refuse(waits.id, worker, why_not)
        return None

    def _take(
        self,
        known: Job,
        worker: str,
        offers: Mapping[str, ClaimOffer],
        lease_seconds: float,
        origin: Origin,
        queues: Collection[str] | None,
        free: sa.ColumnElement[bool],
    ) -> Job | None:
        """Claim it if it is still to be had: another worker may have been faster."""
        with self._database.write() as connection:
            if self._first(connection, offers, queues, free) is None:
                return None
            fresh = self._streams.tail(connection, known)
            batch = Batch(fresh, origin, self._surroundings)
            hold_back_steps(connection, fresh)
            has_cleanup = offers[fresh.facts.job_type].has_cleanup
            batch.do(ClaimJob(worker, checkpoints_of(connection, fresh), has_cleanup))
            self._streams.write(connection, batch)
            job, job_id = batch.after, str(fresh.id)
            expires_at = self._now() + lease_seconds
            lease = (job_id, worker, job.claim, job.facts.job_type, job.facts.limit_key, expires_at, lease_seconds)
            connection.exec_driver_sql(upsert(leases, connection.dialect.name), lease)
            connection.execute(refusals.delete().where(refusals.c.job_id == job_id))
            return job

    def _first(
        self,
        connection: sa.Connection,
        offers: Mapping[str, ClaimOffer],
        queues: Collection[str] | None,
        free: sa.ColumnElement[bool],
    ) -> _Candidate | None:
        """Of the jobs that are `free`, the oldest of the highest priority, over all types and queues."""
        counted = connection.execute(
            sa.select(leases.c.type, leases.c.limit_key, sa.func.count())
            .where(lease_holds(self._now()))
            .group_by(leases.c.type, leases.c.limit_key)
        ).all()
        found: list[_Candidate] = []
        for job_type, offer in offers.items():
            running = {key: count for of_type, key, count in counted if of_type == job_type}
            if offer.running is None or sum(running.values()) < offer.running:
                # A query per type and queue: each is one seek in an index, however many jobs wait behind a limit.
                of_type = sa.and_(free, jobs.c.type == job_type, _within(offer, running))
                places = [of_type] if queues is None else [sa.and_(of_type, jobs.c.queue == each) for each in queues]
                for place in places:
                    waiting = sa.select(-jobs.c.priority, jobs.c.id, jobs.c.type, jobs.c.request).where(place)
                    first = waiting.order_by(jobs.c.priority.desc(), jobs.c.id).limit(1)
                    found += [_Candidate(*row) for row in connection.execute(first)]
        return min(found, default=None)

    def _free(
        self,
        worker: str,
        only: UUID | None,
        skip: Collection[UUID],
        takeover_after: float | None,
        only_takeovers: bool,
    ) -> sa.ColumnElement[bool]:
        """Whether a job could be claimed now as far as others are concerned, and the worker has not refused it."""
        refused = sa.exists().where(refusals.c.job_id == jobs.c.id, refusals.c.worker == worker)
        held = self._held(worker, takeover_after)
        free = sa.and_(jobs.c.live, ~held, ~refused, UNOPPOSED, jobs.c.id.not_in(_each_of(skip)))
        if only_takeovers:
            free = sa.and_(free, sa.exists().where(leases.c.job_id == jobs.c.id))
        return free if only is None else sa.and_(free, jobs.c.id == str(only))

    def _held(self, worker: str, takeover_after: float | None) -> sa.ColumnElement[bool]:
        leased = leases.c.job_id == jobs.c.id
        if takeover_after is None:
            return sa.exists().where(leased)
        now = self._now()
        # A worker's own lease that ran out unnoticed is prolonged by its next heartbeat, not claimed again.
        return sa.exists().where(
            leased, sa.or_(lease_holds(now), lease_holds(now - takeover_after), leases.c.worker == worker)
        )

    def _refuse(self, job_id: str, worker: str, why: str) -> None:
        """A job that cannot be run here must not keep the others from being claimed."""
        with self._database.write() as connection:
            note_refusal(connection, UUID(job_id), worker, why, self._surroundings.now())

    def renew(self, worker: str, lease_seconds: float) -> frozenset[UUID]:
        """Prolong all leases of the worker, and its own life: its heartbeat. The jobs that it still holds."""
        now = self._now()
        mine = leases.c.worker == worker
        with self._database.write() as connection:
            connection.execute(
                leases.update().where(mine).values(expires_at=now + lease_seconds, seconds=lease_seconds)
            )
            connection.execute(
                workers.update().where(workers.c.name == worker).values(beat_at=now, expires_at=now + lease_seconds)
            )
            held = connection.scalars(sa.select(leases.c.job_id).where(mine)).all()
        return frozenset(UUID(job_id) for job_id in held)

    def drop(self, worker: str, job_id: UUID) -> None:
        """Give up a lease without a word in the history, for a job that this worker cannot even read on."""
        with self._database.write() as connection:
            connection.execute(leases.delete().where(leases.c.worker == worker, leases.c.job_id == str(job_id)))

    def alive(self, connection: sa.Connection, job_id: UUID) -> bool:
        """Whether a worker holds the job now."""
        held = sa.select(sa.literal(1)).where(leases.c.job_id == str(job_id), lease_holds(self._now()))
        return connection.scalar(held) is not None

    def _now(self) -> float:
        return self._surroundings.now().timestamp()


def _each_of(ids: Collection[UUID]) -> sa.Select[tuple[str]]:
    """One parameter, however many there are: databases have a limit."""
    listed = json_texts(sa.literal(json.dumps([str(job_id) for job_id in ids])))
    return sa.select(listed.c.value)


def _within(offer: ClaimOffer, running: Mapping[str | None, int]) -> sa.ColumnElement[bool]:
    """Jobs whose limit key is not at its limit; jobs without one have no such limit."""
    if offer.running_per_key is None:
        return sa.true()
    full = [key for key, count in running.items() if key is not None and count >= offer.running_per_key]
    return sa.or_(jobs.c.limit_key.is_(None), jobs.c.limit_key.not_in(full))
