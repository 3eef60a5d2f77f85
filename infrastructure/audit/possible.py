"""Whether an event of a file can have happened to the job that the events before it made: it is folded only then."""

from datetime import timedelta

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.job import Job, evolve
from milepost.infrastructure.audit.export_file import recorded
from milepost.infrastructure.audit.export_format import StoredEvent
from milepost.infrastructure.audit.histories import WHAT_A_FOLD_CANNOT_TAKE
from milepost.infrastructure.event_store.codec import UnreadableEvent


class Impossible(Exception):
    """Why an event cannot have happened then, or cannot be read."""


def followed(job: Job, event: StoredEvent) -> tuple[RecordedEvent, Job]:
    """The event, and the job after it. Raises Impossible."""
    try:
        happened = recorded(event)
    except UnreadableEvent as error:
        raise Impossible(str(error)) from error
    try:
        after = evolve(job, happened)
    except WHAT_A_FOLD_CANNOT_TAKE as error:
        raise Impossible(str(error) or type(error).__name__) from error
    if (why := _why_not(job, happened)) is not None:
        raise Impossible(f"event {event.version} ({type(happened.event).__name__}) {why}")
    return happened, after


def _why_not(before: Job, happened: RecordedEvent) -> str | None:
    """What no worker and no operator can have said, although the transition table has a row for it."""
    if happened.recorded_at.utcoffset() != timedelta():
        return f"says a time that is not in UTC: {happened.recorded_at.isoformat()}"
    match happened.event:
        case e.JobClaimed(claim=claim) if claim != before.claim + 1:
            return f"is claim {claim}, behind claim {before.claim}"
        case e.StepsPlanned(first=first) if first != before.total:
            return f"plans steps from {first} on, behind {before.total} that are planned"
        case e.JobPrepared(total_steps=total) if total != before.total:
            return f"says that {total} steps are planned, of which there are {before.total}"
        case e.JobCompleted() if not before.all_ended:
            return f"completes a job of which {before.unfinished} steps have not ended"
        case e.StepStarted(step=step, attempt=attempt) if attempt != before.steps[step].attempt + 1:
            return f"starts attempt {attempt} behind attempt {before.steps[step].attempt}"
        case (
            e.StepProgressed(step=step, attempt=attempt)
            | e.StepSucceeded(step=step, attempt=attempt)
            | e.StepFailed(step=step, attempt=attempt)
            | e.StepStopped(step=step, attempt=attempt)
            | e.StepInterrupted(step=step, attempt=attempt)
        ) if attempt != before.steps[step].attempt:
            return f"is of attempt {attempt}, while attempt {before.steps[step].attempt} runs"
        case _:
            return None
