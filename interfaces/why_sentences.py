"""Why a job is as it is, in one sentence that a person would say."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.state_machine import JobStatus
from milepost.domain.why.chain import chain, job_error
from milepost.domain.why.explain import Because, Explanation
from milepost.domain.why.seen import Failure, Lease, Seen, StepSeen
from milepost.domain.why.waits import Waits, WaitsFor
from milepost.interfaces.quantities import ITEMS, clean, duration, number, of_total

STEPS_NAMED: Final = 3
LONGEST_MESSAGE: Final = 200  # of an error: the whole is in the history


def sentence(seen: Seen, why: Explanation) -> str:
    """Its first line."""
    return _SAY[why.because](seen, why)


def error_in_short(error: e.ErrorDetail) -> str:
    """ValueError: no such aircraft"""
    name, message = error.type.rpartition(".")[2], clean(error.message).strip()
    cut = message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + " …"
    return f"{name}: {cut}" if cut else name


def reason_of(waits: Waits | None) -> str:
    return "for a worker to take it" if waits is None else clean(waits.text)


def _for(seen: Seen) -> str:
    """for a worker to take it / : no worker is running"""
    reason = reason_of(seen.waits)
    return f" {reason}" if reason.startswith("for ") else f": {reason}"


def failure_text(failure: Failure) -> str:
    """step 2013-01-05, attempt 3, with ValueError: no such aircraft"""
    return f"step {clean(failure.name)}, attempt {failure.attempt}, with {error_in_short(failure.error)}"


def seconds_since(seen: Seen, at: datetime) -> float:
    return max(0.0, (seen.now - at).total_seconds())


def answered(seen: Seen, lease: Lease) -> str:
    """When its worker last gave a sign of life."""
    if lease.answered_at is None:
        return f"worker {lease.worker}"
    return f"worker {lease.worker}, which answered {duration(seconds_since(seen, lease.answered_at))} ago,"


def step_place(step: StepSeen) -> str:
    """2013-01-05 at 40/900 flights"""
    if not step.done and step.total is None:
        return clean(step.name)
    return f"{clean(step.name)} at {of_total(step.done, step.total, step.unit)}"


# -- what is under way


def _waits(seen: Seen, _why: Explanation) -> str:
    return f"{_set_going(seen)}, and it waits{_for(seen)}."


def _runs(seen: Seen, _why: Explanation) -> str:
    return f"It runs on {_worker(seen)}{_after_takeover(seen)}: {_done(seen)}."


def _comes_to_rest(seen: Seen, _why: Explanation) -> str:
    return f"{_asked(seen)}, and it comes to rest: {_held_by(seen)}."


def _set_going(seen: Seen) -> str:
    """Who gave it to the workers."""
    if seen.status is not JobStatus.PENDING:
        return _asked(seen)
    last = _newest(seen)
    if last is None:
        return "It was given to the workers"
    ago, who = _ago(seen, last), clean(last.origin.actor)
    match last.event:
        case e.JobReleased(worker=worker):
            return f"Worker {worker} shut down and gave it back {ago}"
        case e.JobResumed():
            return f"{who} resumed it {ago}{_given(last)}"
        case _:
            return f"{who} started it {ago}{_given(last)}"


def _lost(seen: Seen, _why: Explanation) -> str:
    """Its worker gives no sign of life."""
    lease = seen.lease
    silent = ""
    if lease is not None and lease.answered_at is not None:
        silent = f" has not answered for {duration(seconds_since(seen, lease.answered_at))}"
    asked = (
        f"{_asked(seen)}, but" if seen.status in (JobStatus.STOPPING, JobStatus.CANCELLING) else "Nobody works on it:"
    )
    return f"{asked} its worker {_worker(seen)}{silent or ' is gone'}, and {_then(seen)}."


def _then(seen: Seen) -> str:
    """Who takes it over."""
    if seen.waits is not None and seen.waits.what is not WaitsFor.TAKEOVER:
        return clean(seen.waits.text)
    over = seen.lease is None or seen.lease.ends_at is None or seen.lease.ends_at <= seen.now
    return f"another takes it over {'now that' if over else 'when'} its lease has run out"


def _prepares(seen: Seen, _why: Explanation) -> str:
    last = _newest(seen)
    since = duration(seconds_since(seen, last.recorded_at)) if last else "0.0 s"
    lost = chain(seen).links[-1].lost_by if seen.story else ""
    has = f"took it over from {lost}, which had lost its lease, {since} ago" if lost else f"has had it for {since}"
    does = "gets ready to go on with it" if seen.planned else "plans its steps"
    where = f" (in {seen.in_code})" if seen.in_code else ""
    return f"Worker {_worker(seen)} {has} and {does}{where}."


def _after_takeover(seen: Seen) -> str:
    taken = [link for link in chain(seen).links if link.lost_by and link.recorded]
    if not taken or taken[-1].recorded is None:
        return ""
    ago = duration(seconds_since(seen, taken[-1].recorded.recorded_at))
    return f", which took it over {ago} ago when {taken[-1].lost_by} had lost its lease,".rstrip(",")


def _retries(seen: Seen, _why: Explanation) -> str:
    waiting = [each for each in seen.failures if each.retry_at]
    if not waiting:
        return "It waits between two attempts of its steps."
    soonest = min(waiting, key=lambda each: each.retry_at or seen.now)
    assert soonest.retry_at is not None
    ahead = (soonest.retry_at - seen.now).total_seconds()
    when = f"in {duration(ahead)}" if ahead > 0 else "at once"
    more = f" ({number(seen.waiting)} steps wait so)" if seen.waiting > 1 else ""
    step = f"step {clean(soonest.name)}"
    return f"It tries {step} again {when}{more}: attempt {soonest.attempt} failed with {error_in_short(soonest.error)}."


def _stalled(seen: Seen, why: Explanation) -> str:
    pace = why.pace
    assert pace is not None
    assert pace.usual_seconds
    times = number(round(pace.silent_seconds / pace.usual_seconds))
    step = f"step {_steps(seen)}" if seen.at_work else "its steps"
    usual = f"{times} times the {short(pace.usual_seconds)} that "
    usual += f"a step of {seen.type} takes" if pace.usual_of_type else "it took between two reports before"
    return (
        f"It has stalled on {_worker(seen)}: nothing has come from {step} for {duration(pace.silent_seconds)}, {usual}."
    )


def short(seconds: float) -> str:
    """0.04 s, else as durations are: what is usual may be very little."""
    return f"{seconds:.2g} s" if seconds < 1 else duration(seconds)


def _held_by(seen: Seen) -> str:
    if seen.at_work:
        what = "step" if seen.running == 1 else f"{number(seen.running)} steps,"
        does = "has" if seen.running == 1 else "have"
        return f"{what} {_steps(seen)} {does} yet to reach a checkpoint"
    if seen.in_code:
        return f"no step runs, and its worker is in {seen.in_code}"
    return "its worker has yet to say so"


def _steps(seen: Seen) -> str:
    named = ", ".join(step_place(each) for each in seen.at_work[:STEPS_NAMED])
    return named + (" and others" if seen.running > STEPS_NAMED else "")


def _done(seen: Seen) -> str:
    if not seen.total:
        return "it has no steps"
    done = f"{number(seen.ended)} of {_count(seen.total, 'step')} {'has' if seen.ended == 1 else 'have'} ended"
    done += f", {number(seen.failed)} of them failed" if seen.failed else ""
    return f"{done}, {of_total(seen.items, None, seen.unit or ITEMS)} done" if seen.items else done


# -- what has ended


def _at_rest(seen: Seen, _why: Explanation) -> str:
    return f"{_asked(seen)}{_how_it_ended(seen)}."


def _completed(seen: Seen, _why: Explanation) -> str:
    return f"It completed {_ago(seen, _newest(seen))}: {_all_succeeded(seen)}{_too_late(seen)}."


def _with_failures(seen: Seen, _why: Explanation) -> str:
    how_many = f"{number(seen.failed)} of {_count(seen.total, 'step')} failed"
    return f"It completed {_ago(seen, _newest(seen))}, but {how_many}{_newest_failure(seen)}."


def _failed(seen: Seen, why: Explanation) -> str:
    return f"It failed {_ago(seen, _newest(seen))}: {_what_failed(seen, why.because)}."


def _asked(seen: Seen) -> str:
    """Who asked for the stop or the cancel: ann@desk stopped it 4 s ago: deploying"""
    cancel = seen.status in (JobStatus.CANCELLING, JobStatus.CANCELLED)
    kind = e.JobCancelRequested if cancel else e.JobStopRequested
    asked = next((each for each in reversed(seen.story) if isinstance(each.event, kind)), None)
    at_rest = seen.status in (JobStatus.STOPPED, JobStatus.CANCELLED)
    verb = ("cancelled it" if cancel else "stopped it") if at_rest else ("gave it up" if cancel else "asked it to stop")
    if asked is None:
        return f"It was {'cancelled' if cancel else 'stopped'}"
    return f"{clean(asked.origin.actor)} {verb} {_ago(seen, asked)}{_given(asked)}"


def _how_it_ended(seen: Seen) -> str:
    """What is worth a word: a worker that had no part in it, a cleanup that failed."""
    last = _newest(seen)
    if last is None:
        return ""
    lost = chain(seen).links[-1].lost_by
    told = f"; its worker {lost} was gone by then" if lost else ""
    if isinstance(last.event, e.JobCancelled) and last.event.cleanup_error is not None:
        told += f"; its cleanup did not succeed, {error_in_short(last.event.cleanup_error)}"
    if isinstance(last.event, e.JobStopped) and seen.total:
        told += f"; {number(seen.ended)} of {_count(seen.total, 'step')} had ended"
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
    failed = [each for each in seen.failures if each.retry_at is None]
    if not failed:
        return ""
    return f": {failure_text(failed[-1])}" if seen.failed == 1 else f", the last one {failure_text(failed[-1])}"


def _what_failed(seen: Seen, because: Because) -> str:
    error = job_error(seen)
    if error is None:
        return "it could not go on"
    if because is Because.TOO_MANY_FAILED:
        return f"too many steps failed, {clean(error.message)}{_newest_failure(seen)}"
    return error_in_short(error)


def _removed(seen: Seen, _why: Explanation) -> str:
    last = _newest(seen)
    who = f"{clean(last.origin.actor)} removed it {_ago(seen, last)}{_given(last)}" if last else "It was removed"
    links = chain(seen).links[:-1]
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


# -- words


def _newest(seen: Seen) -> RecordedEvent | None:
    return next((each for each in reversed(seen.story) if not isinstance(each.event, e.StepEvent)), None)


def _ago(seen: Seen, recorded: RecordedEvent | None) -> str:
    return f"{duration(seconds_since(seen, recorded.recorded_at))} ago" if recorded else "some time ago"


def _given(recorded: RecordedEvent) -> str:
    """The reason, set off so that a sentence may go on behind it."""
    return f' ("{clean(recorded.origin.reason)}")' if recorded.origin.reason else ""


def _worker(seen: Seen) -> str:
    return seen.lease.worker if seen.lease else "a worker"


def _count(amount: int, what: str) -> str:
    return f"{number(amount)} {what}" + ("" if amount == 1 else "s")


_SAY: Final[Mapping[Because, Callable[[Seen, Explanation], str]]] = {
    Because.WAITS: _waits,
    Because.WAITS_FOR_JOB: _waits,
    Because.WORKER_LOST: _lost,
    Because.PREPARES: _prepares,
    Because.RUNS: _runs,
    Because.RETRIES: _retries,
    Because.STALLED: _stalled,
    Because.COMES_TO_REST: _comes_to_rest,
    Because.STOPPED: _at_rest,
    Because.CANCELLED: _at_rest,
    Because.COMPLETED: _completed,
    Because.STEPS_FAILED: _with_failures,
    Because.TOO_MANY_FAILED: _failed,
    Because.FAILED: _failed,
    Because.REMOVED: _removed,
}
