"""The first line of `jobs why`, situation by situation, as a person would say it."""

from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus
from milepost.domain.why.explain import Because
from milepost.domain.why.seen import Lease, Seen
from milepost.domain.why.waits import Waits, WaitsFor
from milepost.interfaces.why.document import why_document
from milepost.interfaces.why_documents import WhyDocument
from tests.domain.givens import (
    BOOM,
    JOB_ID,
    PLANNED,
    PREPARED,
    STARTED,
    failed,
    interrupted,
    progressed,
    started,
    stopped,
    succeeded,
)
from tests.domain.why.told import Told, at, seen, told

ANN, BOB, W1, W2 = "ann@desk", "bob@ops", "w1", "w2"
CLAIMED, AGAIN = e.JobClaimed(worker=W1, claim=1), e.JobClaimed(worker=W2, claim=2)
STOP, CANCEL = e.JobStopRequested(), e.JobCancelRequested()
BEGUN: Final[tuple[Told, ...]] = ((0, ANN, STARTED, "the night"), (1, W1, CLAIMED))
RUNNING: Final[tuple[Told, ...]] = (*BEGUN, (2, W1, PLANNED), (2, W1, PREPARED))
AT_40: Final = e.Progress(done=40, total=90, unit="flights", checkpoint=40)
AT_WORK: Final[tuple[Told, ...]] = (
    *RUNNING,
    (3, W1, started(0)),
    (4, W1, progressed(0, AT_40)),
)
TOO_MANY = e.ErrorDetail(type="TooManyFailures", message="1 of 2 steps: it halts at the first failed step")
LEASE_LOST = e.ErrorDetail(type="LeaseLost", message="its worker lost its lease 4 times while it ran")
OTHER = "0198c0de-0000-7000-8000-000000000002"
NO_WORKER = Waits(WaitsFor.ANY_WORKER, "no worker is running: start one with 'milepost worker'")
OF_TYPE = Waits(WaitsFor.TYPE, "no worker that is running knows the job type 'self-test'")
TAKEN_OVER = Waits(WaitsFor.TAKEOVER, "its worker does not answer; another takes it over when its lease has run out")
SILENT: Final = Lease(W1, holds=True, answered_at=at(4), ends_at=at(14))
GONE: Final = Lease(W1, holds=False, answered_at=at(4), ends_at=at(14))


@dataclass(frozen=True)
class Situation:
    """What happened, looked at 10 s into it unless another second is given, and what is said of it then."""

    name: str
    happened: tuple[Told, ...]
    status: JobStatus
    because: Because
    says: str
    next: str
    second: float = 10
    more: dict[str, Any] = field(default_factory=dict[str, Any])


S, B = JobStatus, Because
HAS = f"'milepost jobs resume {JOB_ID}' has it go on"
FINAL = "nothing: it has ended for good"
PERHAPS = (
    "its worker goes on by itself if it lives; or another worker takes it over in 4.0 s, when its lease has run out"
)
ALONE = "nothing is needed: its worker goes on by itself"
SITUATIONS: Final = (
    Situation(
        "accepted, and no worker there",
        BEGUN[:1],
        S.PENDING,
        B.WAITS,
        'ann@desk started it 10 s ago ("the night"), and it waits: no worker is running: start one with'
        " 'milepost worker'.",
        "'milepost worker' starts one that takes it",
        more={"waits": NO_WORKER},
    ),
    Situation(
        "accepted, and a worker is about to take it",
        BEGUN[:1],
        S.PENDING,
        B.WAITS,
        'ann@desk started it 10 s ago ("the night"), and it waits for a worker to take it.',
        "a worker takes it when its turn has come",
        more={"waits": Waits(WaitsFor.WORKER, "for a worker to take it")},
    ),
    Situation(
        "a type that nobody knows",
        BEGUN[:1],
        S.PENDING,
        B.WAITS,
        'ann@desk started it 10 s ago ("the night"), and it waits: no worker that is running knows the job type'
        " 'self-test'.",
        "a worker that knows the job type 'self-test' takes it",
        more={"waits": OF_TYPE},
    ),
    Situation(
        "a queue that nobody takes",
        BEGUN[:1],
        S.PENDING,
        B.WAITS,
        'ann@desk started it 10 s ago ("the night"), and it waits: no worker that is running takes the queue'
        " 'default'.",
        "a worker that takes the queue 'default' takes it",
        more={"waits": Waits(WaitsFor.QUEUE, "no worker that is running takes the queue 'default'")},
    ),
    Situation(
        "refused by the only worker",
        BEGUN[:1],
        S.PENDING,
        B.WAITS,
        'ann@desk started it 10 s ago ("the night"), and it waits: worker w1 cannot read its request.',
        "a worker that does not refuse it takes it",
        more={"waits": Waits(WaitsFor.ACCEPTANCE, "worker w1 cannot read its request")},
    ),
    Situation(
        "the key of another job",
        BEGUN[:1],
        S.PENDING,
        B.WAITS_FOR_JOB,
        f'ann@desk started it 10 s ago ("the night"), and it waits: job {OTHER}, whose place it takes, has not ended'
        " yet.",
        f"the end of job {OTHER}: see 'milepost jobs why {OTHER}'",
        more={"waits": Waits(WaitsFor.JOB, f"job {OTHER}, whose place it takes, has not ended yet", OTHER)},
    ),
    Situation(
        "handed back by a worker that shut down",
        (*RUNNING, (6, W1, e.JobReleased(worker=W1, claim=1))),
        S.PENDING,
        B.WAITS,
        "Worker w1 gave it back 4.0 s ago, and it waits: no worker is running: start one with"
        " 'milepost worker'.",
        "'milepost worker' starts one that takes it",
        more={"waits": NO_WORKER},
    ),
    Situation(
        "resumed, and every worker busy",
        (*RUNNING, (3, BOB, STOP), (4, W1, e.JobStopped()), (8, ANN, e.JobResumed(), "deployed")),
        S.PENDING,
        B.WAITS,
        'ann@desk resumed it 2.0 s ago ("deployed"), and it waits: every worker that knows its type is busy.',
        "a worker takes it when its turn has come",
        more={"waits": Waits(WaitsFor.ROOM, "every worker that knows its type is busy")},
    ),
    Situation(
        "being planned",
        BEGUN,
        S.PREPARING,
        B.PREPARES,
        "Worker w1 has had it for 9.0 s and plans its steps.",
        ALONE,
    ),
    Situation(
        "taken over, and getting ready",
        (*AT_WORK, (9, W2, interrupted(0, lease_lost=True)), (9, W2, AGAIN)),
        S.PREPARING,
        B.PREPARES,
        "Worker w2 took it over from w1, which had lost its lease, 1.0 s ago and gets ready to go on with it.",
        ALONE,
    ),
    Situation(
        "running",
        AT_WORK,
        S.RUNNING,
        B.RUNS,
        "It runs on w1: 0 of 2 steps have ended, 40 flights done.",
        ALONE,
    ),
    Situation(
        "running, with a failed step",
        (*AT_WORK, (5, W1, started(1)), (6, W1, failed(1))),
        S.RUNNING,
        B.RUNS,
        "It runs on w1: 1 of 2 steps has ended, 1 of them failed, 40 flights done.",
        ALONE,
    ),
    Situation(
        "running after a takeover",
        (*AT_WORK, (7, W2, interrupted(0, progress=AT_40, lease_lost=True)), (7, W2, AGAIN), (8, W2, PREPARED)),
        S.RUNNING,
        B.RUNS,
        "It runs on w2, which took it over 3.0 s ago when w1 had lost its lease: 0 of 2 steps have ended, 40 flights"
        " done.",
        ALONE,
    ),
    Situation(
        "between two attempts of its only step",
        (*RUNNING, (3, W1, started(0)), (4, W1, failed(0, retry_in_seconds=60))),
        S.RUNNING,
        B.RETRIES,
        "It tries step a again in 54 s: attempt 1 failed with ValueError: boom.",
        "it goes on by itself in 54 s",
    ),
    Situation(
        "silent for very long",
        (
            *AT_WORK,
            *((5.0 + n, W1, progressed(0, e.Progress(done=41 + n, total=90, unit="flights"))) for n in range(6)),
        ),
        S.RUNNING,
        B.STALLED,
        "It has stalled on w1 (which answered 0.0 s ago): nothing has come from step a at 46/90 flights for 50 s, 50"
        " times the 1.0 s that it took between two reports before.",
        "step a at 46/90 flights has to report or to end; a time-out in its policy would end it;"
        " or end worker w1: another takes it over",
        second=60,
    ),
    Situation(
        "silent, and so is its worker, whose lease still holds",
        AT_WORK,
        S.RUNNING,
        B.WORKER_SILENT,
        "Its worker w1 has not answered for 6.0 s, and its lease holds for another 4.0 s: 0 of 2 steps have ended, 40"
        " flights done.",
        PERHAPS,
        more={"lease": SILENT},
    ),
    Situation(
        "being planned by a worker that is silent",
        BEGUN,
        S.PREPARING,
        B.WORKER_SILENT,
        "Its worker w1 has not answered for 6.0 s, and its lease holds for another 4.0 s: its steps are not planned"
        " yet.",
        PERHAPS,
        more={"lease": SILENT},
    ),
    Situation(
        "its worker killed, and another one there",
        AT_WORK,
        S.RUNNING,
        B.WORKER_LOST,
        "Nobody works on it: its worker w1 has not answered for 6.0 s, and another takes it over when its lease has run"
        " out.",
        f"another worker takes it over; or 'milepost jobs stop {JOB_ID}'",
        more={"lease": GONE, "waits": TAKEN_OVER},
    ),
    Situation(
        "its lease run out, and another worker there",
        AT_WORK,
        S.RUNNING,
        B.WORKER_LOST,
        "Nobody works on it: its worker w1 has not answered for 16 s, and another takes it over now that its lease has"
        " run out.",
        f"another worker takes it over; or 'milepost jobs stop {JOB_ID}'",
        second=20,
        more={"lease": GONE, "waits": TAKEN_OVER},
    ),
    Situation(
        "its worker killed, and no other one there",
        AT_WORK,
        S.RUNNING,
        B.WORKER_LOST,
        "Nobody works on it: its worker w1 has not answered for 6.0 s, and no worker is running: start one with"
        " 'milepost worker'.",
        f"'milepost worker' starts one that takes it over; or 'milepost jobs stop {JOB_ID}'",
        more={"lease": GONE, "waits": NO_WORKER},
    ),
    Situation(
        "being stopped, held by a step",
        (*AT_WORK, (6, BOB, STOP, "deploying")),
        S.STOPPING,
        B.COMES_TO_REST,
        'bob@ops asked it to stop 4.0 s ago ("deploying"), and it comes to rest: step a at 40/90 flights has yet to'
        " reach a checkpoint.",
        "step a at 40/90 flights is at rest at its next checkpoint; worker w1, which answered 1.0 s ago, waits for it",
        more={"lease": Lease(W1, holds=True, answered_at=at(9))},
    ),
    Situation(
        "being stopped, held by a hook",
        (*BEGUN, (6, BOB, STOP)),
        S.STOPPING,
        B.COMES_TO_REST,
        "bob@ops asked it to stop 4.0 s ago, and it comes to rest: no step runs, and its worker is in plan() or"
        " before_start().",
        "worker w1, which answered 0.0 s ago, has to come to the end of plan() or before_start()",
        more={"in_code": "plan() or before_start()"},
    ),
    Situation(
        "its worker lost while it was being stopped",
        (*AT_WORK, (6, BOB, STOP, "deploying")),
        S.STOPPING,
        B.WORKER_LOST,
        'bob@ops asked it to stop 4.0 s ago ("deploying"), but its worker w1 has not answered for 6.0 s, and another'
        " takes it over when its lease has run out.",
        f"another worker takes it over; or 'milepost jobs stop {JOB_ID}' ends it at once",
        more={"lease": GONE, "waits": TAKEN_OVER},
    ),
    Situation(
        "stopped",
        (*AT_WORK, (6, BOB, STOP, "deploying"), (7, W1, stopped(0)), (7, W1, e.JobStopped())),
        S.STOPPED,
        B.STOPPED,
        'bob@ops stopped it 4.0 s ago ("deploying"); 0 of 2 steps had ended.',
        f"{HAS}: 2 of 2 steps are left",
    ),
    Situation(
        "stopped without its worker",
        (*AT_WORK, (6, BOB, STOP), (6, BOB, interrupted(0, progress=AT_40)), (6, BOB, e.JobStopped())),
        S.STOPPED,
        B.STOPPED,
        "bob@ops stopped it 4.0 s ago; its worker w1 was gone by then; 0 of 2 steps had ended.",
        f"{HAS}: 2 of 2 steps are left",
    ),
    Situation(
        "given up, its step still at work",
        (*AT_WORK, (6, BOB, CANCEL, "not needed")),
        S.CANCELLING,
        B.COMES_TO_REST,
        'bob@ops gave it up 4.0 s ago ("not needed"), and it comes to rest: step a at 40/90 flights has yet to reach a'
        " checkpoint.",
        "step a at 40/90 flights is at rest at its next checkpoint; worker w1, which answered 0.0 s ago, waits for it",
    ),
    Situation(
        "given up, and no worker for its cleanup",
        (BEGUN[0], (6, BOB, CANCEL)),
        S.CANCELLING,
        B.WAITS,
        "bob@ops gave it up 4.0 s ago, and it waits: no worker is running: start one with 'milepost worker'.",
        "'milepost worker' starts one that takes it",
        more={"waits": NO_WORKER},
    ),
    Situation(
        "cancelled",
        (*RUNNING, (6, BOB, CANCEL, f"superseded by job {OTHER}"), (7, W1, e.JobCancelled())),
        S.CANCELLED,
        B.CANCELLED,
        f'bob@ops cancelled it 4.0 s ago ("superseded by job {OTHER}").',
        FINAL,
    ),
    Situation(
        "cancelled, its cleanup failed",
        (*RUNNING, (6, BOB, CANCEL), (7, W1, e.JobCancelled(cleanup_error=BOOM))),
        S.CANCELLED,
        B.CANCELLED,
        "bob@ops cancelled it 4.0 s ago; its cleanup did not succeed, ValueError: boom.",
        FINAL,
    ),
    Situation(
        "completed",
        (*RUNNING, (3, W1, started(0)), (4, W1, succeeded(0)), (4, W1, started(1)), (5, W1, succeeded(1)),
         (5, W1, e.JobCompleted())),
        S.COMPLETED_SUCCESSFULLY,
        B.COMPLETED,
        "It completed 5.0 s ago: all 2 steps succeeded.",
        FINAL,
    ),
    Situation(
        "completed, a stop came too late",
        (*RUNNING, (3, W1, started(0)), (4, W1, succeeded(0)), (4, W1, started(1)), (5, BOB, STOP),
         (6, W1, succeeded(1)), (6, W1, e.JobCompleted())),
        S.COMPLETED_SUCCESSFULLY,
        B.COMPLETED,
        "It completed 4.0 s ago: all 2 steps succeeded; the stop by bob@ops came too late.",
        FINAL,
    ),
    Situation(
        "completed, with nothing to do",
        (*BEGUN, (2, W1, e.JobPrepared(total_steps=0)), (3, W1, e.JobCompleted())),
        S.COMPLETED_SUCCESSFULLY,
        B.COMPLETED,
        "It completed 7.0 s ago: it had no steps to run.",
        FINAL,
    ),
    Situation(
        "completed, a step failed",
        (*RUNNING, (3, W1, started(0)), (4, W1, succeeded(0)), (4, W1, started(1)), (5, W1, failed(1)),
         (5, W1, e.JobCompleted())),
        S.COMPLETED_WITH_FAILURES,
        B.STEPS_FAILED,
        "It completed 5.0 s ago, but 1 of 2 steps failed: step b, attempt 1, with ValueError: boom.",
        f"{HAS}: the failed step is tried again",
    ),
    Situation(
        "failed by itself",
        (*BEGUN, (5, W1, e.JobFailed(error=BOOM))),
        S.FAILED,
        B.FAILED,
        "It failed 5.0 s ago: ValueError: boom.",
        HAS,
    ),
    Situation(
        "failed because a step did",
        (*RUNNING, (3, W1, started(0)), (4, W1, failed(0)), (5, W1, e.JobFailed(error=TOO_MANY))),
        S.FAILED,
        B.TOO_MANY_FAILED,
        "It failed 5.0 s ago: too many steps failed, 1 of 2 steps: it halts at the first failed step: step a,"
        " attempt 1, with ValueError: boom.",
        f"{HAS}: 2 of 2 steps are left",
    ),
    Situation(
        "removed",
        (*BEGUN, (5, W1, e.JobFailed(error=BOOM)), (7, ANN, e.JobRemoved(), "tidying")),
        S.REMOVED,
        B.REMOVED,
        'ann@desk removed it 3.0 s ago ("tidying"); it had failed before.',
        FINAL,
    ),
)  # fmt: skip


def seen_in(situation: Situation) -> Seen:
    return seen(told(*situation.happened), situation.second, **situation.more)


def why(situation: Situation) -> WhyDocument:
    return why_document(seen_in(situation))


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.name)
def test_the_first_line_is_what_a_person_would_say(situation: Situation) -> None:
    found = why(situation)

    assert (found.status, found.because) == (situation.status, situation.because)
    assert found.sentence == situation.says
    assert "; ".join(each.text for each in found.moves) == situation.next


def test_the_table_has_every_status_and_every_cause() -> None:
    assert {each.status for each in SITUATIONS} == set(JobStatus)
    assert {each.because for each in SITUATIONS} == set(Because)


def lines(name: str) -> list[str]:
    return [each.text for each in why(next(each for each in SITUATIONS if each.name == name)).chain]


def test_the_chain_is_told_a_line_each() -> None:
    assert lines("running after a takeover") == [
        "ann@desk started it: the night",
        "w2 took it over, for its worker w1 had lost its lease; step a (attempt 1) was interrupted at its checkpoint,"
        " 40/90 flights",
    ]
    assert lines("stopped") == [
        "bob@ops asked it to stop: deploying",
        "w1 said that its steps are at rest: it is stopped",
    ]
    assert lines("stopped without its worker") == [
        "bob@ops asked it to stop",
        "bob@ops stopped it at once, for its worker w1 had lost its lease; step a (attempt 1) was interrupted at its"
        " checkpoint, 40/90 flights",
    ]
    assert lines("failed because a step did") == [
        "step a, attempt 1, failed on w1 with ValueError: boom; that was its last attempt",
        "w1 had to give it up with TooManyFailures: 1 of 2 steps: it halts at the first failed step",
    ]
    assert lines("between two attempts of its only step")[-1] == (
        "step a, attempt 1, failed on w1 with ValueError: boom; it is tried again"
    )


def test_what_is_given_up_is_not_said_to_be_stoppable() -> None:
    lost: dict[str, Any] = {"waits": TAKEN_OVER, "lease": GONE}

    given_up = why_document(seen(told(*RUNNING, (5, BOB, CANCEL)), 20, status=S.CANCELLING, **lost))
    asked_to_stop = why_document(seen(told(*RUNNING, (5, BOB, STOP)), 20, status=S.STOPPING, **lost))

    assert [each.what for each in given_up.moves] == ["takeover"]
    assert [each.what for each in asked_to_stop.moves] == ["takeover", "stop"]


def test_a_stop_that_was_withdrawn_does_not_make_its_worker_a_new_one() -> None:
    happened = told(*BEGUN, (3, BOB, STOP), (9, ANN, e.JobResumed()))
    held = Lease(W1, holds=True, answered_at=at(9), ends_at=at(19))

    found = why_document(seen(happened, 10, status=S.PREPARING, lease=held))

    assert found.sentence == "Worker w1 has had it for 9.0 s and plans its steps."


def test_who_stops_what_no_worker_has_says_nothing_of_its_steps() -> None:
    happened = told(BEGUN[0], (3, BOB, STOP), (3, BOB, e.JobStopped()))

    found = why_document(seen(happened, 10, status=S.STOPPED))

    assert found.chain[-1].text == "bob@ops stopped it at once, for no worker had it"


def test_a_step_that_failed_because_lease_after_lease_was_lost_under_it_is_told() -> None:
    deadly = e.StepFailed(step=0, attempt=4, seconds=0, error=LEASE_LOST)
    runs: list[Told] = [
        (3, W1, started(0)),
        (4, W1, interrupted(0)),
        (4, W1, started(0, 2)),
        (5, W1, interrupted(0, 2)),
    ]
    runs += [(5, W1, started(0, 3)), (6, W1, interrupted(0, 3)), (6, W1, started(0, 4))]
    found = why_document(seen(told(*RUNNING, *runs, (9, W2, deadly), (9, W2, AGAIN)), 10))

    assert found.chain[-1].text == (
        "w2 took it over, for its worker w1 had lost its lease; step a, attempt 4, failed: its worker lost its lease 4"
        " times while it ran"
    )
    assert found.chain[-1].lease_lost_by == W1


def test_the_pace_is_told_with_its_evidence() -> None:
    found = why(next(each for each in SITUATIONS if each.because is Because.STALLED))

    assert found.pace is not None
    assert found.pace.verdict == "stalled"
    assert found.pace.text == (
        "it has stalled: nothing for 50 s; usual are 1.0 s between two reports, the longest so far were 1.0 s"
    )


STEERING: Final = "ann\x1b[31m"


def steering(told_before: Told) -> Told:
    """By somebody whose name would colour a terminal."""
    actor = STEERING if told_before[1] == BOB else told_before[1]
    if len(told_before) == 4:
        return told_before[0], actor, told_before[2], told_before[3] + STEERING
    return told_before[0], actor, told_before[2]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.name)
def test_nothing_that_people_wrote_steers_a_terminal(situation: Situation) -> None:
    happened = told(*map(steering, situation.happened))
    found = why_document(seen(happened, situation.second, **situation.more))

    assert not any("\x1b" in text for text in (found.sentence, *(each.text for each in found.chain)))
