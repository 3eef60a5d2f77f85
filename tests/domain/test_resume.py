"""Resuming a job: it goes on from its checkpoints, and only what must run again does."""

import pytest

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.errors import IllegalTransition
from milepost.domain.state_machine import JobStatus, StepStatus
from tests.domain.givens import (
    COMPLETED,
    FAILED,
    IN_STATUS,
    ONE_EACH,
    PREPARED,
    PREPARING,
    RESUMED,
    RUNNING,
    STARTED,
    STOP_REQUESTED,
    STOPPED,
    after,
    failed,
    given,
    interrupted,
    later,
    report_stop,
    started,
    stopped,
    succeeded,
)

REACHED = e.Progress(done=3, checkpoint="row-3")
TAKE = c.ClaimJob(worker="w2")


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.PREPARING, JobStatus.RUNNING])
def test_resuming_what_goes_on_anyway_changes_nothing(status: JobStatus) -> None:
    assert decide(IN_STATUS[status], c.ResumeJob()) == []


@pytest.mark.parametrize("status", [JobStatus.STOPPED, JobStatus.COMPLETED_WITH_FAILURES, JobStatus.FAILED])
def test_a_resumed_job_waits_for_a_worker(status: JobStatus) -> None:
    job = after(IN_STATUS[status], c.ResumeJob())

    assert (job.status, job.worker) == (JobStatus.PENDING, None)


@pytest.mark.parametrize(
    "status",
    [JobStatus.COMPLETED_SUCCESSFULLY, JobStatus.CANCELLING, JobStatus.CANCELLED, JobStatus.REMOVED],
)
def test_what_cannot_go_on_says_so_and_names_its_status(status: JobStatus) -> None:
    with pytest.raises(IllegalTransition, match=rf"Cannot resume job .* it is {status}\."):
        decide(IN_STATUS[status], c.ResumeJob())


def test_a_resumed_job_keeps_the_checkpoint_it_stopped_at() -> None:
    job = given(*RUNNING, started(0), STOP_REQUESTED, stopped(0, progress=REACHED), STOPPED)

    job = after(job, c.ResumeJob(), TAKE, c.PrepareJob(claim=2))

    assert (job.steps[0].status, job.steps[0].progress) == (StepStatus.PENDING, REACHED)
    assert decide(job, c.StartStep(claim=2, step=0)) == [started(0, attempt=2)]


def test_a_resumed_job_does_not_run_a_succeeded_step_again() -> None:
    job = given(*RUNNING, started(0), succeeded(0), STOP_REQUESTED, STOPPED, RESUMED)

    job = after(job, TAKE, c.PrepareJob(claim=2))

    assert decide(job, c.StartStep(claim=2, step=0)) == []
    assert decide(job, c.StartStep(claim=2, step=1)) == [started(1)]


def test_resuming_a_stopped_job_leaves_its_failed_steps_failed() -> None:
    job = given(*RUNNING, started(0), failed(0), STOP_REQUESTED, STOPPED, RESUMED)

    assert job.steps[0].status is StepStatus.FAILED


def test_resuming_a_job_that_completed_with_failures_runs_only_the_failed_steps_again() -> None:
    job = given(*ONE_EACH, COMPLETED, RESUMED)

    assert [job.steps[n].status for n in range(2)] == [StepStatus.SUCCEEDED, StepStatus.PENDING]
    assert job.ended_at is None


def test_a_failed_step_that_runs_again_goes_on_from_its_checkpoint() -> None:
    failure = failed(1).model_copy(update={"progress": REACHED})

    job = given(*RUNNING, started(0), succeeded(0), started(1), failure, COMPLETED, RESUMED)

    assert job.steps[1].progress == REACHED


def test_resuming_a_failed_job_runs_all_again_that_did_not_succeed() -> None:
    job = given(*RUNNING, started(0), failed(0), started(1), failed(1, retry_in_seconds=1.0), FAILED, RESUMED)

    assert [job.steps[n].status for n in range(2)] == [StepStatus.PENDING, StepStatus.PENDING]


def test_a_job_whose_plan_failed_is_planned_anew_when_it_is_resumed() -> None:
    half = e.StepsPlanned(first=0, steps=(e.PlannedStep(name="a"),))
    job = given(*PREPARING, half, FAILED, RESUMED)

    job = after(job, TAKE, c.PlanSteps(claim=2, first=0, steps=RUNNING_PLAN), c.PrepareJob(claim=2))

    assert [step.name for step in job.steps.values()] == ["a", "b"]
    assert job.status is JobStatus.RUNNING


RUNNING_PLAN = (e.PlannedStep(name="a"), e.PlannedStep(name="b"))


def test_a_job_that_goes_on_keeps_its_plan() -> None:
    job = after(given(*RUNNING, STOP_REQUESTED, STOPPED, RESUMED), TAKE)

    assert job.planned
    assert decide(job, c.PlanSteps(claim=2, first=0, steps=RUNNING_PLAN)) == []


def test_resuming_a_stopping_job_withdraws_the_stop() -> None:
    job = given(*RUNNING, started(0), started(1), STOP_REQUESTED, stopped(0, progress=REACHED))

    job = after(job, c.ResumeJob())

    assert job.status is JobStatus.RUNNING
    assert [job.steps[n].status for n in range(2)] == [StepStatus.PENDING, StepStatus.RUNNING]
    assert job.steps[0].progress == REACHED


def test_a_stop_withdrawn_before_the_job_was_prepared_leaves_it_preparing() -> None:
    assert given(*PREPARING, STOP_REQUESTED, RESUMED).status is JobStatus.PREPARING


def test_a_stop_withdrawn_after_a_takeover_leaves_it_to_be_prepared() -> None:
    taken = e.JobClaimed(worker="w2", claim=2)

    job = given(*RUNNING, STOP_REQUESTED, taken, RESUMED)

    assert job.status is JobStatus.PREPARING
    assert later(job, PREPARED).status is JobStatus.RUNNING


def test_a_step_that_comes_to_rest_after_the_stop_was_withdrawn_will_run_again() -> None:
    job = given(*RUNNING, started(0), STOP_REQUESTED, RESUMED)

    job = after(job, report_stop(0, progress=REACHED))

    assert (job.steps[0].status, job.steps[0].progress) == (StepStatus.PENDING, REACHED)
    assert decide(job, c.StartStep(claim=1, step=0)) == [started(0, attempt=2)]


def test_a_withdrawn_stop_gives_steps_no_further_tries_and_leaves_the_waiting_ones_waiting() -> None:
    tried = (started(0), failed(0, retry_in_seconds=1.0), started(0, attempt=2))
    waits = (started(1), failed(1, retry_in_seconds=60.0))

    job = given(*RUNNING, *tried, *waits, STOP_REQUESTED, stopped(0, attempt=2), RESUMED)

    assert [job.steps[n].tries for n in range(2)] == [1, 1]
    assert [job.steps[n].status for n in range(2)] == [StepStatus.PENDING, StepStatus.WAITING]


def test_steps_begin_anew_with_their_tries_when_the_job_is_resumed_from_rest() -> None:
    tried = (started(0), failed(0, retry_in_seconds=1.0), started(0, attempt=2), interrupted(0, attempt=2))
    waits = (started(1), failed(1, retry_in_seconds=60.0))

    job = given(*RUNNING, *tried, *waits, STOP_REQUESTED, STOPPED, RESUMED)

    assert [job.steps[n].tries for n in range(2)] == [0, 0]
    assert job.count(StepStatus.PENDING) == 2


def test_attempt_numbers_go_on_when_a_step_begins_anew() -> None:
    job = given(*ONE_EACH, COMPLETED, RESUMED)

    job = after(job, TAKE, c.PrepareJob(claim=2))

    assert decide(job, c.StartStep(claim=2, step=1)) == [started(1, attempt=2)]


def test_a_resume_leaves_the_steps_that_it_does_not_concern_untouched() -> None:
    before = given(*RUNNING, started(0), succeeded(0), STOP_REQUESTED, STOPPED)

    job = later(before, RESUMED)

    assert all(job.steps[n] is before.steps[n] for n in range(2))


def test_a_job_stopped_after_its_last_step_ended_completes_when_it_is_resumed() -> None:
    every_step = (started(0), succeeded(0), started(1), succeeded(1))
    job = given(*RUNNING, *every_step, STOP_REQUESTED, STOPPED)

    job = after(job, c.ResumeJob(), TAKE, c.PrepareJob(claim=2), c.CompleteJob(claim=2))

    assert job.status is JobStatus.COMPLETED_SUCCESSFULLY


def test_a_job_that_was_never_claimed_can_be_stopped_and_resumed() -> None:
    job = given(STARTED, STOP_REQUESTED, STOPPED)

    assert after(job, c.ResumeJob()).status is JobStatus.PENDING
