"""Why a job is as it is, in facts: the cause, the chain that led there, what would move it on, whether it advances."""

from enum import StrEnum
from typing import Final

from milepost.domain.state_machine import LIVE, JobStatus
from milepost.domain.value import value
from milepost.domain.why.chain import TOO_MANY, Chain, chain, job_error
from milepost.domain.why.pace import Pace, Verdict, pace
from milepost.domain.why.seen import Seen
from milepost.domain.why.waits import WaitsFor

S = JobStatus


class Because(StrEnum):
    """What a job's status, and its standing still or going on, come from."""

    WAITS = "waits"  # for a worker
    WAITS_FOR_JOB = "waits-for-job"  # for the end of another one that has its key
    WORKER_LOST = "worker-lost"  # whoever has it gives no sign of life
    WORKER_SILENT = "worker-silent"  # so does its worker, but its lease holds yet
    PREPARES = "prepares"
    RUNS = "runs"
    RETRIES = "retries"  # no step runs, and some wait for another attempt
    STALLED = "stalled"
    COMES_TO_REST = "comes-to-rest"  # it was told to end, and its steps are reaching their checkpoints
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    STEPS_FAILED = "steps-failed"
    TOO_MANY_FAILED = "too-many-failed"
    FAILED = "failed"  # its plan, or a hook
    REMOVED = "removed"


class Move(StrEnum):
    """What would move it on."""

    WORKER = "worker"  # what it waits for
    OTHER_JOB = "other-job"
    TAKEOVER = "takeover"
    BY_ITSELF = "by-itself"
    RETRY = "retry"
    CHECKPOINT = "checkpoint"
    STEP = "step"  # the step that is silent, by its own doing; a stop would wait for it, too
    RESUME = "resume"
    STOP = "stop"
    NOTHING = "nothing"


@value
class Explanation:
    because: Because
    chain: Chain
    moves: tuple[Move, ...]
    pace: Pace | None = None


def explain(seen: Seen) -> Explanation:
    """Why the job is as it was seen."""
    how_fast = pace(seen)
    because = _because(seen, how_fast)
    # What is given up cannot be stopped any more.
    moves = tuple(each for each in MOVES[because] if seen.status is not S.CANCELLING or each is not Move.STOP)
    return Explanation(because, chain(seen), moves, how_fast)


MOVES: Final[dict[Because, tuple[Move, ...]]] = {
    Because.WAITS: (Move.WORKER,),
    Because.WAITS_FOR_JOB: (Move.OTHER_JOB,),
    Because.WORKER_LOST: (Move.TAKEOVER, Move.STOP),
    Because.WORKER_SILENT: (Move.BY_ITSELF, Move.TAKEOVER),
    Because.PREPARES: (Move.BY_ITSELF,),
    Because.RUNS: (Move.BY_ITSELF,),
    Because.RETRIES: (Move.RETRY,),
    Because.STALLED: (Move.STEP, Move.TAKEOVER),
    Because.COMES_TO_REST: (Move.CHECKPOINT,),
    Because.STOPPED: (Move.RESUME,),
    Because.CANCELLED: (Move.NOTHING,),
    Because.COMPLETED: (Move.NOTHING,),
    Because.STEPS_FAILED: (Move.RESUME,),
    Because.TOO_MANY_FAILED: (Move.RESUME,),
    Because.FAILED: (Move.RESUME,),
    Because.REMOVED: (Move.NOTHING,),
}


_BY_STATUS: Final[dict[JobStatus, Because]] = {
    S.PENDING: Because.WAITS,
    S.PREPARING: Because.PREPARES,
    S.STOPPING: Because.COMES_TO_REST,
    S.CANCELLING: Because.COMES_TO_REST,
    S.STOPPED: Because.STOPPED,
    S.CANCELLED: Because.CANCELLED,
    S.COMPLETED_SUCCESSFULLY: Because.COMPLETED,
    S.COMPLETED_WITH_FAILURES: Because.STEPS_FAILED,
    S.REMOVED: Because.REMOVED,
}


def _because(seen: Seen, how_fast: Pace | None) -> Because:
    if seen.status in LIVE and seen.waits is not None:
        return _waits(seen.waits.what, seen)
    if seen.status in (S.PREPARING, S.RUNNING) and seen.lease is not None and seen.lease.overdue(seen.now):
        return Because.WORKER_SILENT
    if seen.status is S.RUNNING:
        return _runs(seen, how_fast)
    if seen.status is S.FAILED:
        error = job_error(seen)
        return Because.TOO_MANY_FAILED if error is not None and error.type == TOO_MANY else Because.FAILED
    return _BY_STATUS[seen.status]


def _waits(what: WaitsFor, seen: Seen) -> Because:
    if what is WaitsFor.JOB:
        return Because.WAITS_FOR_JOB
    return Because.WORKER_LOST if seen.lease is not None else Because.WAITS


def _runs(seen: Seen, how_fast: Pace | None) -> Because:
    if not seen.running and seen.waiting:
        return Because.RETRIES
    return Because.STALLED if how_fast is not None and how_fast.verdict is Verdict.STALLED else Because.RUNS
