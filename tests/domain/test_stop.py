"""Stopping a job: asked of its worker where one lives, done at once where none does, and true when it is said."""

import pytest

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.errors import IllegalTransition
from milepost.domain.state_machine import JobStatus, StepStatus
from tests.domain.givens import (
    IN_STATUS,
    ONE_EACH,
    PREPARING,
    RUNNING,
    STARTED,
    STOP_REQUESTED,
    STOPPED,
    after,
    failed,
    given,
    interrupted,
    report_stop,
    report_success,
    started,
    stopped,
    succeeded,
)

ASK = c.StopJob(worker_alive=True)
GONE = c.StopJob(worker_alive=False)
ADVANCE = c.Advance(claim=1)


def test_stopping_a_running_job_asks_its_worker_to_stop() -> None:
    assert decide(given(*RUNNING), ASK) == [STOP_REQUESTED]


def test_stopping_a_job_that_no_worker_has_stops_it_at_once() -> None:
    assert decide(given(STARTED), GONE) == [STOP_REQUESTED, STOPPED]


def test_a_pending_job_stops_at_once_even_if_its_last_worker_still_lives() -> None:
    assert decide(given(STARTED), ASK) == [STOP_REQUESTED, STOPPED]


def test_stopping_a_job_whose_worker_is_dead_interrupts_its_steps_and_stops_it() -> None:
    job = given(*RUNNING, started(0), started(1))
    cause = "its worker was gone when it was stopped"

    assert decide(job, GONE) == [
        STOP_REQUESTED,
        interrupted(0, cause=cause),
        interrupted(1, cause=cause),
        STOPPED,
    ]


def test_a_stop_that_its_worker_did_not_live_to_finish_is_finished_by_the_next_stop() -> None:
    job = given(*RUNNING, started(0), STOP_REQUESTED)

    assert decide(job, GONE) == [interrupted(0, cause="its worker was gone when it was stopped"), STOPPED]


def test_a_step_of_a_dead_worker_keeps_what_it_reached_in_its_own_transaction() -> None:
    job = given(*RUNNING, started(0))
    reached = e.Progress(done=7, checkpoint="row-7")

    job = after(job, c.StopJob(worker_alive=False, reached={0: reached}))

    assert job.steps[0].progress == reached


@pytest.mark.parametrize("status", [JobStatus.STOPPING, JobStatus.STOPPED])
def test_stopping_what_is_stopping_or_stopped_changes_nothing(status: JobStatus) -> None:
    assert decide(IN_STATUS[status], ASK) == []


def test_stopping_what_is_stopped_changes_nothing_when_no_worker_lives() -> None:
    assert decide(IN_STATUS[JobStatus.STOPPED], GONE) == []


@pytest.mark.parametrize(
    "status",
    [
        JobStatus.FAILED,
        JobStatus.CANCELLING,
        JobStatus.CANCELLED,
        JobStatus.COMPLETED_SUCCESSFULLY,
        JobStatus.COMPLETED_WITH_FAILURES,
        JobStatus.REMOVED,
    ],
)
def test_what_cannot_stop_says_so_and_names_its_status(status: JobStatus) -> None:
    with pytest.raises(IllegalTransition, match=rf"Cannot stop job .* it is {status}\."):
        decide(IN_STATUS[status], ASK)


def test_a_stopping_job_is_not_stopped_while_a_step_runs() -> None:
    job = given(*RUNNING, started(0), started(1), STOP_REQUESTED, stopped(0))

    assert decide(job, ADVANCE) == []


def test_a_stopping_job_is_stopped_when_its_last_step_is_at_rest() -> None:
    job = given(*RUNNING, started(0), started(1), STOP_REQUESTED, stopped(0), stopped(1))

    assert decide(job, ADVANCE) == [STOPPED]


def test_a_step_that_stops_keeps_its_checkpoint() -> None:
    reached = e.Progress(done=3, checkpoint={"row": 3})
    job = given(*RUNNING, started(0), STOP_REQUESTED)

    job = after(job, report_stop(0, progress=reached), ADVANCE)

    assert job.status is JobStatus.STOPPED
    assert (job.steps[0].status, job.steps[0].progress) == (StepStatus.STOPPED, reached)


def test_no_step_starts_while_the_job_is_stopping() -> None:
    with pytest.raises(IllegalTransition):
        decide(given(*RUNNING, STOP_REQUESTED), c.StartStep(claim=1, step=0))


def test_a_job_with_more_steps_than_slots_stops_with_the_waiting_ones_untouched() -> None:
    job = given(*RUNNING, started(0), STOP_REQUESTED, stopped(0))

    job = after(job, ADVANCE)

    assert job.status is JobStatus.STOPPED
    assert [job.steps[n].status for n in range(2)] == [StepStatus.STOPPED, StepStatus.PENDING]


def test_a_job_stops_while_a_step_waits_for_its_next_attempt() -> None:
    job = given(*RUNNING, started(0), failed(0, retry_in_seconds=60.0), STOP_REQUESTED)

    assert decide(job, ADVANCE) == [STOPPED]


def test_a_stop_that_comes_after_the_last_step_ended_is_too_late_and_the_job_completes() -> None:
    job = given(*RUNNING, started(0), succeeded(0), started(1), STOP_REQUESTED)

    job = after(job, report_success(1))

    assert decide(job, ADVANCE) == []
    assert after(job, c.CompleteJob(claim=1)).status is JobStatus.COMPLETED_SUCCESSFULLY


def test_a_stopping_job_whose_last_step_fails_completes_with_failures() -> None:
    job = given(*ONE_EACH, STOP_REQUESTED)

    assert decide(job, ADVANCE) == []
    assert after(job, c.CompleteJob(claim=1)).status is JobStatus.COMPLETED_WITH_FAILURES


def test_a_job_stops_before_its_plan_is_whole() -> None:
    job = given(*PREPARING, STOP_REQUESTED)

    assert decide(job, ADVANCE) == [STOPPED]


def test_a_stopping_job_in_which_too_many_steps_failed_has_failed() -> None:
    halting = STARTED.model_copy(update={"policy": e.Policy(on_failure="halt")})
    job = given(halting, *RUNNING[1:], started(0), STOP_REQUESTED, failed(0))

    job = after(job, ADVANCE)

    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.type == "TooManyFailures"


def test_a_stopped_job_has_no_worker() -> None:
    assert given(*RUNNING, STOP_REQUESTED, STOPPED).worker is None
