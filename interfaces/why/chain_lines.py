"""The chain that explains a job, a line for each of its events."""

from collections.abc import Mapping
from typing import Final

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.why.chain import Chain, Link
from milepost.domain.why.seen import Failure, Seen
from milepost.interfaces.quantities import clean, of_total
from milepost.interfaces.why.words import STEPS_NAMED, count, error_in_short, failure_text, moment
from milepost.interfaces.why_documents import WhyLink


def line(seen: Seen, link: Link) -> WhyLink:
    """Who did what, and why."""
    if link.failure is not None:
        return _failed(link.failure)
    assert link.recorded is not None
    recorded = link.recorded
    return WhyLink(
        text=_text(seen, link, recorded),
        event=type(recorded.event).__name__,
        occurred=moment(recorded.recorded_at),
        version=recorded.version,
        actor=recorded.origin.actor,
        source=recorded.origin.source,
        reason=recorded.origin.reason,
        error=_error(recorded.event),
        lease_lost_by=link.lost_by or None,
    )


def _failed(failure: Failure) -> WhyLink:
    on = f" on {clean(failure.worker)}" if failure.worker else ""
    then = "; it is tried again" if failure.retry_at else "; that was its last attempt"
    return WhyLink(
        text=f"{failure_text(failure, f' failed{on}')}{then}",
        event="StepFailed",
        occurred=moment(failure.at),
        version=failure.version,
        actor=failure.worker,
        source="worker",
        step=failure.name,
        attempt=failure.attempt,
        error=error_in_short(failure.error),
    )


def _error(event: e.JobEvent) -> str | None:
    match event:
        case e.JobFailed(error=error):
            return error_in_short(error)
        case e.JobCancelled(cleanup_error=error) if error is not None:
            return error_in_short(error)
        case _:
            return None


def _text(seen: Seen, link: Link, recorded: RecordedEvent) -> str:
    who = clean(recorded.origin.actor)
    what = f"{who} {_deed(seen, link, recorded.event, by_worker=recorded.origin.source == 'worker')}"
    return what + (f": {clean(recorded.origin.reason)}" if recorded.origin.reason else "")


_DEEDS: Final[Mapping[type[e.JobEvent], str]] = {
    e.JobStarted: "started it",
    e.JobResumed: "resumed it",
    e.JobStopRequested: "asked it to stop",
    e.JobCancelRequested: "asked to cancel it",
    e.JobReleased: "gave it back in good order",
    e.JobCompleted: "said that all its steps have ended: it is complete",
    e.JobRemoved: "removed it from the lists",
}


def _deed(seen: Seen, link: Link, event: e.JobEvent, *, by_worker: bool) -> str:
    interrupted = _interrupted(seen, link)
    lost = f", for its worker {clean(link.lost_by)} had lost its lease{interrupted}"
    match event:
        case e.JobClaimed():
            return f"took it over{lost}" if link.lost_by else f"took it{interrupted}"
        case e.JobStopped():
            if link.lost_by:
                return f"stopped it at once{lost}"
            if by_worker:
                return "said that its steps are at rest: it is stopped"
            return "stopped it at once, for no worker had it"
        case e.JobCancelled(cleanup_error=error):
            ended = f"cancelled it at once{lost}" if link.lost_by else "ended it: it is cancelled"
            return ended if error is None else f"{ended}; its cleanup: {error_in_short(error)}"
        case e.JobFailed(error=error):
            return f"had to give it up with {error_in_short(error)}"
        case _:
            return _DEEDS.get(type(event), f"recorded {type(event).__name__}")


def _interrupted(seen: Seen, link: Link) -> str:
    """What was under way when a lease was lost, and from where it goes on."""
    told: list[str] = []
    for each in link.interrupted[:STEPS_NAMED]:
        match each.event:
            case e.StepInterrupted(step=step, attempt=attempt, progress=progress):
                name = f"step {clean(seen.name_of(step))} (attempt {attempt})"
                where = _checkpoint_at(progress)
                told.append(f"{name} was interrupted{where}")
            case e.StepFailed(step=step, attempt=attempt, error=error):
                told.append(f"step {clean(seen.name_of(step))}, attempt {attempt}, failed: {clean(error.message)}")
            case _:
                continue
    more = ", and others" if len(link.interrupted) > STEPS_NAMED else ""
    return f"; {', '.join(told)}{more}" if told else ""


def _checkpoint_at(progress: e.Progress | None) -> str:
    if progress is None or progress.checkpoint is None:
        return ""
    return f" at its checkpoint, {of_total(progress.done, progress.total, progress.unit)}"


def left_out(found: Chain) -> str:
    """Of what there is too much to be told, or nothing."""
    told: list[str] = []
    if found.takeovers:
        told.append(count(found.takeovers, "earlier takeover"))
    if found.failures:
        told.append(count(found.failures, "more failed step"))
    return " and ".join(told)
