"""Defects found by reading Cratis Chronicle 16.37.1, each shown not to be one of ours."""

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.job import Job
from milepost.domain.state_machine import AT_REST, JobStatus, StepStatus
from tests.domain.givens import (
    BOOM,
    CANCEL_REQUESTED,
    CANCELLED,
    COMPLETED,
    FAILED,
    REMOVED,
    RUNNING,
    STOP_REQUESTED,
    STOPPED,
    after,
    failed,
    given,
    interrupted,
    later,
    report_stop,
    report_success,
    running_with,
    started,
    succeeded,
)

S = JobStatus
REACHED = e.Progress(done=5, checkpoint="row-5")
ALL_SUCCEEDED = (*RUNNING, started(0), succeeded(0), started(1), succeeded(1))


def run_to_its_end(job: Job) -> Job:
    """As a worker would: claim, prepare, run all that may start, complete."""
    job = after(job, c.ClaimJob(worker="next"))
    claim = job.claim
    job = after(job, c.PrepareJob(claim=claim))
    for index in sorted(job.steps):
        job = after(job, c.StartStep(claim=claim, step=index))
        job = after(job, report_success(index, attempt=job.steps[index].attempt, claim=claim))
    return after(job, c.CompleteJob(claim=claim))


def test_defect_1_steps_that_wait_for_a_slot_do_not_keep_a_stopped_job_from_stopping_or_resuming() -> None:
    job = later(running_with(e.Policy(), steps=5), started(0), STOP_REQUESTED)

    job = after(job, report_stop(0), c.Advance(claim=1))

    assert job.status is S.STOPPED
    assert run_to_its_end(after(job, c.ResumeJob())).status is S.COMPLETED_SUCCESSFULLY


def test_defect_1_steps_that_wait_for_a_slot_do_not_keep_a_job_from_being_removed() -> None:
    job = later(running_with(e.Policy(), steps=5), started(0), CANCEL_REQUESTED)

    job = after(job, report_stop(0), c.Advance(claim=1), c.RemoveJob())

    assert job.status is S.REMOVED


def test_defect_2_a_job_that_was_stopped_with_all_steps_completed_completes_when_it_is_resumed() -> None:
    stopped = after(given(*ALL_SUCCEEDED), c.StopJob(worker_alive=False))
    assert stopped.status is S.STOPPED

    resumed = after(stopped, c.ResumeJob())

    assert run_to_its_end(resumed).status is S.COMPLETED_SUCCESSFULLY


def test_defect_3_a_step_outcome_that_is_reported_twice_does_not_keep_the_job_from_completing() -> None:
    job = given(*RUNNING, started(0), started(1))

    job = after(job, report_success(0), report_success(0), report_success(1), report_success(1))

    assert job.count(StepStatus.SUCCEEDED) == 2
    assert decide(job, c.CompleteJob(claim=1)) == [COMPLETED]


def test_defect_4_a_stop_after_its_worker_died_needs_no_report_from_anyone() -> None:
    job = given(*RUNNING, started(0), started(1))

    assert after(job, c.StopJob(worker_alive=False)).status is S.STOPPED


def test_defect_4_a_cancel_after_its_worker_died_needs_no_report_from_anyone() -> None:
    job = given(*RUNNING, started(0), started(1))

    assert after(job, c.CancelJob(worker_alive=False), c.RemoveJob()).status is S.REMOVED


def test_defect_5_a_job_can_be_stopped_and_resumed_any_number_of_times() -> None:
    job = given(*RUNNING)
    for claim in range(1, 5):
        job = after(job, c.StartStep(claim=claim, step=0), c.StopJob(worker_alive=True))
        job = after(job, report_stop(0, attempt=claim, claim=claim), c.Advance(claim=claim), c.ResumeJob())
        job = after(job, c.ClaimJob(worker="w"), c.PrepareJob(claim=claim + 1))

    assert job.status is S.RUNNING
    assert decide(job, c.StartStep(claim=5, step=0)) == [started(0, attempt=5)]


def test_defect_6_a_step_that_is_asked_to_stop_is_stopped_and_not_failed() -> None:
    job = given(*RUNNING, started(0), STOP_REQUESTED)

    job = after(job, report_stop(0, progress=REACHED), c.Advance(claim=1))
    assert (job.count(StepStatus.STOPPED), job.count(StepStatus.FAILED)) == (1, 0)

    resumed = after(job, c.ResumeJob())
    assert resumed.steps[0].progress == REACHED
    assert run_to_its_end(resumed).status is S.COMPLETED_SUCCESSFULLY


def test_defect_7_a_job_that_is_given_up_never_completes_even_when_its_last_step_has_ended() -> None:
    job = given(*RUNNING, started(0), succeeded(0), started(1), CANCEL_REQUESTED)

    job = after(job, report_success(1))

    assert decide(job, c.Advance(claim=1)) == [CANCELLED]


def test_defect_8_a_job_whose_hook_raised_can_still_be_removed() -> None:
    after_completion_hook = after(given(*ALL_SUCCEEDED), c.FailJob(claim=1, error=BOOM))
    after_cleanup_hook = after(given(*RUNNING, CANCEL_REQUESTED), c.Advance(claim=1, cleanup_error=BOOM))

    assert decide(after_completion_hook, c.RemoveJob()) == [REMOVED]
    assert decide(after_cleanup_hook, c.RemoveJob()) == [REMOVED]


def test_defect_9_the_steps_of_a_removed_job_are_at_rest() -> None:
    stories = (
        (*RUNNING, started(0), interrupted(0), STOP_REQUESTED, STOPPED, REMOVED),
        (*RUNNING, started(0), failed(0, retry_in_seconds=1.0), CANCEL_REQUESTED, CANCELLED, REMOVED),
        (*RUNNING, started(0), interrupted(0), FAILED, REMOVED),
    )

    assert all(given(*story).in_flight == 0 for story in stories)


def test_a_worker_that_dies_before_the_job_is_told_of_the_last_success_does_not_leave_it_one_short() -> None:
    job = after(given(*RUNNING, started(0), succeeded(0), started(1)), c.ClaimJob(worker="w2"))

    job = after(job, c.PrepareJob(claim=2), c.StartStep(claim=2, step=1), report_success(1, attempt=2, claim=2))

    assert after(job, c.CompleteJob(claim=2)).status is S.COMPLETED_SUCCESSFULLY


def test_a_worker_that_dies_between_the_last_success_and_the_end_leaves_a_job_that_the_next_one_completes() -> None:
    job = after(given(*ALL_SUCCEEDED), c.ClaimJob(worker="w2"), c.PrepareJob(claim=2), c.CompleteJob(claim=2))

    assert job.status is S.COMPLETED_SUCCESSFULLY
    assert job.status in AT_REST


def test_a_resume_after_a_crash_is_no_empty_word_because_a_dead_workers_job_can_be_claimed() -> None:
    for history in (RUNNING[:1], RUNNING[:2], RUNNING[:3], RUNNING, (*RUNNING, started(0))):
        job = after(given(*history), c.ClaimJob(worker="w2"))
        assert (job.worker, job.in_flight) == ("w2", 0)
