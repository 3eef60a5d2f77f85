"""Why a job is as it is, in one sentence that a person would say."""

from collections.abc import Callable, Mapping
from typing import Final

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus
from milepost.domain.why.explain import Because, Explanation
from milepost.domain.why.seen import Seen
from milepost.domain.why.waits import Waits, WaitsFor
from milepost.interfaces.quantities import ITEMS, clean, duration, number, of_total
from milepost.interfaces.why.endings import asked, at_rest, completed, failed, removed, with_failures
from milepost.interfaces.why.words import (
    ago,
    answered_ago,
    count,
    error_in_short,
    given,
    lease_left,
    newest,
    retry_in,
    seconds_since,
    short,
    steps_at_work,
    times_usual,
)


def sentence(seen: Seen, why: Explanation) -> str:
    """Its first line."""
    return _SAY[why.because](seen, why)


def _waits(seen: Seen, _why: Explanation) -> str:
    return f"{_set_going(seen)}, and it waits{_for(seen.waits)}."


def _runs(seen: Seen, why: Explanation) -> str:
    return f"It runs on {_worker(seen)}{_after_takeover(seen, why)}: {_done(seen)}."


def _comes_to_rest(seen: Seen, _why: Explanation) -> str:
    return f"{asked(seen)}, and it comes to rest: {_held_by(seen)}."


def _for(waits: Waits | None) -> str:
    """for a worker to take it / : no worker is running"""
    reason = "for a worker to take it" if waits is None else clean(waits.text)
    return f" {reason}" if reason.startswith("for ") else f": {reason}"


def _set_going(seen: Seen) -> str:
    """Who gave it to the workers."""
    if seen.status is not JobStatus.PENDING:
        return asked(seen)
    last = newest(seen)
    if last is None:
        return "It was given to the workers"
    when, who = ago(seen, last), clean(last.origin.actor)
    match last.event:
        case e.JobReleased(worker=worker):
            return f"Worker {clean(worker)} gave it back {when}"
        case e.JobResumed():
            return f"{who} resumed it {when}{given(last)}"
        case _:
            return f"{who} started it {when}{given(last)}"


def _lost(seen: Seen, _why: Explanation) -> str:
    """Nobody has it, though nobody has let go of it."""
    ending = seen.status in (JobStatus.STOPPING, JobStatus.CANCELLING)
    but = f"{asked(seen)}, but" if ending else "Nobody works on it:"
    return f"{but} its worker {_worker(seen)}{_unanswered(seen) or ' is gone'}, and {_then(seen)}."


def _silent(seen: Seen, _why: Explanation) -> str:
    """It may be gone, and nobody can know yet."""
    left = "" if seen.lease is None else f", and its lease holds for another {lease_left(seen, seen.lease)}"
    where = _done(seen) if seen.planned else "its steps are not planned yet"
    return f"Its worker {_worker(seen)}{_unanswered(seen)}{left}: {where}."


def _unanswered(seen: Seen) -> str:
    if seen.lease is None or seen.lease.answered_at is None:
        return ""
    return f" has not answered for {duration(seconds_since(seen, seen.lease.answered_at))}"


def _then(seen: Seen) -> str:
    """Who takes it over."""
    if seen.waits is not None and seen.waits.what is not WaitsFor.TAKEOVER:
        return clean(seen.waits.text)
    over = seen.lease is None or seen.lease.ends_at is None or seen.lease.ends_at <= seen.now
    return f"another takes it over {'now that' if over else 'when'} its lease has run out"


def _prepares(seen: Seen, why: Explanation) -> str:
    claims = [each.recorded_at for each in seen.story if isinstance(each.event, e.JobClaimed)]
    since = duration(seconds_since(seen, claims[-1])) if claims else "0.0 s"
    lost = why.chain.links[-1].lost_by if why.chain.links else ""
    has = (
        f"took it over from {clean(lost)}, which had lost its lease, {since} ago" if lost else f"has had it for {since}"
    )
    does = "gets ready to go on with it" if seen.planned else "plans its steps"
    where = f" (in {seen.in_code})" if seen.in_code else ""
    return f"Worker {_worker(seen)} {has} and {does}{where}."


def _after_takeover(seen: Seen, why: Explanation) -> str:
    taken = [link for link in why.chain.links if link.lost_by]
    if not taken:
        return ""
    return f", which took it over {ago(seen, taken[-1].recorded)} when {clean(taken[-1].lost_by)} had lost its lease"


def _retries(seen: Seen, _why: Explanation) -> str:
    waiting = [each for each in seen.failures if each.retry_at]
    if not waiting:
        return "It waits between two attempts of its steps."
    soonest = min(waiting, key=lambda each: each.retry_at or seen.now)
    more = f" ({number(seen.waiting)} steps wait so)" if seen.waiting > 1 else ""
    step, failed_with = f"step {clean(soonest.name)}", error_in_short(soonest.error)
    return f"It tries {step} again {retry_in(seen)}{more}: attempt {soonest.attempt} failed with {failed_with}."


def _stalled(seen: Seen, why: Explanation) -> str:
    pace = why.pace
    assert pace is not None
    assert pace.usual_seconds is not None
    step = f"step {steps_at_work(seen)}" if seen.at_work else "its steps"
    usual = f"{times_usual(pace)} the {short(pace.usual_seconds)} that "
    usual += f"a step of {seen.type} takes" if pace.usual_of_type else "it took between two reports before"
    alive = f" (which{answered_ago(seen)})" if answered_ago(seen) else ""
    silent = f"nothing has come from {step} for {duration(pace.silent_seconds)}"
    return f"It has stalled on {_worker(seen)}{alive}: {silent}, {usual}."


def _held_by(seen: Seen) -> str:
    if seen.at_work:
        what = "step" if seen.running == 1 else f"{number(seen.running)} steps,"
        does = "has" if seen.running == 1 else "have"
        return f"{what} {steps_at_work(seen)} {does} yet to reach a checkpoint"
    if seen.in_code:
        return f"no step runs, and its worker is in {seen.in_code}"
    return "its worker has yet to say so"


def _done(seen: Seen) -> str:
    if not seen.total:
        return "it has no steps"
    done = f"{number(seen.ended)} of {count(seen.total, 'step')} {'has' if seen.ended == 1 else 'have'} ended"
    done += f", {number(seen.failed)} of them failed" if seen.failed else ""
    return f"{done}, {of_total(seen.items, None, seen.unit or ITEMS)} done" if seen.items else done


def _worker(seen: Seen) -> str:
    return clean(seen.lease.worker) if seen.lease else "a worker"


_SAY: Final[Mapping[Because, Callable[[Seen, Explanation], str]]] = {
    Because.WAITS: _waits,
    Because.WAITS_FOR_JOB: _waits,
    Because.WORKER_LOST: _lost,
    Because.WORKER_SILENT: _silent,
    Because.PREPARES: _prepares,
    Because.RUNS: _runs,
    Because.RETRIES: _retries,
    Because.STALLED: _stalled,
    Because.COMES_TO_REST: _comes_to_rest,
    Because.STOPPED: at_rest,
    Because.CANCELLED: at_rest,
    Because.COMPLETED: completed,
    Because.STEPS_FAILED: with_failures,
    Because.TOO_MANY_FAILED: failed,
    Because.FAILED: failed,
    Because.REMOVED: removed,
}
