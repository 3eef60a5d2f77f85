"""A worker: claims jobs, coordinates them side by side, keeps its leases, and hands back what it cannot finish."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from milepost.domain.envelope import Origin
from milepost.domain.events import Json
from milepost.domain.job import Job
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.store import ClaimOffer, JobStore, WorkerRecord
from milepost.infrastructure.job_types.registry import JobTypes, RequestInvalid, UnknownJobType
from milepost.infrastructure.running.coordinator import Coordinator
from milepost.infrastructure.running.executors import StepExecutor

log = logging.getLogger("milepost.worker")

LISTEN_SECONDS: Final = 0.02  # how often a worker looks whether anybody has written
LOOK_SECONDS: Final = 1.0  # how often it looks for work where nobody has: leases run out in silence
REFUSALS_SECONDS: Final = 5.0  # how often it says which jobs it cannot take


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker behaves. Times in seconds; `types`: only jobs of these types (None: of all that it knows)."""

    max_jobs: int = 16
    lease_seconds: float = 10.0
    heartbeat_seconds: float = 3.0
    types: frozenset[str] | None = None


class Worker:
    """One process's worker. All is done in `turn`, by one thread; only user code runs elsewhere."""

    def __init__(
        self,
        *,
        store: JobStore,
        job_types: JobTypes,
        executor: StepExecutor,
        surroundings: Surroundings,
        settings: WorkerSettings | None = None,
        only: UUID | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{surroundings.new_id().hex[-6:]}"
        self._store = store
        self._job_types = job_types
        self._executor = executor
        self._surroundings = surroundings
        self._settings = settings or WorkerSettings()
        self._only = only
        self._origin = Origin(actor=self.name, source="worker")
        self._bell = threading.Event()
        self._coordinators: list[Coordinator] = []
        self._leaving = False
        self._abandoning = False
        self._marker: int | None = None
        self._beat_at = self._looked_at = self._refused_at = float("-inf")
        self._registered = False

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs that it holds now."""
        return tuple(coordinator.job for coordinator in self._coordinators)

    @property
    def gone(self) -> bool:
        """Whether it was asked to leave and holds nothing any more."""
        return self._leaving and not self._coordinators

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Turns until it has handed back its jobs, or until `until()` is true; a broken database is waited for."""
        while True:
            try:
                self.turn()
            except DatabaseUnavailable as error:
                log.warning("%s", error)
            if self.gone or until():
                break
            self._bell.wait(LISTEN_SECONDS)
            self._bell.clear()
        self._deregister()

    def wake(self) -> None:
        """Have it look at once; from any thread."""
        self._bell.set()

    def hand_back(self) -> None:
        """Ask it to bring its steps to rest and release its jobs. Safe in a signal handler."""
        self._leaving = True
        self._bell.set()

    def abandon(self) -> None:
        """Ask it to release its jobs without waiting for their steps. Safe in a signal handler."""
        self._leaving = self._abandoning = True
        self._bell.set()

    def turn(self) -> None:
        """One round: keep the leases, hear what others did, record and start, claim. Never waits.

        Raises DatabaseUnavailable when the database cannot be written now; the next round goes on from there.
        """
        now = self._surroundings.now().timestamp()
        self._beat(now)
        heard = self._listen()
        if self._leaving:
            for coordinator in self._coordinators:
                coordinator.abandon() if self._abandoning else coordinator.hand_back()
        self._coordinate(now)
        if not self._leaving and (heard or now >= self._looked_at + LOOK_SECONDS):
            self._claim(now)

    # -- leases

    def _beat(self, now: float) -> None:
        if now < self._beat_at + self._settings.heartbeat_seconds:
            return
        if not self._registered:
            record = WorkerRecord(self.name, self._types(), self._executor.slots, self._surroundings.now())
            self._store.register_worker(record, self._settings.lease_seconds)
            self._registered = True
        held = self._store.renew(self.name, self._settings.lease_seconds)
        for coordinator in self._coordinators:
            if coordinator.job.id not in held:
                coordinator.hear()
        self._beat_at = now
        for job_id in held - {coordinator.job.id for coordinator in self._coordinators}:
            self._adopt(job_id, now)

    def _adopt(self, job_id: UUID, now: float) -> None:
        """A claim whose answer was lost: it is ours all the same, and nobody else will take it."""
        job = self._store.load(job_id)
        if job.worker == self.name:
            self._take(job, now)
        else:
            self._store.drop_lease(self.name, job_id)

    def _deregister(self) -> None:
        try:
            self._store.deregister_worker(self.name)
        except DatabaseUnavailable as error:
            log.warning("%s", error)

    # -- others

    def _listen(self) -> bool:
        """Whether anybody may have written since; what concerns our jobs has been heard then."""
        marker = self._store.database.change_marker()
        if marker == self._marker:
            return False
        self._marker = marker
        if self._coordinators:
            versions = self._store.versions([coordinator.job.id for coordinator in self._coordinators])
            for coordinator in self._coordinators:
                if versions.get(coordinator.job.id) != coordinator.job.version:
                    coordinator.hear()
        return True

    # -- our jobs

    def _coordinate(self, now: float) -> None:
        for coordinator, room in self._rooms(now):
            try:
                coordinator.turn(room)
            finally:
                self._coordinators = [each for each in self._coordinators if not self._finished(each)]
        if self._coordinators:  # the next round begins with another one
            self._coordinators.append(self._coordinators.pop(0))

    def _finished(self, coordinator: Coordinator) -> bool:
        if coordinator.over:
            job = coordinator.job
            log.info("job %s %s: %s", job.id, job.facts.job_type, "lost" if coordinator.lost else job.status)
            self._looked_at = float("-inf")  # there is room for another
        return coordinator.over

    def _rooms(self, now: float) -> list[tuple[Coordinator, int]]:
        """How many more calls each job may start: a fair share first, then what the others leave."""
        jobs = self._coordinators
        if not jobs:
            return []
        share = max(1, self._executor.slots // len(jobs))
        free = self._executor.slots - sum(min(c.busy, share) if c.quick else c.busy for c in jobs)
        rooms = dict.fromkeys(jobs, 0)
        for most in (share, self._executor.slots):
            for coordinator in jobs:
                if free > 0 and coordinator.wants_room(now):
                    more = max(0, min(free, most - coordinator.busy - rooms[coordinator]))
                    rooms[coordinator] += more
                    free -= more
        return list(rooms.items())

    # -- new jobs

    def _claim(self, now: float) -> None:
        self._looked_at = now
        while len(self._coordinators) < self._settings.max_jobs:
            offers = {name: self._offer(name) for name in self._types()}
            job = self._store.claim(
                self.name,
                offers,
                self._settings.lease_seconds,
                self._origin,
                only=self._only,
                accepts=self._why_not,
            )
            if job is None:
                break
            self._take(job, now)
        if self._only is None and now >= self._refused_at + REFUSALS_SECONDS:
            self._refused_at = now
            self._store.note_refusals(self.name, self._job_types.names())

    def _take(self, job: Job, now: float) -> None:
        log.info("job %s %s: claimed (%s)", job.id, job.facts.job_type, job.status)
        coordinator = Coordinator(
            job,
            self._job_types.get(job.facts.job_type),
            store=self._store,
            executor=self._executor,
            surroundings=self._surroundings,
            origin=self._origin,
            bell=self._bell,
        )
        self._coordinators.append(coordinator)
        for each, room in self._rooms(now):
            if each is coordinator:
                each.turn(room)

    def _types(self) -> tuple[str, ...]:
        wanted = self._settings.types
        return tuple(name for name in self._job_types.names() if wanted is None or name in wanted)

    def _offer(self, name: str) -> ClaimOffer:
        limits = self._job_types.get(name).limits
        return ClaimOffer(limits.running, limits.running_per_key)

    def _why_not(self, job_type: str, request: dict[str, Json]) -> str | None:
        """Why a job is left alone although its type is known here: its request does not fit the type any more."""
        try:
            self._job_types.parse(job_type, request)
        except (RequestInvalid, UnknownJobType) as error:
            return str(error)
        return None
