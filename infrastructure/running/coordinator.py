"""One job in the hands of one worker: records what its calls report, decides what follows, and starts that."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from milepost.domain import commands as c
from milepost.domain.envelope import Origin
from milepost.domain.events import Progress
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.store import JobStore, StreamMoved, snapshot_due
from milepost.infrastructure.job_types.job_type import JobType
from milepost.infrastructure.running.agenda import Agenda
from milepost.infrastructure.running.call import Call, CallKind, Ended, Planned, Progressed, StepOfCall
from milepost.infrastructure.running.calls import Calls
from milepost.infrastructure.running.executors import StepExecutor
from milepost.infrastructure.running.link import Activity, Signal
from milepost.infrastructure.running.recording import interrupt_unstarted, record_end, record_plan, record_progress

S = JobStatus
PROGRESS_SECONDS: Final = 1.0  # a step's progress is recorded at most so often, and at its end
QUICK_STEP_SECONDS: Final = 0.005  # steps below this are handed to the executor ahead of free slots,
AHEAD_SECONDS: Final = 0.05  # as many as it will have begun in this time
APPENDS_MAX: Final = 20  # tries against other writers in one round


@dataclass(slots=True)
class _Round:
    """What one round decided, to be carried out once it is recorded."""

    calls: list[Call] = field(default_factory=list[Call])
    progress: list[tuple[Activity, Progress]] = field(default_factory=list[tuple[Activity, Progress]])
    acknowledge: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    ended: list[tuple[Activity, Ended]] = field(default_factory=list[tuple[Activity, Ended]])


class Coordinator:
    """Keeps one claimed job in memory, is the only one to record its steps, and lets go when it is at rest."""

    def __init__(
        self,
        job: Job,
        job_type: type[JobType[Any]],
        *,
        store: JobStore,
        executor: StepExecutor,
        surroundings: Surroundings,
        origin: Origin,
        bell: threading.Event,
        snapshot_version: int,
    ) -> None:
        self.job = job
        self.lost = False  # another worker has it, or it came to rest without us
        self._type = job_type
        self._claim = job.claim
        self._request = json.dumps(job.facts.request)
        self._store = store
        self._executor = executor
        self._surroundings = surroundings
        self._origin = origin
        self._calls = Calls(executor, bell)
        self._agenda: Agenda | None = None
        self._leaving = False
        self._unsure = False  # an append may or may not have happened: read before anything else
        self._doubt = job.in_flight > 0  # steps may be recorded as started that were not, or not here
        self._ready = False  # before_resume has been called in this claim
        self._snapshot_version = snapshot_version

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do here; `left_running` says what is still in its slots."""
        return self.lost or self.job.worker is None

    @property
    def busy(self) -> int:
        """Slots that its calls take, those included that do not react to their time-out."""
        return self._calls.slots

    @property
    def left_running(self) -> tuple[Activity, ...]:
        """Calls that are still in their slots."""
        return self._calls.left_running

    @property
    def stuck(self) -> int:
        """Slots that steps hold which do not react to their time-out."""
        return self._calls.stuck

    @property
    def starves(self) -> bool:
        """Whether it could go on and has no slot at all."""
        return self._calls.none_but([]) and self.appetite() > 0

    @property
    def quick(self) -> bool:
        """Whether its steps are so short that a few are handed over before a slot is free."""
        policy = self.job.facts.policy
        unbounded = policy.timeout_seconds is None and policy.max_parallel_steps is None
        pace = self._calls.pace
        return unbounded and pace is not None and pace < QUICK_STEP_SECONDS

    def appetite(self) -> int:
        """How many more calls it could start now, were there slots for them."""
        if self.over or self._leaving or self._unsure or self._calls.hook is not None:
            return 0
        if self._hook_due(self.job) is not None:
            return 1
        if self.job.status is not S.RUNNING:
            return 0
        if self._agenda is None:
            self._agenda = self._new_agenda(self.job)
        most = self.job.facts.policy.max_parallel_steps
        due = 0 if self.job.doomed else self._agenda.due(self._surroundings.monotonic())
        return due if most is None else max(0, min(due, most - self.job.in_flight))

    def turn(self, most: int, free: int) -> None:
        """One round, with steps in at most `most` slots; `free` are free beside those that its own steps leave.

        Raises DatabaseUnavailable; then nothing that was reported is forgotten, and the next round goes on.
        """
        tick = self._surroundings.monotonic()
        self._calls.hear()
        self._calls.mind_the_pace(tick, most)
        self._calls.watch_the_clock(tick)
        for _ in range(APPENDS_MAX):
            if self._unsure:
                self.hear()
            if self.over:
                self._calls.let_go()
                return
            batch, planned = Batch(self.job, self._origin, self._surroundings), _Round()
            if self._doubt:
                self._interrupt_unstarted(batch)
            self._decide(batch, planned, tick, most, free)
            try:
                self.job = self._store.append(batch)
            except StreamMoved:
                self.hear()
                continue
            except DatabaseUnavailable:
                self._unsure = self._doubt = True
                raise
            self._doubt = False
            self._carry_out(planned, tick)
            return

    def hear(self) -> None:
        """Take in what others have appended: operators' commands, or the claim of a successor."""
        self.job = self._store.catch_up(self.job)
        self._unsure = False
        self._agenda = None
        self.lost = self.lost or self.job.claim != self._claim
        self._signal_all()

    def hand_back(self) -> None:
        """Bring the steps to rest; the job is released when the last one is in."""
        self._leaving = True
        self._signal_all()

    def abandon(self) -> None:
        """Release the job now, with what its steps have reported so far.

        Raises DatabaseUnavailable; the job is let go all the same, and the next worker waits for the lease to run out.
        """
        try:
            self._calls.hear()
            for _ in range(APPENDS_MAX):
                if self._unsure:
                    self.hear()
                if self.over or self._released():
                    break
                self.hear()
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Have nothing to do with the job any more, without a word in its history."""
        self.lost = True
        self._calls.let_go()

    def _released(self) -> bool:
        batch, planned = Batch(self.job, self._origin, self._surroundings), _Round()
        self._record_letters(batch, planned)
        for activity in self._calls:
            self._record_progress(batch, planned, activity)
        if batch.after.worker is not None:
            batch.do(c.ReleaseJob(self._claim))
        try:
            self.job = self._store.append(batch)
        except StreamMoved:
            return False
        return True

    # -- deciding

    def _decide(self, batch: Batch, planned: _Round, tick: float, most: int, free: int) -> None:
        self._record_letters(batch, planned)
        for activity in self._calls:
            if tick >= activity.recorded_at + PROGRESS_SECONDS:
                self._record_progress(batch, planned, activity)
        self._settle(batch, planned, tick, most, free)

    def _interrupt_unstarted(self, batch: Batch) -> None:
        ours = {(step.index, step.attempt) for activity in self._calls if (step := activity.call.step) is not None}
        interrupt_unstarted(batch, self._claim, ours)

    def _record_letters(self, batch: Batch, planned: _Round) -> None:
        for activity, report, acknowledge in self._calls.letters:
            if isinstance(report, Ended):
                planned.ended.append((activity, report))
            if activity.over or batch.after.worker is None:
                continue  # too late; and one that waits for an answer must not hear that it is on disk
            match report:
                case Progressed():
                    self._record_progress(batch, planned, activity)
                case Planned():
                    record_plan(batch, self._claim, report)
                case Ended():
                    chance = self._surroundings.chance()
                    record_end(batch, activity, report, chance=chance, leaving=self._leaving)
            if acknowledge is not None:
                planned.acknowledge.append(acknowledge)

    def _record_progress(self, batch: Batch, planned: _Round, activity: Activity) -> None:
        progress = record_progress(batch, activity)
        if progress is not None:
            planned.progress.append((activity, progress))

    def _settle(self, batch: Batch, planned: _Round, tick: float, most: int, free: int) -> None:
        """What follows from where the job stands now."""
        hook = self._calls.hook
        running = hook is not None and all(activity is not hook for activity, _ in planned.ended)
        if batch.after.worker is None or running:
            return
        if self._leaving:
            if self._at_rest(batch, planned):
                batch.do(c.ReleaseJob(self._claim))
            return
        if batch.after.status is S.PREPARING and batch.after.planned and not self._must_call_before_resume():
            batch.do(c.PrepareJob(self._claim))
        if batch.after.status is S.RUNNING:
            self._start_steps(batch, planned, tick, most, free)
        if not self._at_rest(batch, planned):
            return
        due = self._hook_due(batch.after)
        if due is not None:
            if self._slots_left(planned, most, free) > 0:
                planned.calls.append(self._call(batch.after, due))
        elif batch.after.all_ended and batch.after.status in (S.RUNNING, S.STOPPING):
            batch.do(c.CompleteJob(self._claim))
        else:
            batch.do(c.Advance(self._claim))

    def _new_agenda(self, job: Job) -> Agenda:
        return Agenda(job, now=self._surroundings.now().timestamp(), tick=self._surroundings.monotonic())

    def _must_call_before_resume(self) -> bool:
        return not self._ready and self._type.has("before_resume")

    def _hook_due(self, job: Job) -> CallKind | None:
        """The call of the job's own code that must come next, if one must."""
        if job.status is S.PREPARING:
            return CallKind.BEFORE_RESUME if job.planned else CallKind.PLAN
        ended = job.all_ended and job.status in (S.RUNNING, S.STOPPING) and not job.doomed
        if ended and self._type.has("completed"):
            return CallKind.COMPLETED
        if job.status is S.CANCELLING and job.has_cleanup and self._type.has("cancelled"):
            return CallKind.CANCELLED
        return None

    def _at_rest(self, batch: Batch, planned: _Round) -> bool:
        """Whether no call of this job runs any more, once this round is recorded."""
        if planned.calls or batch.after.in_flight:
            return False
        return self._calls.none_but(planned.ended)

    def _start_steps(self, batch: Batch, planned: _Round, tick: float, most: int, free: int) -> None:
        agenda = self._agenda
        if agenda is None:
            agenda = self._agenda = self._new_agenda(batch.after)
        else:
            for recorded in batch.recorded:
                agenda.note(recorded.event, tick=tick)
        room = 0 if batch.after.doomed else self._room(batch.after, planned, most, free)
        while room > 0 and (index := agenda.next(tick)) is not None:
            if batch.do(c.StartStep(self._claim, index)):
                planned.calls.append(self._call(batch.after, CallKind.PERFORM, index))
                room -= 1

    def _room(self, job: Job, planned: _Round, most: int, free: int) -> int:
        """How many more steps may start: in free slots, and a few ahead of them where steps are quick."""
        room = self._slots_left(planned, most, free)
        policy = job.facts.policy
        if policy.max_parallel_steps is not None:
            return min(room, policy.max_parallel_steps - job.in_flight)
        return max(room, self._ahead() - job.in_flight) if self.quick and most > 0 else room

    def _slots_left(self, planned: _Round, most: int, free: int) -> int:
        return min(most - self.busy, free) + self._calls.leave_slots(planned.ended)

    def _ahead(self) -> int:
        begun_soon = self._executor.slots * AHEAD_SECONDS / max(self._calls.pace or 0.0, 1e-6)
        return int(min(self._executor.ahead, begun_soon))

    def _call(self, job: Job, kind: CallKind, index: int | None = None) -> Call:
        facts, step = job.facts, None
        if index is not None:
            known = job.steps[index]
            timeout = facts.policy.timeout_seconds
            step = StepOfCall(index, known.name, known.arguments, known.attempt, known.progress, timeout)
        return Call(kind, job.id, facts.namespace, facts.job_type, self._request, self._claim, step)

    # -- carrying out what is recorded

    def _carry_out(self, planned: _Round, tick: float) -> None:
        self._calls.letters = []
        for activity, progress in planned.progress:
            activity.recorded, activity.recorded_at = progress, tick
        for acknowledge in planned.acknowledge:
            acknowledge()
        for activity, ended in planned.ended:
            self._calls.forget(activity, ended, tick)
        if self.over:
            self._calls.let_go()
        for call in planned.calls:
            self._begin(call, tick)
        self._signal_all()
        if snapshot_due(self.job, self._snapshot_version):
            self._store.take_snapshot(self.job)
            self._snapshot_version = self.job.version

    def _begin(self, call: Call, tick: float) -> None:
        self._ready = self._ready or call.kind in (CallKind.BEFORE_RESUME, CallKind.PLAN)
        self._calls.begin(call, tick)

    def _signal_all(self) -> None:
        job = self.job
        rest = self._leaving or job.status in (S.STOPPING, S.CANCELLING) or job.doomed
        wanted = Signal.LOST if self.over else Signal.STOP if rest else Signal.GO_ON
        self._calls.tell(wanted)
