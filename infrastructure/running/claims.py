"""Which jobs a worker takes: of its queues and of types that it knows, whose requests it can read, not given up."""

import logging
from collections.abc import Collection
from typing import Final
from uuid import UUID

from milepost.domain.envelope import Origin
from milepost.domain.errors import JobError
from milepost.domain.events import Json
from milepost.domain.job import Job
from milepost.infrastructure.event_store.store import ClaimOffer, JobStore, UnreadableEvent, Wanted
from milepost.infrastructure.job_types.registry import JobTypes, RequestInvalid, UnknownJobType
from milepost.infrastructure.running.takeovers import Takeovers

log = logging.getLogger("milepost.worker")

REFUSALS_SECONDS: Final = 5.0  # how often a worker says which jobs it cannot take


class Claims:
    """One worker's way to new jobs. `types`: only of these (None: of all that it knows); `only`: this one.

    `queues`: only from these (None: from all).
    """

    def __init__(
        self,
        *,
        store: JobStore,
        job_types: JobTypes,
        origin: Origin,
        types: frozenset[str] | None,
        queues: frozenset[str] | None,
        only: UUID | None,
        lease_seconds: float,
        takeovers: Takeovers,
    ) -> None:
        self._store = store
        self._job_types = job_types
        self._origin = origin
        self._worker = origin.actor
        self._wanted = types
        self._queues = queues
        self._only = only
        self._lease_seconds = lease_seconds
        self._takeovers = takeovers
        self._given_up: set[UUID] = set()  # jobs that this worker cannot coordinate
        self._broken: set[str] = set()  # types whose own declarations cannot be read; told once
        self._told_at = float("-inf")

    def types(self) -> tuple[str, ...]:
        """The types of jobs that it takes."""
        return tuple(name for name in self._job_types.names() if self._wanted is None or name in self._wanted)

    def next(self, skip: Collection[UUID], tick: float, room: int) -> Job | None:
        """The next job that can be had, claimed; with no `room` left only one whose worker is gone."""
        wanted = Wanted(
            self._worker,
            self._offers(),
            queues=self._queues,
            only=self._only,
            skip={*self._given_up, *skip},
            takeover_after=self._takeovers.after(tick, beyond_room=room == 0),
            room=room,
        )
        job = self._store.claim(wanted, self._lease_seconds, self._origin, self._why_not, self._takeovers.count)
        if self._only is None and tick >= self._told_at + REFUSALS_SECONDS:
            self._told_at = tick
            self._store.note_refusals(self._worker, self._job_types.names(), self._queues)
        return job

    def readable(self, job_id: UUID) -> Job | None:
        """A job that this worker was found to hold; None if it cannot go on with it."""
        if job_id in self._given_up:
            return None
        try:
            return self._store.load(job_id)
        except (UnreadableEvent, JobError) as error:
            self.give_up(job_id, str(error))
            return None

    def give_up(self, job_id: UUID, why: str) -> None:
        """Leave it to others from now on."""
        self._given_up.add(job_id)
        self._store.note_refusal(job_id, self._worker, why)

    def _offers(self) -> dict[str, ClaimOffer]:
        offers = {name: self._offer(name) for name in self.types()}
        return {name: offer for name, offer in offers.items() if offer is not None}

    def _offer(self, name: str) -> ClaimOffer | None:
        try:
            job_type = self._job_types.named(name)
            return ClaimOffer(job_type.limits.running, job_type.limits.running_per_key, job_type.has("cancelled"))
        except Exception as error:  # noqa: BLE001 - somebody else's class must not end the worker
            if name not in self._broken:
                log.error("job type %r is not offered: %s: %s", name, type(error).__name__, error)
            self._broken.add(name)
            return None

    def _why_not(self, job_type: str, request: dict[str, Json]) -> str | None:
        """Why a job is left alone although its type is known here.

        Its request does not fit the type any more, or the type does not find here what it needs.
        """
        try:
            parsed = self._job_types.parse(job_type, request)
            why = self._job_types.get(job_type).refuses(parsed, self._job_types.observers)
        except (RequestInvalid, UnknownJobType) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - somebody else's method must not end the worker
            return f"refuses() of job type {job_type!r} failed: {type(error).__name__}: {error}"
        return None if why is None else f"worker {self._worker} {why}"
