"""One job in the hands of one worker: records what its calls report, decides what follows, and starts that."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.envelope import Origin
from milepost.domain.events import Progress
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.store import JobStore, StreamMoved, snapshot_due
from milepost.infrastructure.job_types.job_type import JobType
from milepost.infrastructure.running.agenda import Agenda
from milepost.infrastructure.running.call import Call, CallKind, Ended, How, Planned, Progressed, Report, StepOfCall
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.executors import StepExecutor
from milepost.infrastructure.running.link import Activity, Mailbox, Signal
from milepost.infrastructure.running.step_context import StepTimedOut

log = logging.getLogger("milepost.worker")

S = JobStatus
PROGRESS_SECONDS: Final = 1.0  # a step's progress is recorded at most so often, and at its end
TIMEOUT_GRACE_SECONDS: Final = 2.0  # for a step to notice that its time is over
QUICK_STEP_SECONDS: Final = 0.005  # steps below this are handed to the executor ahead of free slots,
AHEAD_SECONDS: Final = 0.05  # as many as it will have begun in this time
PACE_WEIGHT: Final = 0.2  # of the newest step in the moving average of the steps' duration
APPENDS_MAX: Final = 20  # tries against other writers in one round

Letter = tuple[Activity, Report, Callable[[], None] | None]


class GaveUp(Ended):
    """The end of an attempt that did not react to its time-out; its slot stays taken until it really ends."""


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
        self._mailbox = Mailbox(bell)
        self._letters: list[Letter] = []  # taken, and not recorded yet
        self._activities: dict[Activity, None] = {}  # a set that keeps its order: the same seed, the same history
        self._zombies: dict[Activity, None] = {}  # given up, but still in their slots
        self._hook: Activity | None = None  # the one call that is not a step
        self._agenda: Agenda | None = None
        self._leaving = False
        self._unsure = False  # an append may or may not have happened: read before anything else
        self._doubt = False  # it did happen, perhaps: steps may be recorded as started that were not
        self._pace: float | None = None  # seconds a step takes, on average
        self._ready = False  # before_resume has been called in this claim
        self._snapshot_version = snapshot_version

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do here; `left_running` says what is still in its slots."""
        return self.lost or self.job.worker is None

    @property
    def busy(self) -> int:
        """Slots that its calls take, those included that do not react to their time-out."""
        return len(self._activities) + len(self._zombies)

    @property
    def left_running(self) -> tuple[Activity, ...]:
        """Calls that are still in their slots."""
        return tuple(activity for activity in (*self._activities, *self._zombies) if not activity.done)

    @property
    def stuck(self) -> int:
        """Slots that steps hold which do not react to their time-out."""
        return sum(not activity.done for activity in self._zombies)

    @property
    def quick(self) -> bool:
        """Whether its steps are so short that a few are handed over before a slot is free."""
        policy = self.job.facts.policy
        unbounded = policy.timeout_seconds is None and policy.max_parallel_steps is None
        return unbounded and self._pace is not None and self._pace < QUICK_STEP_SECONDS

    def appetite(self) -> int:
        """How many more calls it could start now, were there slots for them."""
        if self.over or self._leaving or self._unsure or self._hook is not None:
            return 0
        if self.job.status is S.RUNNING:
            if self._agenda is None:
                self._agenda = self._new_agenda(self.job)
            most = self.job.facts.policy.max_parallel_steps
            due = 0 if self.job.doomed else self._agenda.due(self._surroundings.monotonic())
            return due if most is None else max(0, min(due, most - self.job.in_flight))
        return 1 if self.job.status in (S.PREPARING, S.CANCELLING) else 0

    def turn(self, most: int, free: int) -> None:
        """One round, with steps in at most `most` slots; `free` are free beside those that its own steps leave.

        Raises DatabaseUnavailable; then nothing that was reported is forgotten, and the next round goes on.
        """
        tick = self._surroundings.monotonic()
        self._letters += self._mailbox.take()
        self._watch_the_clock(tick)
        for _ in range(APPENDS_MAX):
            if self._unsure:
                self.hear()
            if self.over:
                self._let_go()
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
            self._letters += self._mailbox.take()
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
        self._let_go()

    def _released(self) -> bool:
        batch, planned = Batch(self.job, self._origin, self._surroundings), _Round()
        self._record_letters(batch, planned)
        for activity in self._activities:
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
        for activity in self._activities:
            if tick >= activity.recorded_at + PROGRESS_SECONDS:
                self._record_progress(batch, planned, activity)
        self._settle(batch, planned, tick, most, free)

    def _interrupt_unstarted(self, batch: Batch) -> None:
        """Steps that an append recorded as started although its answer was lost, so that nobody ran them."""
        ours = {(a.call.step.index, a.call.step.attempt) for a in self._activities if a.call.step is not None}
        for index, step in batch.after.steps.items():
            if step.status is StepStatus.RUNNING and (index, step.attempt) not in ours:
                cause = "it was recorded as started, and was not"
                batch.do(c.InterruptStep(self._claim, index, step.attempt, cause))

    def _record_letters(self, batch: Batch, planned: _Round) -> None:
        for activity, report, acknowledge in self._letters:
            if isinstance(report, Ended):
                planned.ended.append((activity, report))
            if activity.over or batch.after.worker is None:
                continue  # too late; and one that waits for an answer must not hear that it is on disk
            match report:
                case Progressed():
                    self._record_progress(batch, planned, activity)
                case Planned():
                    self._record_plan(batch, report)
                case Ended():
                    self._record_end(batch, activity, report)
            if acknowledge is not None:
                planned.acknowledge.append(acknowledge)

    def _record_plan(self, batch: Batch, report: Planned) -> None:
        """A batch that is there already, because a stop was withdrawn and the plan is made again, adds nothing."""
        if batch.after.status is S.PREPARING:
            batch.do(c.PlanSteps(self._claim, report.first, report.steps))

    def _record_progress(self, batch: Batch, planned: _Round, activity: Activity) -> None:
        progress, step = activity.unrecorded, activity.call.step
        if progress is None or step is None or activity.over or batch.after.worker is None:
            return
        known = batch.after.steps.get(step.index)
        if known is not None and known.progress is not progress:
            batch.do(c.ReportProgress(self._claim, step.index, step.attempt, progress))
        planned.progress.append((activity, progress))

    def _record_end(self, batch: Batch, activity: Activity, ended: Ended) -> None:
        step = activity.call.step
        if step is None:
            self._record_hook(batch, activity.call, ended)
            return
        index, attempt, progress = step.index, step.attempt, ended.progress or activity.unrecorded
        goes_on = batch.after.status is S.RUNNING
        if ended.how is How.STOPPED and activity.signal is Signal.TIMED_OUT:
            # It heard that it should end, and did so as it would for a stop; but it was its time that was over.
            timed_out = error_detail(StepTimedOut(step.timeout_seconds or 0.0))
            ended = replace(ended, how=How.FAILED, error=timed_out)
        match ended.how:
            case How.SUCCEEDED:
                command: c.StepReport = c.ReportSuccess(self._claim, index, attempt, ended.seconds, progress)
            case How.FAILED:
                chance = self._surroundings.chance()
                error = ended.error or e.ErrorDetail(type="Unknown", message="")
                command = c.ReportFailure(self._claim, index, attempt, ended.seconds, error, chance, progress)
            case How.STOPPED if goes_on and batch.after.doomed:
                command = c.InterruptStep(self._claim, index, attempt, "too many steps have failed", progress)
            case How.STOPPED if goes_on and self._leaving:
                command = c.InterruptStep(self._claim, index, attempt, "its worker shut down", progress)
            case How.STOPPED:
                command = c.ReportStop(self._claim, index, attempt, ended.seconds, progress)
        batch.do(command)

    def _record_hook(self, batch: Batch, call: Call, ended: Ended) -> None:
        status, kind = batch.after.status, call.kind
        if kind is CallKind.CANCELLED:
            if status is S.CANCELLING and ended.how is not How.STOPPED:
                batch.do(c.Advance(self._claim, cleanup_error=ended.error))
        elif ended.how is How.FAILED:
            error = ended.error or e.ErrorDetail(type="Unknown", message="")
            if status in (S.PREPARING, S.RUNNING, S.STOPPING):
                batch.do(c.FailJob(self._claim, error))
            else:
                log.warning("job %s: its %s failed while it is %s: %s", call.job_id, kind, status, error.message)
        elif ended.how is How.SUCCEEDED and kind is CallKind.COMPLETED and status in (S.RUNNING, S.STOPPING):
            batch.do(c.CompleteJob(self._claim))
        elif ended.how is How.SUCCEEDED and status is S.PREPARING:
            if kind is CallKind.PLAN and ended.planned != batch.after.total:
                batch.do(c.FailJob(self._claim, _plan_changed(ended.planned, batch.after.total)))
            else:
                self._prepare(batch)

    def _prepare(self, batch: Batch) -> None:
        batch.do(c.PrepareJob(self._claim))

    def _settle(self, batch: Batch, planned: _Round, tick: float, most: int, free: int) -> None:
        """What follows from where the job stands now."""
        running = self._hook is not None and all(activity is not self._hook for activity, _ in planned.ended)
        if batch.after.worker is None or running:
            return
        if self._leaving:
            if self._at_rest(batch, planned):
                batch.do(c.ReleaseJob(self._claim))
            return
        if batch.after.status is S.PREPARING and batch.after.planned and not self._must_call_before_resume():
            self._prepare(batch)
        if batch.after.status is S.RUNNING:
            self._start_steps(batch, planned, tick, most, free)
        if not self._at_rest(batch, planned):
            return
        hook = self._hook_due(batch.after)
        if hook is not None:
            planned.calls.append(self._call(batch.after, hook))
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
        ended = {activity for activity, _ in planned.ended}
        return self._activities.keys() <= ended

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
        left = {activity for activity, ended in planned.ended if not isinstance(ended, GaveUp)}
        left &= self._activities.keys() | self._zombies.keys()
        room = min(most - self.busy, free) + len(left)
        policy = job.facts.policy
        if policy.max_parallel_steps is not None:
            return min(room, policy.max_parallel_steps - job.in_flight)
        return max(room, self._ahead() - job.in_flight) if self.quick and most > 0 else room

    def _ahead(self) -> int:
        begun_soon = self._executor.slots * AHEAD_SECONDS / max(self._pace or 0.0, 1e-6)
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
        self._letters = []
        for activity, progress in planned.progress:
            activity.recorded, activity.recorded_at = progress, tick
        for acknowledge in planned.acknowledge:
            acknowledge()
        for activity, ended in planned.ended:
            self._forget(activity, ended)
        if self.over:
            self._let_go()
        for call in planned.calls:
            self._begin(call, tick)
        self._signal_all()
        if snapshot_due(self.job, self._snapshot_version):
            self._store.take_snapshot(self.job)
            self._snapshot_version = self.job.version

    def _begin(self, call: Call, tick: float) -> None:
        timeout = call.step.timeout_seconds if call.step else None
        deadline = None if timeout is None else tick + timeout
        activity = Activity(call, self._mailbox, deadline=deadline, recorded_at=tick)
        self._activities[activity] = None
        if call.step is None:
            self._hook = activity
            self._ready = self._ready or call.kind in (CallKind.BEFORE_RESUME, CallKind.PLAN)
        self._executor.submit(activity)

    def _forget(self, activity: Activity, ended: Ended) -> None:
        if isinstance(ended, GaveUp):
            self._zombies[activity] = None
        else:
            self._zombies.pop(activity, None)
        activity.over = True
        if activity in self._activities:
            del self._activities[activity]
            if activity.call.step is not None:
                was = self._pace if self._pace is not None else ended.seconds
                self._pace = was + PACE_WEIGHT * (ended.seconds - was)
        if activity is self._hook:
            self._hook = None

    def _signal_all(self) -> None:
        job = self.job
        rest = self._leaving or job.status in (S.STOPPING, S.CANCELLING) or job.doomed
        wanted = Signal.LOST if self.over else Signal.STOP if rest else Signal.GO_ON
        for activity in self._activities:
            if activity.call.kind in (CallKind.PERFORM, CallKind.PLAN) or wanted is Signal.LOST:
                activity.tell(wanted)

    def _let_go(self) -> None:
        """Whatever still runs here reports to nobody."""
        for activity in self._activities:
            activity.over = True
            activity.tell(Signal.LOST)
        self._hook = None

    # -- time-outs

    def _watch_the_clock(self, tick: float) -> None:
        for activity in self._activities:
            if not activity.begun and activity.deadline is not None:
                activity.deadline = tick + _timeout(activity)
            if activity.deadline is None or activity.done or tick < activity.deadline:
                continue
            activity.tell(Signal.TIMED_OUT)
            if tick >= activity.deadline + TIMEOUT_GRACE_SECONDS:
                self._give_up(activity, tick)

    def _give_up(self, activity: Activity, tick: float) -> None:
        """The step does not react: its attempt has failed all the same, and its slot is lost until it does."""
        if any(known is activity and isinstance(report, Ended) for known, report, _ in self._letters):
            return  # in a round that could not be recorded
        step, timeout = activity.call.step, _timeout(activity)
        late = timeout + tick - (activity.deadline or tick)
        ended = GaveUp(How.FAILED, late, activity.unrecorded, error_detail(StepTimedOut(timeout)))
        self._letters.append((activity, ended, None))
        log.warning("job %s: step %s does not react to its time-out", self.job.id, step.name if step else "")
        self._executor.kill(activity)


def _timeout(activity: Activity) -> float:
    step = activity.call.step
    return (step.timeout_seconds if step else None) or 0.0


def _plan_changed(steps: int, before: int) -> e.ErrorDetail:
    message = f"plan() must yield the same steps whenever it is called: now {steps}, before {before}"
    return e.ErrorDetail(type="PlanChanged", message=message)
