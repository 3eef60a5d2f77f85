"""Why a job is as it is: the chain, what would move it on and its pace, each in a line, as a document."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.state_machine import JobStatus
from milepost.domain.why.chain import Chain, Link
from milepost.domain.why.explain import Because, Explanation, Move, explain
from milepost.domain.why.pace import Pace, Verdict
from milepost.domain.why.seen import Failure, Seen
from milepost.domain.why.waits import WaitsFor
from milepost.interfaces.quantities import clean, duration, number, of_total
from milepost.interfaces.why_documents import WhyDocument, WhyLink, WhyMove, WhyPace
from milepost.interfaces.why_sentences import (
    answered,
    error_in_short,
    failure_text,
    sentence,
    short,
    step_place,
)

STEPS_NAMED: Final = 3


def why_document(seen: Seen) -> WhyDocument:
    """The whole explanation in words."""
    why = explain(seen)
    return WhyDocument(
        id=seen.id,
        type=seen.type,
        status=str(seen.status),
        version=seen.version,
        at=_time(seen.now),
        because=str(why.because),
        sentence=sentence(seen, why),
        chain=[_link(seen, each) for each in why.chain.links],
        left_out=_left_out(why.chain),
        moves=[_move(seen, why, each) for each in why.moves],
        pace=None if why.pace is None else _pace(seen, why.pace),
    )


# -- the chain


def _link(seen: Seen, link: Link) -> WhyLink:
    if link.failure is not None:
        return _failed(link.failure)
    assert link.recorded is not None
    recorded = link.recorded
    return WhyLink(
        text=_text(seen, link, recorded),
        event=type(recorded.event).__name__,
        occurred=_time(recorded.recorded_at),
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
        text=f"{failure_text(failure).replace(', with', ', failed' + on + ' with', 1)}{then}",
        event="StepFailed",
        occurred=_time(failure.at),
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
    what = f"{who} {_deed(seen, link, recorded.event)}"
    return what + (f": {clean(recorded.origin.reason)}" if recorded.origin.reason else "")


_DEEDS: Final[Mapping[type[e.JobEvent], str]] = {
    e.JobStarted: "started it",
    e.JobResumed: "resumed it",
    e.JobStopRequested: "asked it to stop",
    e.JobCancelRequested: "asked to cancel it",
    e.JobReleased: "shut down and gave it back in good order",
    e.JobCompleted: "said that all its steps have ended: it is complete",
    e.JobRemoved: "removed it from the lists",
}


def _deed(seen: Seen, link: Link, event: e.JobEvent) -> str:
    interrupted = _interrupted(seen, link)
    lost = f", for its worker {link.lost_by} had lost its lease{interrupted}"
    match event:
        case e.JobClaimed():
            return f"took it over{lost}" if link.lost_by else f"took it{interrupted}"
        case e.JobStopped():
            return f"stopped it at once{lost}" if link.lost_by else "said that its steps are at rest: it is stopped"
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


def _left_out(found: Chain) -> str:
    told: list[str] = []
    if found.takeovers:
        told.append(f"{number(found.takeovers)} earlier {'takeover' if found.takeovers == 1 else 'takeovers'}")
    if found.failures:
        told.append(f"{number(found.failures)} more failed {'step' if found.failures == 1 else 'steps'}")
    return " and ".join(told)


# -- what would move it on


def _move(seen: Seen, why: Explanation, move: Move) -> WhyMove:
    """`at`, where it is known when it comes about by itself."""
    at = None
    if move is Move.RETRY:
        at = min((each.retry_at for each in seen.failures if each.retry_at), default=None)
    elif move is Move.TAKEOVER and seen.lease is not None:
        at = seen.lease.ends_at
    other = seen.waits.job if seen.waits and move is Move.OTHER_JOB else None
    return WhyMove(_MOVES[move](seen, why), move, _moment(at), other)


def _worker(seen: Seen, _why: Explanation) -> str:
    waits = seen.waits.what if seen.waits else WaitsFor.WORKER
    match waits:
        case WaitsFor.TYPE:
            return f"a worker that knows the job type '{clean(seen.type)}' takes it"
        case WaitsFor.QUEUE:
            return f"a worker that takes the queue '{clean(seen.queue)}' takes it"
        case WaitsFor.ANY_WORKER:
            return "'milepost worker' starts one that takes it"
        case WaitsFor.ACCEPTANCE:
            return "a worker that does not refuse it takes it"
        case _:
            return "a worker takes it when its turn has come"


def _other_job(seen: Seen, _why: Explanation) -> str:
    other = seen.waits.job if seen.waits else ""
    return f"the end of job {other}: see 'milepost jobs why {other}'"


def _takeover(seen: Seen, _why: Explanation) -> str:
    if seen.waits is not None and seen.waits.what is not WaitsFor.TAKEOVER:
        return f"{_worker(seen, _why)} over"
    return "another worker takes it over"


def _retry(seen: Seen, _why: Explanation) -> str:
    at = min((each.retry_at for each in seen.failures if each.retry_at), default=None)
    ahead = 0.0 if at is None else (at - seen.now).total_seconds()
    return f"it goes on by itself in {duration(ahead)}" if ahead > 0 else "it goes on by itself, at once"


def _silent_step(seen: Seen, _why: Explanation) -> str:
    return f"step {_places(seen)} has to report or to end; a time-out in its policy would end it"


def _checkpoint(seen: Seen, _why: Explanation) -> str:
    who = answered(seen, seen.lease) if seen.lease else "its worker"
    if seen.at_work:
        return f"step {_places(seen)} is at rest at its next checkpoint; {who} waits for it"
    return f"{who} has to come to the end of {seen.in_code}" if seen.in_code else f"{who} has to say that it is at rest"


def _places(seen: Seen) -> str:
    return ", ".join(step_place(each) for each in seen.at_work[:STEPS_NAMED]) or "none"


def _resume(seen: Seen, _why: Explanation) -> str:
    left = seen.total - seen.succeeded
    has = f"'milepost jobs resume {seen.id}' has it go on"
    if not seen.total or not left:
        return has
    if seen.status is JobStatus.COMPLETED_WITH_FAILURES:
        return f"{has}: the failed {'step is' if left == 1 else 'steps are'} tried again"
    return f"{has}: {number(left)} of {number(seen.total)} steps {'is' if left == 1 else 'are'} left"


def _stop(seen: Seen, why: Explanation) -> str:
    at_once = why.because is Because.WORKER_LOST and seen.status is JobStatus.STOPPING
    return f"or 'milepost jobs stop {seen.id}'" + (" ends it at once" if at_once else "")


_MOVES: Final[Mapping[Move, Callable[[Seen, Explanation], str]]] = {
    Move.WORKER: _worker,
    Move.OTHER_JOB: _other_job,
    Move.TAKEOVER: _takeover,
    Move.BY_ITSELF: lambda _seen, _why: "nothing is needed: its worker goes on by itself",
    Move.RETRY: _retry,
    Move.CHECKPOINT: _checkpoint,
    Move.STEP: _silent_step,
    Move.RESUME: _resume,
    Move.STOP: _stop,
    Move.NOTHING: lambda _seen, _why: "nothing: it has ended for good",
}


# -- its pace


def _pace(seen: Seen, pace: Pace) -> WhyPace:
    return WhyPace(
        text=_pace_text(seen, pace),
        verdict=str(pace.verdict),
        unit=pace.unit,
        now=_rounded(pace.now),
        own=_rounded(pace.own),
        of_type=_rounded(pace.of_type),
        silent_seconds=round(pace.silent_seconds, 3),
        usual_seconds=_rounded(pace.usual_seconds),
        longest_seconds=_rounded(pace.longest_seconds),
    )


def _pace_text(seen: Seen, pace: Pace) -> str:
    said = {
        Verdict.ADVANCES: "it advances",
        Verdict.SLOWER: "it advances, more slowly than before",
        Verdict.STALLED: "it has stalled",
        Verdict.UNKNOWN: "it has reported too little to say whether it advances",
    }[pace.verdict]
    rates = [
        f"{_per_second(rate, pace.unit)} {when}"
        for rate, when in (
            (pace.now, "now"),
            (pace.own, "since its worker began"),
            (pace.of_type, f"usual for {seen.type}"),
        )
        if rate
    ]
    told = f"{said}: {', '.join(rates)}" if rates else said
    if pace.verdict is Verdict.STALLED and pace.usual_seconds:
        often = number(round(pace.silent_seconds / pace.usual_seconds))
        longest = "" if pace.longest_seconds is None else f", the longest so far {short(pace.longest_seconds)}"
        usual = f"usual are {short(pace.usual_seconds)}{' (a step of its type)' if pace.usual_of_type else ''}{longest}"
        return f"{told}; nothing for {duration(pace.silent_seconds)}, {often} times as long as usual: {usual}"
    return f"{told}; last report {duration(pace.silent_seconds)} ago" if pace.own or pace.now else told


def _per_second(rate: float, unit: str) -> str:
    return f"{number(_rounded(rate) or 0.0)} {clean(unit)}/s"


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 1 if rate >= 10 else 3)


def _time(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def _moment(at: datetime | None) -> str | None:
    return None if at is None else _time(at)
