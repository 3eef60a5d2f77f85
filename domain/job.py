"""The job as its events tell it: `evolve` folds one event, `replay` a whole history.

`evolve` costs the same for a job of ten steps and of a hundred thousand: steps are kept in a
persistent map (immutables.Map), counters beside them. Only an event that concerns every step
(JobCancelled, a resume of failed steps) looks at all that it changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from immutables import Map

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.errors import IllegalTransition
from milepost.domain.policy import failures_exceeded
from milepost.domain.state_machine import (
    TRANSITIONS,
    JobStatus,
    StepStatus,
    Transition,
    When,
)

ERRORS_KEPT: Final = 10  # of one step, the newest; older ones stay in the history


class Step:
    """One step: where it stands, what it reached, and what went wrong in its attempts."""

    __slots__ = (
        "arguments", "attempt", "ended_at", "errors", "index", "name",
        "progress", "retry_at", "seconds", "started_at", "status", "tries",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        name: str,
        arguments: dict[str, e.Json],
        status: StepStatus = StepStatus.PENDING,
        attempt: int = 0,
        tries: int = 0,
        progress: e.Progress | None = None,
        errors: tuple[tuple[int, e.ErrorDetail], ...] = (),
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        seconds: float = 0.0,
        retry_at: datetime | None = None,
    ) -> None:
        self.index = index
        self.name = name
        self.arguments = arguments
        self.status = status
        self.attempt = attempt  # number of the newest attempt; never starts again
        self.tries = tries  # failed attempts since the job was last resumed
        self.progress = progress
        self.errors = errors
        self.started_at = started_at
        self.ended_at = ended_at
        self.seconds = seconds
        self.retry_at = retry_at

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # equal by value, and never a key

    @property
    def done(self) -> float:
        """Items done, in the step's own unit."""
        return self.progress.done if self.progress else 0.0

    def at(
        self,
        status: StepStatus,
        *,
        attempt: int | None = None,
        tries: int | None = None,
        progress: e.Progress | None = None,
        errors: tuple[tuple[int, e.ErrorDetail], ...] | None = None,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        seconds: float | None = None,
        retry_at: datetime | None = None,
    ) -> "Step":
        """The step in another status; what is not named stays, `ended_at` and `retry_at` do not."""
        return Step(
            self.index,
            self.name,
            self.arguments,
            status,
            self.attempt if attempt is None else attempt,
            self.tries if tries is None else tries,
            progress or self.progress,
            self.errors if errors is None else errors,
            started_at or self.started_at,
            ended_at,
            self.seconds if seconds is None else seconds,
            retry_at,
        )


@dataclass(frozen=True, slots=True)
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
    steps: Map[int, Step] = Map()  # noqa: RUF009 - immutable
    counts: Map[StepStatus, int] = Map()  # noqa: RUF009 - immutable
    error: e.ErrorDetail | None = None
    items: float = 0.0  # done in all steps, in the steps' own unit
    running_since: datetime | None = None  # of the present claim, with what was done before it:
    items_before: float = 0.0
    ended_before: int = 0
    advanced_at: datetime | None = None  # when a step last got further

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
    def doomed(self) -> bool:
        """Whether its policy lets no further step start, because too many failed."""
        return failures_exceeded(self.facts.policy, self.count(StepStatus.FAILED), self.total)

    def meets(self, when: When) -> bool:
        match when:
            case When.ALWAYS:
                return True
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


# Which steps a resume sends back to the start line, by the status it is resumed from.
_ALL_BUT_SUCCEEDED: Final = (StepStatus.STOPPED, StepStatus.WAITING, StepStatus.FAILED)
_RUN_AGAIN: Final[Mapping[JobStatus | None, tuple[StepStatus, ...]]] = {
    JobStatus.STOPPING: (StepStatus.STOPPED,),  # withdrawn: waiting steps go on waiting
    JobStatus.STOPPED: (StepStatus.STOPPED, StepStatus.WAITING),
}


def replay(job_id: UUID, history: Iterable[RecordedEvent]) -> Job:
    """The job after its history."""
    job = Job(job_id)
    for recorded in history:
        job = evolve(job, recorded)
    return job


def evolve(job: Job, recorded: RecordedEvent) -> Job:
    """The job after an event, which has happened. Raises IllegalTransition on a corrupt history."""
    event = recorded.event
    row = job.transition(type(event))
    if row is None:
        raise IllegalTransition(f"apply {type(event).__name__} to", job.id, job.status)
    at = recorded.recorded_at
    match event:
        case e.StepStarted():
            step = job.steps[event.step]
            started = step.at(StepStatus.RUNNING, attempt=event.attempt, started_at=at)
            return _stepped(job, recorded, step, started)
        case e.StepSucceeded():
            step = job.steps[event.step]
            done = step.at(StepStatus.SUCCEEDED, progress=event.progress, ended_at=at, seconds=event.seconds)
            return _stepped(job, recorded, step, done)
        case e.StepProgressed():
            step = job.steps[event.step]
            return _stepped(job, recorded, step, step.at(step.status, progress=event.progress))
        case e.StepFailed():
            return _stepped(job, recorded, job.steps[event.step], _failed(job, event, at))
        case e.StepStopped():
            step = job.steps[event.step]
            stopped = step.at(StepStatus.STOPPED, progress=event.progress, ended_at=at, seconds=event.seconds)
            return _stepped(job, recorded, step, stopped)
        case e.StepInterrupted():
            step = job.steps[event.step]
            back = step.at(StepStatus.PENDING, progress=event.progress)
            return _stepped(job, recorded, step, back)
        case _:
            return _whole(replace(job, version=recorded.version, status=row.target), event, at, row.source)


def _whole(job: Job, event: e.JobEvent, at: datetime, source: JobStatus | None) -> Job:
    """The rest of what an event about the whole job changes, beside its status and version."""
    match event:
        case e.JobStarted():
            return replace(job, started=event, created_at=at)
        case e.JobClaimed():
            claimed = replace(job, worker=event.worker, claim=event.claim, prepared=False)
            return claimed if job.planned else replace(claimed, steps=Map(), counts=Map(), items=0.0)
        case e.StepsPlanned():
            return _planned(job, event)
        case e.JobPrepared():
            return replace(
                job,
                planned=True,
                prepared=True,
                has_cleanup=event.has_cleanup,
                running_since=at,
                items_before=job.items,
                ended_before=job.total - job.unfinished,
            )
        case e.JobStopped() | e.JobReleased():
            return replace(job, worker=None)
        case e.JobResumed():
            resumed = _moved(job, _RUN_AGAIN.get(source, _ALL_BUT_SUCCEEDED), StepStatus.PENDING)
            return replace(resumed, ended_at=None, error=None)
        case e.JobCancelled():
            over = (StepStatus.PENDING, StepStatus.WAITING, StepStatus.STOPPED)
            cancelled = _moved(job, over, StepStatus.CANCELLED)
            return replace(cancelled, worker=None, ended_at=at, error=event.cleanup_error)
        case e.JobCompleted():
            return replace(job, worker=None, ended_at=at)
        case e.JobFailed():
            return replace(job, worker=None, ended_at=at, error=event.error)
        case _:
            return job


def _stepped(job: Job, recorded: RecordedEvent, old: Step, new: Step) -> Job:
    counts, items, advanced = job.counts, job.items, job.advanced_at
    if old.progress is not new.progress:
        items += new.done - old.done
        advanced = recorded.recorded_at
    if old.status is not new.status:
        counts = counts.set(old.status, counts[old.status] - 1)
        counts = counts.set(new.status, counts.get(new.status, 0) + 1)
        if new.status is StepStatus.SUCCEEDED:
            advanced = recorded.recorded_at
    # Built by hand: dataclasses.replace is the fold's largest cost otherwise.
    return Job(
        job.id, recorded.version, job.status, job.started, job.created_at, job.ended_at, job.worker, job.claim,
        job.planned, job.prepared, job.has_cleanup, job.steps.set(new.index, new), counts, job.error,
        items, job.running_since, job.items_before, job.ended_before, advanced,
    )  # fmt: skip


def _planned(job: Job, event: e.StepsPlanned) -> Job:
    with job.steps.mutate() as steps:
        for index, planned in enumerate(event.steps, start=event.first):
            steps[index] = Step(index, planned.name, planned.arguments)
        plan = steps.finish()
    return replace(job, steps=plan, counts=job.counts.set(StepStatus.PENDING, len(plan)))


def _failed(job: Job, event: e.StepFailed, at: datetime) -> Step:
    step = job.steps[event.step]
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


def _moved(job: Job, sources: tuple[StepStatus, ...], target: StepStatus) -> Job:
    """All steps in one of `sources` go to `target`; their tries start anew."""
    if not any(job.count(source) for source in sources):
        return job
    counts = job.counts
    with job.steps.mutate() as steps:
        for index, step in job.steps.items():
            if step.status in sources:
                steps[index] = step.at(target, tries=0)
        moved = steps.finish()
    for source in sources:
        counts = counts.set(target, counts.get(target, 0) + counts.get(source, 0))
        counts = counts.set(source, 0)
    return replace(job, steps=moved, counts=counts)
