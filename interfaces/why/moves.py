"""What would move a job on, in words."""

from collections.abc import Callable, Mapping
from typing import Final

from milepost.domain.state_machine import JobStatus
from milepost.domain.why.explain import Because, Explanation, Move
from milepost.domain.why.seen import Seen
from milepost.domain.why.waits import WaitsFor
from milepost.interfaces.quantities import clean, number
from milepost.interfaces.why.words import answered_ago, lease_left, moment, retry_at, retry_in, steps_at_work
from milepost.interfaces.why_documents import WhyMove


def moves(seen: Seen, why: Explanation) -> list[WhyMove]:
    """The most natural one first."""
    return [
        WhyMove(_MOVES[move](seen, why), move, _comes_at(seen, why, move), _other(seen, move)) for move in why.moves
    ]


def _comes_at(seen: Seen, why: Explanation, move: Move) -> str | None:
    at = retry_at(seen) if move is Move.RETRY else None
    if move is Move.TAKEOVER and why.because is not Because.STALLED and seen.lease is not None:
        at = seen.lease.ends_at
    return None if at is None else moment(at)


def _other(seen: Seen, move: Move) -> str | None:
    return seen.waits.job if seen.waits and move is Move.OTHER_JOB else None


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


def _by_itself(_seen: Seen, why: Explanation) -> str:
    if why.because is Because.WORKER_SILENT:
        return "its worker goes on by itself if it lives"
    return "nothing is needed: its worker goes on by itself"


def _takeover(seen: Seen, why: Explanation) -> str:
    if why.because is Because.STALLED:
        worker = f"worker {clean(seen.lease.worker)}" if seen.lease else "its worker"
        return f"or end {worker}: another takes it over"
    if why.because is Because.WORKER_SILENT and seen.lease is not None:
        return f"or another worker takes it over in {lease_left(seen, seen.lease)}, when its lease has run out"
    if seen.waits is not None and seen.waits.what is not WaitsFor.TAKEOVER:
        return f"{_worker(seen, why)} over"
    return "another worker takes it over"


def _retry(seen: Seen, _why: Explanation) -> str:
    return f"it goes on by itself{',' if retry_in(seen) == 'at once' else ''} {retry_in(seen)}"


def _silent_step(seen: Seen, _why: Explanation) -> str:
    step = f"step {steps_at_work(seen)}" if seen.at_work else "a step"
    return f"{step} has to report or to end; a time-out in its policy would end it"


def _checkpoint(seen: Seen, _why: Explanation) -> str:
    who = f"worker {clean(seen.lease.worker)}" if seen.lease else "its worker"
    who += f", which{answered_ago(seen)}," if answered_ago(seen) else ""
    if seen.at_work:
        are = "is" if seen.running == 1 else "are"
        return f"step {steps_at_work(seen)} {are} at rest at its next checkpoint; {who} waits for it"
    return f"{who} has to come to the end of {seen.in_code}" if seen.in_code else f"{who} has to say that it is at rest"


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
    Move.BY_ITSELF: _by_itself,
    Move.RETRY: _retry,
    Move.CHECKPOINT: _checkpoint,
    Move.STEP: _silent_step,
    Move.RESUME: _resume,
    Move.STOP: _stop,
    Move.NOTHING: lambda _seen, _why: "nothing: it has ended for good",
}
