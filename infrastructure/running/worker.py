"""A worker: claims jobs, coordinates them side by side, keeps its leases, and hands back what it cannot finish."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from milepost.domain.commands import ReleaseJob
from milepost.domain.envelope import Origin
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import CannotOpenDatabase, DatabaseUnavailable
from milepost.infrastructure.event_store.queries import JobQueries, takes_queue
from milepost.infrastructure.event_store.store import Batch, JobStore, StreamMoved, WorkerRecord
from milepost.infrastructure.job_types.registry import JobTypes, UnknownJobType
from milepost.infrastructure.running.claims import Claims
from milepost.infrastructure.running.coordinator import Coordinator
from milepost.infrastructure.running.executors import StepExecutor
from milepost.infrastructure.running.link import Activity
from milepost.infrastructure.running.rooms import Patience, shares, taken
from milepost.infrastructure.running.takeovers import Takeovers

log = logging.getLogger("milepost.worker")

LISTEN_SECONDS: Final = 0.005  # how often a worker looks whether anybody has written
REGISTER_SECONDS: Final = 600.0  # how often it says anew that it is there, for others may have forgotten it
BUSY_LOOK_SECONDS: Final = 5.0  # how often it looks while all its slots are taken
LOOK_SECONDS: Final = 0.5  # how often it looks for work where nobody has: leases run out in silence
TROUBLE_SECONDS: Final = 0.2  # how long it waits when the database does not answer


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker behaves. `types`: only jobs of these types (None: of all that it knows); `queues`: and of these.

    `grace_seconds`: how long a worker that hands back its jobs waits for steps that do not come to rest (None: for
    ever); then it abandons them.
    """

    max_jobs: int = 16
    lease_seconds: float = 10.0
    heartbeat_seconds: float = 3.0
    grace_seconds: float | None = None
    types: frozenset[str] | None = None
    queues: frozenset[str] | None = None


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
        self._queries = JobQueries(store.database)
        self._executor = executor
        self._surroundings = surroundings
        self._settings = settings or WorkerSettings()
        self._only = only
        self._origin = Origin(actor=self.name, source="worker")
        self._takeovers = Takeovers(
            surroundings,
            max_jobs=min(self._settings.max_jobs, executor.slots),
            lease_seconds=self._settings.lease_seconds,
            heartbeat_seconds=self._settings.heartbeat_seconds,
        )
        self._claims = Claims(
            store=store,
            job_types=job_types,
            origin=self._origin,
            types=self._settings.types,
            queues=self._settings.queues,
            only=only,
            lease_seconds=self._settings.lease_seconds,
            takeovers=self._takeovers,
        )
        self._patience = Patience()
        self._bell = threading.Event()
        self._coordinators: list[Coordinator] = []
        self._strays: list[Activity] = []  # calls of jobs that are over, still in their slots
        self._began_at = surroundings.now()
        self._leaving = False
        self._leaving_since: float | None = None
        self._abandoning = False
        self._marker: int | None = None
        self._registered_slots: int | None = None
        self._heard = True  # somebody has written, and no look for work has followed
        self._beat_at = self._beat_tick = self._looked_at = self._took_more_at = self._registered_at = float("-inf")

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs that it holds now."""
        return tuple(coordinator.job for coordinator in self._coordinators)

    @property
    def left_running(self) -> tuple[Activity, ...]:
        """Calls of jobs that it does not hold any more, which have not come to rest."""
        return tuple(activity for activity in self._strays if not activity.done)

    @property
    def gone(self) -> bool:
        """Whether it was asked to leave and holds nothing any more."""
        return self._leaving and not self._coordinators

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Turns until it has handed back its jobs, or until `until()` is true; a broken database is waited for."""
        trouble = False
        while True:
            try:
                self.turn()
                if trouble:
                    log.info("the event store answers again")
                trouble = False
            except DatabaseUnavailable as error:
                if not trouble:  # once, not at every try
                    log.warning("%s Trying again until it answers", error.told)
                trouble = True
            if self.gone or until():
                break
            if trouble:
                time.sleep(TROUBLE_SECONDS)  # reports must not make it try ever faster
            self._bell.wait(LISTEN_SECONDS)
            self._bell.clear()
        self._deregister()

    def wake(self) -> None:
        """Have it look at once; from any thread, but not from a signal handler."""
        self._bell.set()

    def hand_back(self) -> None:
        """Ask it to bring its steps to rest and release its jobs.

        Safe in a signal handler: it only sets a flag, which the next round sees. The bell has a lock, and the thread
        that the signal interrupts may be the one that holds it.
        """
        self._leaving = True

    def abandon(self) -> None:
        """Ask it to release its jobs without waiting for their steps. Safe in a signal handler, as `hand_back` is."""
        self._leaving = self._abandoning = True

    def turn(self) -> None:
        """One round: keep the leases, hear what others did, record and start, claim. Never waits.

        Raises DatabaseUnavailable when the database cannot be written now; the next round goes on from there.
        """
        tick = self._surroundings.monotonic()
        if self._leaving:
            self._leave(tick)
        self._beat(tick)
        self._listen()
        self._coordinate(tick)
        if not self._leaving and self._may_look(tick):
            self._look_for_work(tick)

    def _leave(self, tick: float) -> None:
        if self._leaving_since is None:
            log.info("asked to end: it brings %d jobs to rest and hands them back", len(self._coordinators))
        grace = self._settings.grace_seconds
        self._leaving_since = tick if self._leaving_since is None else self._leaving_since
        if self._abandoning or (grace is not None and tick >= self._leaving_since + grace):
            self._abandon_all()
        for coordinator in self._coordinators:
            coordinator.hand_back()

    def _abandon_all(self) -> None:
        """Whatever the database says: who abandons has no time to wait for it."""
        for coordinator in self._coordinators:
            try:
                coordinator.abandon()
            except DatabaseUnavailable as error:
                log.warning("job %s waits until its lease has run out: %s", coordinator.job.id, error)
        self._dismiss_finished()

    # -- leases

    def _beat(self, tick: float) -> None:
        """Due by either clock: time passes by the one, and leases run out by the other when it is set or has slept."""
        every, now = self._settings.heartbeat_seconds, self._surroundings.now().timestamp()
        if not (_due(self._beat_tick, every, tick) or _due(self._beat_at, every, now)):
            return
        if _due(self._registered_at, REGISTER_SECONDS, now) or self._registered_slots != self._executor.slots:
            # One that is there for a single job is no help to others, and says so by taking no types.
            types = self._claims.types() if self._only is None else ()
            record = self._record(types)
            self._store.register_worker(record, self._settings.lease_seconds)
            self._registered_at, self._registered_slots = now, record.slots
        held = self._store.renew(self.name, self._settings.lease_seconds)
        for coordinator in list(self._coordinators):
            if coordinator.job.id not in held:
                self._guarded(coordinator, coordinator.hear)
        self._beat_at, self._beat_tick = now, tick
        self._takeovers.beat(tick)
        for job_id in held - {coordinator.job.id for coordinator in self._coordinators}:
            self._adopt(job_id)

    def _record(self, types: tuple[str, ...]) -> WorkerRecord:
        queues = None if self._settings.queues is None else tuple(self._settings.queues)
        return WorkerRecord(
            self.name, types, self._executor.slots, self._began_at, queues, socket.gethostname(), os.getpid()
        )

    def _adopt(self, job_id: UUID) -> None:
        """A claim whose answer was lost: it is ours all the same, and nobody else will take it."""
        job = self._claims.readable(job_id)
        if job is None or job.worker != self.name:
            self._store.drop_lease(self.name, job_id)
        elif self._leaving:
            self._release(job)
        else:
            self._take(job)

    def _release(self, job: Job) -> None:
        """Give back a job that nobody coordinates. If others write just now, the next heartbeat tries it again."""
        batch = Batch(job, self._origin, self._surroundings)
        batch.do(ReleaseJob(job.claim))
        try:
            self._store.append(batch)
        except StreamMoved as error:
            log.info("%s", error)

    def _deregister(self) -> None:
        try:
            self._store.deregister_worker(self.name)
        except DatabaseUnavailable as error:
            log.warning("%s", error)

    # -- others

    def _listen(self) -> None:
        """Hear what concerns our jobs, where anybody may have written since."""
        marker = self._store.database.change_marker()
        if marker == self._marker:
            return
        self._heard = True
        versions = self._store.versions([coordinator.job.id for coordinator in self._coordinators])
        for coordinator in list(self._coordinators):
            if versions.get(coordinator.job.id) != coordinator.job.version:
                self._guarded(coordinator, coordinator.hear)
        self._marker = marker  # not before: what could not be read now must be read the next time

    # -- our jobs

    def _coordinate(self, tick: float) -> None:
        allowances = shares(self._coordinators, self._executor.slots - len(self._strays))
        try:
            for coordinator, most in allowances.items():
                free = self._free(allowances)
                self._guarded(coordinator, partial(coordinator.turn, most, free))
                self._mind_hunger(coordinator, tick)
        finally:
            self._dismiss_finished()
        if self._coordinators:  # the next round begins with another one
            self._coordinators.append(self._coordinators.pop(0))

    def _free(self, allowances: dict[Coordinator, int]) -> int:
        """Slots that nobody is in. Those of quick steps are as good as free for the others."""
        busy = sum(taken((each,), most) for each, most in allowances.items())
        return self._executor.slots - len(self._strays) - busy

    def _mind_hunger(self, coordinator: Coordinator, tick: float) -> None:
        """A job that gets no slot here for some time is given back, where another worker might have one."""
        job = coordinator.job
        if not self._patience.is_over(job.id, starves=coordinator.starves, tick=tick):
            return
        if self._only is None and self._others_might_take(job):
            log.info("job %s: there is no slot for it here; another worker may have one", job.id)
            self._patience.give_away(job.id, tick)
            coordinator.hand_back()
        else:
            self._patience.begin_anew(job.id)

    def _others_might_take(self, job: Job) -> bool:
        return any(
            worker["name"] != self.name
            and worker["jobs"] < worker["slots"]
            and job.facts.job_type in json.loads(worker["types"])
            and takes_queue(worker, job.facts.queue)
            for worker in self._queries.live_workers(self._surroundings.now())
        )

    def _guarded(self, coordinator: Coordinator, act: Callable[[], None]) -> None:
        """What goes wrong in one job, such as a history that cannot be read on, must not end the others."""
        try:
            act()
        except (DatabaseUnavailable, CannotOpenDatabase):
            raise
        except Exception as error:
            log.exception("job %s: this worker cannot go on with it", coordinator.job.id)
            why = f"worker {self.name} could not go on with it: {type(error).__name__}: {error}"
            self._give_up(coordinator, why)

    def _give_up(self, coordinator: Coordinator, why: str) -> None:
        """Release the job, so that its steps are not taken for killed by it; without a word where even that fails."""
        job_id = coordinator.job.id
        try:
            coordinator.abandon()
        except DatabaseUnavailable:
            log.warning("job %s waits until its lease has run out", job_id)
        except Exception as error:  # noqa: BLE001 - what went wrong before may do so again
            log.info("job %s could not be released: %s", job_id, error)
        self._claims.give_up(job_id, why)
        self._store.drop_lease(self.name, job_id)

    def _dismiss_finished(self) -> None:
        self._strays = [activity for activity in self._strays if not activity.done]
        for coordinator in [each for each in self._coordinators if each.over]:
            self._coordinators.remove(coordinator)
            self._strays += coordinator.left_running
            self._patience.begin_anew(coordinator.job.id)
            self._heard = True  # there is room for another
            job = coordinator.job
            how = "lost" if coordinator.lost else job.status
            how = "handed back" if how is JobStatus.PENDING else how
            log.info("job %s %s: %s", job.id, job.facts.job_type, how)

    # -- new jobs

    def _may_look(self, tick: float) -> bool:
        """Whether to claim another job now."""
        if self._slots_left <= 0 or len(self._coordinators) >= self._settings.max_jobs:
            return False
        return (self._heard and self._room(tick) > 0) or _due(self._looked_at, LOOK_SECONDS, tick)

    def _room(self, tick: float) -> int:
        """How many jobs to claim that no worker has begun.

        Each job must get a slot in time, so there are no more of them than slots that can be had. And while all slots
        are taken, a worker that has a free one comes first: it looks at once. A job whose worker is gone is another
        matter: it has begun, and waits for nothing else.
        """
        if self._full and not _due(self._took_more_at, BUSY_LOOK_SECONDS, tick):
            return 0
        return max(0, min(self._settings.max_jobs, self._slots_left) - len(self._coordinators))

    @property
    def _slots_left(self) -> int:
        """Those that do not hang."""
        return self._executor.slots - len(self._strays) - sum(each.stuck for each in self._coordinators)

    @property
    def _full(self) -> bool:
        return taken(self._coordinators) + len(self._strays) >= self._executor.slots

    def _look_for_work(self, tick: float) -> None:
        """Claims one job; the next turn goes on. A long history takes time to read, and there are leases to keep."""
        room = self._room(tick)
        self._looked_at = tick
        if room:
            self._took_more_at, self._heard = tick, False
        skip = self._patience.given_away(tick) if self._full else ()
        job = self._claims.next(skip, tick, room)
        if job is not None:
            self._looked_at, self._heard = float("-inf"), True
            self._take(job)

    def _take(self, job: Job) -> None:
        log.info("job %s %s: claimed (%s)", job.id, job.facts.job_type, job.status)
        try:
            job_type = self._job_types.named(job.facts.job_type)
        except UnknownJobType as error:  # of a predecessor that had the same name
            self._claims.give_up(job.id, str(error))
            self._release(job)
            return
        coordinator = Coordinator(
            job,
            job_type,
            store=self._store,
            executor=self._executor,
            surroundings=self._surroundings,
            origin=self._origin,
            bell=self._bell,
            snapshot_version=self._store.snapshot_version(job.id),
        )
        self._coordinators.append(coordinator)
        self._bell.set()


def _due(last: float, every: float, now: float) -> bool:
    """Whether it is time again; also when the clock was set back, which must not silence a heartbeat."""
    return not last <= now < last + every
