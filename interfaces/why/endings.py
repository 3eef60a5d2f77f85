"""The sentence about a job that has ended or rests: who or what ended it, and how."""

from collections.abc import Mapping
from typing import Final

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus
from milepost.domain.why.chain import job_error
from milepost.domain.why.explain import Because, Explanation
from milepost.domain.why.seen import Seen
from milepost.interfaces.quantities import clean, number
from milepost.interfaces.why.words import ago, count, error_in_short, failure_text, given, newest


def at_rest(seen: Seen, why: Explanation) -> str:
    return f"{asked(seen)}{_how_it_ended(seen, why)}."


def completed(seen: Seen, _why: Explanation) -> str:
    return f"It completed {ago(seen, newest(seen))}: {_all_succeeded(seen)}{_too_late(seen)}."


def with_failures(seen: Seen, _why: Explanation) -> str:
    how_many = f"{number(seen.failed)} of {count(seen.total, 'step')} failed"
    return f"It completed {ago(seen, newest(seen))}, but {how_many}{_newest_failure(seen)}."


def failed(seen: Seen, why: Explanation) -> str:
    return f"It failed {ago(seen, newest(seen))}: {_what_failed(seen, why.because)}."


def asked(seen: Seen) -> str:
    """Who asked for the stop or the cancel: ann@desk stopped it 4.0 s ago ("deploying")"""
    cancel = seen.status in (JobStatus.CANCELLING, JobStatus.CANCELLED)
    rests = seen.status in (JobStatus.STOPPED, JobStatus.CANCELLED)
    kind = e.JobCancelRequested if cancel else e.JobStopRequested
    request = next((each for each in reversed(seen.story) if isinstance(each.event, kind)), None)
    if request is None:
        return f"It was {'cancelled' if cancel else 'stopped'}"
    verb = ("cancelled it" if cancel else "stopped it") if rests else ("gave it up" if cancel else "asked it to stop")
    return f"{clean(request.origin.actor)} {verb} {ago(seen, request)}{given(request)}"


def _how_it_ended(seen: Seen, why: Explanation) -> str:
    """What is worth a word: a worker that had no part in it, a cleanup that failed."""
    last = newest(seen)
    if last is None:
        return ""
    lost = why.chain.links[-1].lost_by
    told = f"; its worker {clean(lost)} was gone by then" if lost else ""
    if isinstance(last.event, e.JobCancelled) and last.event.cleanup_error is not None:
        told += f"; its cleanup did not succeed, {error_in_short(last.event.cleanup_error)}"
    if isinstance(last.event, e.JobStopped) and seen.total:
        told += f"; {number(seen.ended)} of {count(seen.total, 'step')} had ended"
    return told


def _all_succeeded(seen: Seen) -> str:
    if not seen.total:
        return "it had no steps to run"
    all_of_them = "its one step" if seen.total == 1 else f"all {number(seen.total)} steps"
    return f"{all_of_them} succeeded"


def _too_late(seen: Seen) -> str:
    whole = [each for each in seen.story if not isinstance(each.event, e.StepEvent)]
    late = len(whole) > 1 and isinstance(whole[-2].event, e.JobStopRequested)
    return f"; the stop by {clean(whole[-2].origin.actor)} came too late" if late else ""


def _newest_failure(seen: Seen) -> str:
    """Of one, what it was; of several, the newest."""
    found = [each for each in seen.failures if each.retry_at is None]
    if not found:
        return ""
    return f": {failure_text(found[-1])}" if seen.failed == 1 else f", the last one {failure_text(found[-1])}"


def _what_failed(seen: Seen, because: Because) -> str:
    error = job_error(seen)
    if error is None:
        return "it could not go on"
    if because is Because.TOO_MANY_FAILED:
        return f"too many steps failed, {clean(error.message)}{_newest_failure(seen)}"
    return error_in_short(error)


def removed(seen: Seen, why: Explanation) -> str:
    last = newest(seen)
    who = f"{clean(last.origin.actor)} removed it {ago(seen, last)}{given(last)}" if last else "It was removed"
    links = why.chain.links[:-1]
    before = next((link.recorded for link in reversed(links) if link.recorded), None)
    state = _BEFORE_REMOVAL.get(type(before.event)) if before else None
    if state is None:
        return f"{who}."
    return f"{who}; {state}{' with failures' if state == _COMPLETED and seen.failed else ''} before."


_COMPLETED: Final = "it had completed"
_BEFORE_REMOVAL: Final[Mapping[type[e.JobEvent], str]] = {
    e.JobStopped: "it had been stopped",
    e.JobCancelled: "it had been cancelled",
    e.JobFailed: "it had failed",
    e.JobCompleted: _COMPLETED,
}
