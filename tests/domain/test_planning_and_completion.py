"""From a plan to the end: batches of steps, zero steps, hooks that raise, and how a job completes."""

import pytest

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.errors import IllegalTransition, PlanOverlaps, UnknownStep
from milepost.domain.state_machine import JobStatus, StepStatus
from tests.domain.givens import (
    BOOM,
    COMPLETED,
    FAILED,
    ONE_EACH,
    PREPARING,
    RUNNING,
    STARTED,
    STOP_REQUESTED,
    after,
    failed,
    given,
    interrupted,
    later,
    running_with,
    started,
    succeeded,
    time_of,
)

A, B, C = (e.PlannedStep(name=name, arguments={"name": name}) for name in "abc")
COMPLETE = c.CompleteJob(claim=1)
ADVANCE = c.Advance(claim=1)


def plan(first: int, *steps: e.PlannedStep) -> c.PlanSteps:
    return c.PlanSteps(claim=1, first=first, steps=steps)


def test_a_plan_arrives_in_batches() -> None:
    job = after(given(*PREPARING), plan(0, A, B), plan(2, C))

    assert [(n, step.name, step.arguments) for n, step in sorted(job.steps.items())] == [
        (0, "a", {"name": "a"}),
        (1, "b", {"name": "b"}),
        (2, "c", {"name": "c"}),
    ]
    assert (job.total, job.count(StepStatus.PENDING)) == (3, 3)


def test_a_batch_that_was_planned_already_changes_nothing() -> None:
    job = after(given(*PREPARING), plan(0, A, B))

    assert decide(job, plan(0, A, B)) == []
    assert decide(job, plan(0, A)) == []


def test_an_empty_batch_changes_nothing() -> None:
    assert decide(given(*PREPARING), plan(0)) == []


def test_a_batch_that_leaves_steps_out_is_refused() -> None:
    with pytest.raises(PlanOverlaps, match="has 0 planned steps: a batch from step 1 on"):
        decide(given(*PREPARING), plan(1, B))


def test_a_batch_that_overlaps_the_last_one_is_refused_and_not_cut() -> None:
    job = after(given(*PREPARING), plan(0, A, B))

    with pytest.raises(PlanOverlaps):
        decide(job, plan(1, B, C))


def test_no_step_is_planned_once_the_plan_is_whole() -> None:
    taken = after(given(*RUNNING), c.ClaimJob(worker="w2"))

    with pytest.raises(IllegalTransition, match="Cannot plan steps"):
        decide(taken, c.PlanSteps(claim=2, first=2, steps=(C,)))


def test_a_prepared_job_says_how_many_steps_it_has() -> None:
    job = after(given(*PREPARING), plan(0, A, B))

    assert decide(job, c.PrepareJob(claim=1)) == [e.JobPrepared(total_steps=2)]


def test_no_step_starts_before_the_job_is_prepared() -> None:
    job = after(given(*PREPARING), plan(0, A))

    with pytest.raises(IllegalTransition):
        decide(job, c.StartStep(claim=1, step=0))


def test_a_step_that_is_not_in_the_plan_cannot_start() -> None:
    with pytest.raises(UnknownStep, match="no step 9: it has 2"):
        decide(given(*RUNNING), c.StartStep(claim=1, step=9))


def test_a_job_without_steps_completes_successfully() -> None:
    job = after(given(*PREPARING), c.PrepareJob(claim=1), COMPLETE)

    assert (job.status, job.total) == (JobStatus.COMPLETED_SUCCESSFULLY, 0)


def test_a_plan_that_raises_half_way_fails_the_job_and_its_error_is_kept() -> None:
    job = after(given(*PREPARING), plan(0, A), c.FailJob(claim=1, error=BOOM))

    assert (job.status, job.error, job.worker) == (JobStatus.FAILED, BOOM, None)


def test_a_plan_that_raises_while_the_job_is_stopping_fails_it() -> None:
    assert decide(given(*PREPARING, STOP_REQUESTED), c.FailJob(claim=1, error=BOOM)) == [FAILED]


def test_a_completion_hook_that_raises_fails_the_job_and_leaves_its_steps_succeeded() -> None:
    every_step = given(*RUNNING, started(0), succeeded(0), started(1), succeeded(1))

    job = after(every_step, c.FailJob(claim=1, error=BOOM))

    assert (job.status, job.error) == (JobStatus.FAILED, BOOM)
    assert job.count(StepStatus.SUCCEEDED) == 2


def test_a_job_whose_completion_hook_raised_runs_only_the_hook_again_when_it_is_resumed() -> None:
    job = given(*RUNNING, started(0), succeeded(0), started(1), succeeded(1), FAILED)

    job = after(job, c.ResumeJob(), c.ClaimJob(worker="w2"), c.PrepareJob(claim=2))

    assert job.all_ended
    assert after(job, c.CompleteJob(claim=2)).status is JobStatus.COMPLETED_SUCCESSFULLY


def test_a_job_that_fails_while_steps_run_interrupts_them() -> None:
    job = given(*RUNNING, started(0))

    assert decide(job, c.FailJob(claim=1, error=BOOM)) == [interrupted(0, cause="the job failed"), FAILED]


def test_a_job_is_not_complete_while_a_step_is_left() -> None:
    for events in ((), (started(0),), (started(0), failed(0, retry_in_seconds=1.0), started(1), succeeded(1))):
        assert decide(given(*RUNNING, *events), COMPLETE) == []


def test_a_job_is_not_complete_before_its_plan_is_whole() -> None:
    assert decide(given(*PREPARING), COMPLETE) == []


def test_a_job_that_goes_on_must_be_prepared_before_it_completes() -> None:
    taken = after(given(*ONE_EACH), c.ClaimJob(worker="w2"))

    with pytest.raises(IllegalTransition):
        decide(taken, c.CompleteJob(claim=2))


def test_a_job_whose_steps_all_succeeded_completes_successfully() -> None:
    job = given(*RUNNING, started(0), succeeded(0), started(1), succeeded(1))

    assert decide(job, COMPLETE) == [COMPLETED]
    assert after(job, COMPLETE).status is JobStatus.COMPLETED_SUCCESSFULLY


def test_a_job_with_a_failed_step_completes_with_failures() -> None:
    job = after(given(*ONE_EACH), COMPLETE)

    assert (job.status, job.worker) == (JobStatus.COMPLETED_WITH_FAILURES, None)
    assert job.ended_at == time_of(job.version)


def test_nothing_follows_by_itself_for_a_running_job_that_has_steps_left() -> None:
    assert decide(given(*RUNNING), ADVANCE) == []


def test_nothing_follows_by_itself_for_a_job_that_prepares() -> None:
    assert decide(given(*PREPARING), ADVANCE) == []


def test_a_job_that_halts_at_the_first_failure_starts_no_further_step_and_fails() -> None:
    job = later(running_with(e.Policy(on_failure="halt"), steps=3), started(0), started(1), failed(0))

    assert decide(job, c.StartStep(claim=1, step=2)) == []
    assert decide(job, ADVANCE) == []  # one still runs

    job = after(later(job, succeeded(1)), ADVANCE)
    assert job.status is JobStatus.FAILED
    assert job.error == e.ErrorDetail(type="TooManyFailures", message="1 of 3 steps: it halts at the first failed step")


@pytest.mark.parametrize(
    ("limit", "rule"),
    [(1, "at most 1 may fail"), (0.5, "at most 0.5 of them, as a share, may fail")],
)
def test_a_job_in_which_too_many_steps_failed_has_failed_and_says_why(limit: float, rule: str) -> None:
    job = later(running_with(e.Policy(max_failures=limit), steps=3), started(0), failed(0), started(1), failed(1))

    job = after(job, ADVANCE)

    assert job.status is JobStatus.FAILED
    assert job.error == e.ErrorDetail(type="TooManyFailures", message=f"2 of 3 steps: {rule}")


def test_a_job_in_which_too_many_steps_failed_does_not_complete_even_if_none_is_left() -> None:
    job = later(running_with(e.Policy(max_failures=0)), started(0), failed(0), started(1), succeeded(1))

    assert after(job, COMPLETE).status is JobStatus.FAILED


def test_a_job_that_too_many_failures_ended_can_be_resumed_and_starts_steps_again() -> None:
    job = later(running_with(e.Policy(on_failure="halt")), started(0), failed(0))

    job = after(job, ADVANCE, c.ResumeJob(), c.ClaimJob(worker="w2"), c.PrepareJob(claim=2))

    assert decide(job, c.StartStep(claim=2, step=0)) == [started(0, attempt=2)]


def test_a_stopped_job_in_which_too_many_steps_failed_fails_when_it_is_resumed() -> None:
    job = later(running_with(e.Policy(on_failure="halt")), started(0), failed(0))

    job = after(job, c.StopJob(worker_alive=False), c.ResumeJob(), c.ClaimJob(worker="w2"), c.PrepareJob(claim=2))

    assert after(job, c.Advance(claim=2)).status is JobStatus.FAILED


def test_times_of_a_job_are_those_of_its_events() -> None:
    job = given(STARTED)

    assert (job.created_at, job.ended_at) == (time_of(1), None)
