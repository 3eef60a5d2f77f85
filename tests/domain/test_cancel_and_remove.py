"""Giving a job up, with its cleanup, and taking it out of the lists."""

import pytest

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.errors import IllegalTransition
from milepost.domain.state_machine import AT_REST, JobStatus, StepStatus
from tests.domain.givens import (
    BOOM,
    CANCEL_REQUESTED,
    CANCELLED,
    CLAIMED,
    IN_STATUS,
    PREPARING,
    REMOVED,
    RUNNING,
    STARTED,
    STOP_REQUESTED,
    STOPPED,
    after,
    given,
    interrupted,
    later,
    report_failure,
    report_stop,
    report_success,
    running_with,
    started,
)

ASK = c.CancelJob(worker_alive=True)
GONE = c.CancelJob(worker_alive=False)
ADVANCE = c.Advance(claim=1)
CAUSE = "its worker was gone when it was cancelled"


@pytest.mark.parametrize("status", [JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.STOPPING])
def test_cancelling_a_job_that_a_worker_has_asks_the_worker(status: JobStatus) -> None:
    assert decide(IN_STATUS[status], ASK) == [CANCEL_REQUESTED]


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.STOPPED])
def test_cancelling_a_job_that_no_worker_has_cancels_it_at_once(status: JobStatus) -> None:
    assert decide(IN_STATUS[status], ASK) == [CANCEL_REQUESTED, CANCELLED]


def test_cancelling_a_job_whose_worker_is_dead_interrupts_its_steps_and_cancels_it() -> None:
    job = given(*RUNNING, started(0))

    assert decide(job, GONE) == [CANCEL_REQUESTED, interrupted(0, cause=CAUSE), CANCELLED]


def test_a_job_with_a_cleanup_hook_is_cancelled_by_a_worker_that_runs_it() -> None:
    stopped = later(running_with(e.Policy(), has_cleanup=True), STOP_REQUESTED, STOPPED)

    job = after(stopped, GONE)
    assert job.status is JobStatus.CANCELLING

    job = after(job, c.ClaimJob(worker="w2"), c.Advance(claim=2))
    assert (job.status, job.worker) == (JobStatus.CANCELLED, None)


def test_a_job_that_was_cancelled_before_its_steps_were_planned_is_cleaned_up_all_the_same() -> None:
    claimed = given(STARTED, CLAIMED.model_copy(update={"has_cleanup": True}), STOP_REQUESTED, STOPPED)

    assert after(claimed, GONE).status is JobStatus.CANCELLING


def test_a_job_whose_cleanup_nobody_can_run_any_more_is_cancelled_without_it_when_the_operator_says_so() -> None:
    cancelling = given(
        STARTED, CLAIMED.model_copy(update={"has_cleanup": True}), STOP_REQUESTED, STOPPED, CANCEL_REQUESTED
    )

    assert decide(cancelling, GONE) == []
    (cancelled,) = decide(cancelling, c.CancelJob(worker_alive=False, skip_cleanup=True))
    assert isinstance(cancelled, e.JobCancelled)
    assert cancelled.cleanup_error is not None
    assert cancelled.cleanup_error.type == "CleanupSkipped"


def test_a_cleanup_is_not_skipped_while_a_worker_is_there_to_run_it() -> None:
    running = running_with(e.Policy(), has_cleanup=True)

    assert decide(running, c.CancelJob(worker_alive=True, skip_cleanup=True)) == [CANCEL_REQUESTED]


def test_a_cancelling_job_of_a_dead_worker_with_a_cleanup_hook_waits_for_the_next_worker() -> None:
    job = later(running_with(e.Policy(), has_cleanup=True), started(0), CANCEL_REQUESTED)

    assert decide(job, GONE) == []
    assert after(job, c.ClaimJob(worker="w2"), c.Advance(claim=2)).status is JobStatus.CANCELLED


def test_a_cancel_that_its_worker_did_not_live_to_finish_is_finished_by_the_next_cancel() -> None:
    job = given(*RUNNING, started(0), CANCEL_REQUESTED)

    assert decide(job, GONE) == [interrupted(0, cause=CAUSE), CANCELLED]


@pytest.mark.parametrize("status", [JobStatus.CANCELLING, JobStatus.CANCELLED])
def test_cancelling_what_is_given_up_already_changes_nothing(status: JobStatus) -> None:
    assert decide(IN_STATUS[status], ASK) == []


@pytest.mark.parametrize(
    "status",
    [
        JobStatus.COMPLETED_SUCCESSFULLY,
        JobStatus.COMPLETED_WITH_FAILURES,
        JobStatus.FAILED,
        JobStatus.REMOVED,
    ],
)
def test_what_has_ended_cannot_be_cancelled_and_says_so(status: JobStatus) -> None:
    with pytest.raises(IllegalTransition, match=rf"Cannot cancel job .* it is {status}\."):
        decide(IN_STATUS[status], ASK)


def test_a_cancelling_job_is_not_cancelled_while_a_step_runs() -> None:
    assert decide(given(*RUNNING, started(0), CANCEL_REQUESTED), ADVANCE) == []


def test_a_step_that_ends_while_its_job_is_cancelled_counts_as_what_it_was() -> None:
    job = given(*RUNNING, started(0), started(1), CANCEL_REQUESTED)

    job = after(job, report_success(0), report_stop(1), ADVANCE)

    assert job.status is JobStatus.CANCELLED
    assert [job.steps[n].status for n in range(2)] == [StepStatus.SUCCEEDED, StepStatus.CANCELLED]


def test_a_step_that_fails_while_its_job_is_cancelled_is_not_tried_again() -> None:
    job = later(running_with(e.Policy(attempts=5)), started(0), CANCEL_REQUESTED)

    job = after(job, report_failure(0), ADVANCE)

    assert job.steps[0].status is StepStatus.CANCELLED


def test_a_cleanup_that_raises_does_not_bring_the_job_back_and_its_error_is_kept() -> None:
    job = given(*RUNNING, CANCEL_REQUESTED)

    job = after(job, c.Advance(claim=1, cleanup_error=BOOM))

    assert (job.status, job.error) == (JobStatus.CANCELLED, BOOM)


def test_a_cancelling_job_cannot_complete_any_more() -> None:
    ended = given(*RUNNING, started(0), started(1), CANCEL_REQUESTED)
    ended = after(ended, report_success(0), report_success(1))

    with pytest.raises(IllegalTransition):
        decide(ended, c.CompleteJob(claim=1))
    assert decide(ended, ADVANCE) == [CANCELLED]


def test_a_cancelling_job_cannot_fail_any_more() -> None:
    with pytest.raises(IllegalTransition):
        decide(given(*PREPARING, CANCEL_REQUESTED), c.FailJob(claim=1, error=BOOM))


@pytest.mark.parametrize("status", sorted(AT_REST - {JobStatus.REMOVED}))
def test_a_job_at_rest_can_be_removed(status: JobStatus) -> None:
    assert decide(IN_STATUS[status], c.RemoveJob()) == [REMOVED]


@pytest.mark.parametrize("status", sorted(set(JobStatus) - AT_REST))
def test_a_live_job_cannot_be_removed(status: JobStatus) -> None:
    with pytest.raises(IllegalTransition, match=rf"Cannot remove job .* it is {status}\."):
        decide(IN_STATUS[status], c.RemoveJob())


@pytest.mark.parametrize(
    "command",
    [ASK, GONE, c.StopJob(worker_alive=False), c.ResumeJob(), c.RemoveJob(), c.ClaimJob(worker="w9")],
    ids=lambda command: type(command).__name__,
)
def test_nothing_can_be_asked_of_a_removed_job(command: c.JobCommand) -> None:
    with pytest.raises(IllegalTransition, match="it is Removed"):
        decide(IN_STATUS[JobStatus.REMOVED], command)


def test_a_job_that_was_never_claimed_can_be_cancelled_and_removed() -> None:
    job = after(given(STARTED), ASK, c.RemoveJob())

    assert job.status is JobStatus.REMOVED
