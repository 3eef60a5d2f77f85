"""The job as its events tell it: `evolve` folds one event, `replay` a whole history.

`evolve` costs the same for a job of ten steps and of a hundred thousand: steps are kept in a
persistent map (immutables.Map), counters beside them. Only an event that concerns every step
(JobCancelled, a resume of failed steps) looks at all that it changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, get_args
from uuid import UUID

from immutables import Map

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.errors import BrokenHistory, IllegalTransition, UnknownStep
from milepost.domain.policy import failures_exceeded
from milepost.domain.state_machine import (
    RUN_AGAIN,
    STEP_TRANSITIONS,
    TRANSITIONS,
    JobStatus,
    StepStatus,
    Transition,
    When,
)
from milepost.domain.step import ERRORS_KEPT, Step
from milepost.domain.value import value

__all__ = ["ERRORS_KEPT", "Job", "Step", "evolve", "replay"]


OPERATORS_WORDS: Final = (e.JobStarted, e.JobStopRequested, e.JobResumed, e.JobCancelRequested)


@value
class Job:
    """A job, folded from `version` events. Counters are of steps by status."""

    id: UUID
    version: int = 0
    status: JobStatus | None = None
    started: e.JobStarted | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None
    worker: str | None = None
    claim: int = 0
    planned: bool = False  # the plan is whole: JobPrepared has happened
    prepared: bool = False  # in this claim
    has_cleanup: bool = False
    steps: Map[int, Step] = Map()
    counts: Map[StepStatus, int] = Map()
    error: e.ErrorDetail | None = None
    items: float = 0.0  # done in all steps, in the steps' own unit
    unit: str = ""  # which the steps named last
    running_since: datetime | None = None  # of the present claim, with what was done before it:
    items_before: float = 0.0
    ended_before: int = 0
    advanced_at: datetime | None = None  # when a step last got further
    correlation_id: str = ""  # of the operator's command that set going what happens now

    @property
    def facts(self) -> e.JobStarted:
        """What the job was started with."""
        if self.started is None:
            raise IllegalTransition("read the facts of", self.id, None)
        return self.started

    def count(self, status: StepStatus) -> int:
        return self.counts.get(status, 0)

    @property
    def total(self) -> int:
        return len(self.steps)

    @property
    def in_flight(self) -> int:
        return self.count(StepStatus.RUNNING)

    @property
    def unfinished(self) -> int:
        """Steps that have neither succeeded nor failed for good."""
        return self.total - self.count(StepStatus.SUCCEEDED) - self.count(StepStatus.FAILED)

    @property
    def all_ended(self) -> bool:
        """Whether its plan is whole and every step has succeeded or failed: what is left is to complete."""
        return self.planned and self.unfinished == 0

    @property
    def doomed(self) -> bool:
        """Whether its policy lets no further step start, because too many failed."""
        return failures_exceeded(self.facts.policy, self.count(StepStatus.FAILED), self.total)

    def meets(self, when: When) -> bool:
        match when:
            case When.ALWAYS:
                return True
            case When.UNPLANNED:
                return not self.planned
            case When.PREPARED:
                return self.prepared
            case When.UNPREPARED:
                return not self.prepared
            case When.NONE_FAILED:
                return self.count(StepStatus.FAILED) == 0
            case When.SOME_FAILED:
                return self.count(StepStatus.FAILED) > 0

    def transition(self, event: type[e.JobEvent]) -> Transition | None:
        """The row of the table that this event would take; None where it cannot happen."""
        for row in _ROWS.get((event, self.status), ()):
            if self.meets(row.when):
                return row
        return None


_ROWS: Final[Mapping[tuple[type[e.JobEvent], JobStatus | None], tuple[Transition, ...]]] = {
    (event, source): tuple(row for row in rows if row.source is source)
    for event, rows in TRANSITIONS.items()
    for source in {row.source for row in rows}
}


_STEP_SOURCES: Final[Mapping[type[e.JobEvent], frozenset[StepStatus]]] = {
    event: frozenset(source for row in STEP_TRANSITIONS[event] for source in row.sources)
    for event in get_args(e.StepEvent)
}


def replay(job_id: UUID, history: Iterable[RecordedEvent]) -> Job:
    """The job after its history."""
    job = Job(job_id)
    for recorded in history:
        job = evolve(job, recorded)
    return job


def evolve(job: Job, recorded: RecordedEvent) -> Job:
    """The job after an event, which has happened. Raises JobError where a corrupt history says what cannot be."""
    event = recorded.event
    if recorded.version != job.version + 1:
        raise BrokenHistory(job.id, job.version + 1, recorded.version)
    row = job.transition(type(event))
    if row is None:
        raise IllegalTransition(f"apply {type(event).__name__} to", job.id, job.status)
    at = recorded.recorded_at
    match event:
        case e.StepStarted():
            step = _named(job, event)
            return _stepped(job, recorded, step, step.at(StepStatus.RUNNING, attempt=event.attempt, started_at=at))
        case e.StepSucceeded():
            step = _named(job, event)
            done = step.at(StepStatus.SUCCEEDED, progress=event.progress, ended_at=at, seconds=event.seconds)
            return _stepped(job, recorded, step, done)
        case e.StepProgressed():
            step = _named(job, event)
            return _stepped(job, recorded, step, step.at(step.status, progress=event.progress))
        case e.StepFailed():
            step = _named(job, event)
            return _stepped(job, recorded, step, _failed(step, event, at))
        case e.StepStopped():
            step = _named(job, event)
            stopped = step.at(StepStatus.STOPPED, progress=event.progress, ended_at=at, seconds=event.seconds)
            return _stepped(job, recorded, step, stopped)
        case e.StepInterrupted():
            step = _named(job, event)
            return _stepped(job, recorded, step, _interrupted(step, event))
        case _:
            moved = replace(job, version=recorded.version, status=row.target)
            if isinstance(event, OPERATORS_WORDS):
                moved = replace(moved, correlation_id=recorded.origin.correlation_id)
            return _whole(moved, event, at, row.source)


def _named(job: Job, event: e.StepEvent) -> Step:
    """The step that an event names, if the event can happen to it."""
    step = job.steps.get(event.step)
    if step is None:
        raise UnknownStep(job.id, event.step, job.total)
    if step.status not in _STEP_SOURCES[type(event)]:
        asked = f"apply {type(event).__name__} to step {step.index} ({step.status}) of"
        raise IllegalTransition(asked, job.id, job.status)
    return step


def _whole(job: Job, event: e.JobEvent, at: datetime, source: JobStatus | None) -> Job:
    """The rest of what an event about the whole job changes, beside its status and version."""
    match event:
        case e.JobStarted():
            return replace(job, started=event, created_at=at)
        case e.JobClaimed():
            # A plan that was cut short is made anew.
            claimed = replace(
                job, worker=event.worker, claim=event.claim, has_cleanup=event.has_cleanup, prepared=False
            )
            return claimed if job.planned else replace(claimed, steps=Map(), counts=Map(), items=0.0)
        case e.StepsPlanned():
            return _planned(job, event)
        case e.JobPrepared():
            return replace(
                job,
                planned=True,
                prepared=True,
                running_since=at,
                items_before=job.items,
                ended_before=job.total - job.unfinished,
            )
        case e.JobResumed():
            return _resumed(job, source)
        case e.JobCancelled():
            over = _moved(job, STEP_TRANSITIONS[e.JobCancelled][0].sources, StepStatus.CANCELLED)
            return replace(_let_go(over), ended_at=at, error=event.cleanup_error)
        case e.JobCompleted():
            return replace(_let_go(job), ended_at=at)
        case e.JobFailed():
            return replace(_let_go(job), ended_at=at, error=event.error)
        case e.JobStopped() | e.JobReleased():
            return _let_go(job)
        case _:
            return job


def _let_go(job: Job) -> Job:
    """No worker has it any more, so nothing that a worker does for it can be in hand."""
    return replace(job, worker=None, prepared=False)


def _resumed(job: Job, source: JobStatus | None) -> Job:
    """Where a stop is withdrawn, steps keep their tries; from rest, all that will run begin anew with them."""
    again = RUN_AGAIN[source] if source else ()
    if source is JobStatus.STOPPING:
        return _moved(job, again, StepStatus.PENDING)
    return replace(_moved(job, (*again, StepStatus.PENDING), StepStatus.PENDING, tries=0), ended_at=None, error=None)


def _stepped(job: Job, recorded: RecordedEvent, old: Step, new: Step) -> Job:
    counts, items, unit, advanced = job.counts, job.items, job.unit, job.advanced_at
    if old.progress is not new.progress and old.progress != new.progress:  # by value: as a replay would see it
        items += new.done - old.done
        unit = (new.progress.unit if new.progress else "") or unit
        advanced = recorded.recorded_at
        if new.crashes and old.is_passed_by(new.progress):
            new.crashes = 0
    if old.status is not new.status:
        counts = counts.set(old.status, counts[old.status] - 1)
        counts = counts.set(new.status, counts.get(new.status, 0) + 1)
        if new.status is StepStatus.SUCCEEDED:
            advanced = recorded.recorded_at
    # Built by hand: dataclasses.replace is the fold's largest cost otherwise.
    return Job(
        job.id, recorded.version, job.status, job.started, job.created_at, job.ended_at, job.worker, job.claim,
        job.planned, job.prepared, job.has_cleanup, job.steps.set(new.index, new), counts, job.error,
        items, unit, job.running_since, job.items_before, job.ended_before, advanced,
        job.correlation_id,
    )  # fmt: skip


def _planned(job: Job, event: e.StepsPlanned) -> Job:
    planned = enumerate(event.steps, start=event.first)
    plan = job.steps.update({index: Step(index, step.name, step.arguments) for index, step in planned})
    return replace(job, steps=plan, counts=job.counts.set(StepStatus.PENDING, len(plan)))


def _failed(step: Step, event: e.StepFailed, at: datetime) -> Step:
    last = event.retry_in_seconds is None
    return step.at(
        StepStatus.FAILED if last else StepStatus.WAITING,
        tries=step.tries + 1,
        progress=event.progress,
        errors=(*step.errors[1 - ERRORS_KEPT :], (event.attempt, event.error)),
        ended_at=at,
        seconds=event.seconds,
        retry_at=None if event.retry_in_seconds is None else at + timedelta(seconds=event.retry_in_seconds),
    )


def _interrupted(step: Step, event: e.StepInterrupted) -> Step:
    return step.at(
        StepStatus.PENDING,
        progress=event.progress,
        crashes=step.crashes + 1 if event.lease_lost else step.crashes,
    )


def _moved(job: Job, sources: tuple[StepStatus, ...], target: StepStatus, tries: int | None = None) -> Job:
    """All steps in one of `sources` go to `target`; one that would not change stays the very same."""
    counts, moved = dict(job.counts), dict[int, Step]()
    for index, step in job.steps.items():
        anew = tries is not None and (step.tries != tries or step.crashes != tries)
        if step.status in sources and (step.status is not target or anew):
            moved[index] = step.at(target, tries=tries, crashes=tries)
            counts[step.status] -= 1
            counts[target] = counts.get(target, 0) + 1
    return replace(job, steps=job.steps.update(moved), counts=Map(counts))
