"""Who may run a job, and until when: claims, heartbeats and takeovers. See ADR/0004."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.commands import ClaimJob
from milepost.domain.envelope import Origin
from milepost.domain.errors import JobError
from milepost.domain.events import Json
from milepost.domain.job import Job
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.candidates import Wanted, next_candidate
from milepost.infrastructure.event_store.checkpoints import checkpoints_of, hold_back_steps
from milepost.infrastructure.event_store.codec import UnreadableEvent
from milepost.infrastructure.event_store.lease_time import lease_holds
from milepost.infrastructure.event_store.read_models import upsert
from milepost.infrastructure.event_store.schema import leases, refusals, workers
from milepost.infrastructure.event_store.streams import StreamMoved, Streams
from milepost.infrastructure.event_store.workers import Workers

CLAIM_TRIES: Final = 10  # jobs that a worker looks at in one go: it has a heartbeat to give

Accepts = Callable[[str, dict[str, Json]], str | None]  # job type and request → why not, or None

# Of each heartbeat; building a statement takes longer than the database takes to answer it.
_MINE: Final = leases.c.worker == sa.bindparam("me")
_PROLONG: Final = (
    leases.update().where(_MINE).values(expires_at=sa.bindparam("expires_at"), seconds=sa.bindparam("seconds"))
)
_LIVE_ON: Final = (
    workers.update()
    .where(workers.c.name == sa.bindparam("me"))
    .values(beat_at=sa.bindparam("beat_at"), expires_at=sa.bindparam("expires_at"))
)
_HELD: Final = sa.select(leases.c.job_id).where(_MINE)


class Leases:
    """The claims on the jobs of one event store."""

    def __init__(self, streams: Streams, workers: Workers, surroundings: Surroundings) -> None:
        self._streams = streams
        self._workers = workers
        self._database = streams.database
        self._surroundings = surroundings

    def claim(
        self,
        wanted: Wanted,
        lease_seconds: float,
        origin: Origin,
        accepts: Accepts = lambda job_type, request: None,
        took_over: Callable[[], None] = lambda: None,
    ) -> Job | None:
        """Take the next job, see `next_candidate`; None where there is none. `took_over` is told of a takeover.

        A job that the worker does not accept, or cannot read, is left to others from then on, and says why.
        """
        for _ in range(CLAIM_TRIES):
            with self._database.read() as connection:
                waits = next_candidate(connection, wanted, self._now())
            if waits is None:
                return None
            why_not = accepts(waits.type, json.loads(waits.request))
            if why_not is None:
                try:
                    known = self._streams.load(UUID(waits.id))  # may be long: not under the write lock
                    claimed = self._take(known, replace(wanted, only=known.id), lease_seconds, origin)
                except StreamMoved:
                    continue  # another was faster
                except (UnreadableEvent, JobError) as error:
                    why_not = str(error)
                else:
                    if claimed is not None:
                        if known.worker is not None:
                            took_over()
                        return claimed
            if why_not is not None:
                # It must not keep the others from being claimed.
                self._workers.note_refusal(UUID(waits.id), wanted.worker, why_not)
        return None

    def _take(self, known: Job, wanted: Wanted, lease_seconds: float, origin: Origin) -> Job | None:
        """Claim it if it is still to be had: another worker may have been faster."""
        with self._database.write() as connection:
            if next_candidate(connection, wanted, self._now()) is None:
                return None
            fresh = self._streams.tail(connection, known)
            batch = Batch(fresh, origin, self._surroundings)
            hold_back_steps(connection, fresh)
            has_cleanup = wanted.offers[fresh.facts.job_type].has_cleanup
            batch.do(ClaimJob(wanted.worker, checkpoints_of(connection, fresh), has_cleanup))
            self._streams.write(connection, batch)
            job, job_id = batch.after, str(fresh.id)
            expires_at = self._now() + lease_seconds
            lease = (job_id, wanted.worker, job.claim, job.facts.job_type, job.facts.limit_key)
            connection.exec_driver_sql(upsert(leases, connection.dialect.name), (*lease, expires_at, lease_seconds))
            connection.execute(refusals.delete().where(refusals.c.job_id == job_id))
            return job

    def renew(self, worker: str, lease_seconds: float) -> frozenset[UUID]:
        """Prolong all leases of the worker, and its own life: its heartbeat. The jobs that it still holds."""
        with self._database.write() as connection:
            now = self._now()  # not before: it may have waited for long
            until = {"me": worker, "expires_at": now + lease_seconds}
            connection.execute(_PROLONG, {**until, "seconds": lease_seconds})
            connection.execute(_LIVE_ON, {**until, "beat_at": now})
            held = connection.scalars(_HELD, {"me": worker}).all()
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
