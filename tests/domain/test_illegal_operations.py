"""What is answered to each operation that a job cannot do: the rows of the table we were given to do better.

Chronicle logs a warning for most of these and tells its caller that all went well. Here each is either a
typed refusal that names the status and what is possible, or says truthfully that nothing had to change.
"""

import pytest

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.errors import IllegalTransition
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus
from tests.domain.givens import IN_STATUS, JOB_ID, PREPARING, RESUMED, RUNNING, STARTED, STOP_REQUESTED, after, given

S = JobStatus
START = c.StartJob(namespace="Default", job_type="self-test", request={})
STOP = c.StopJob(worker_alive=True)
CANCEL = c.CancelJob(worker_alive=True)
COMPLETED = (S.COMPLETED_SUCCESSFULLY, S.COMPLETED_WITH_FAILURES)


def refusal(status: JobStatus, command: c.JobCommand) -> IllegalTransition:
    with pytest.raises(IllegalTransition) as refused:
        decide(IN_STATUS[status], command)
    return refused.value


def test_starting_a_failed_job_is_refused_and_its_resume_is_named() -> None:
    refused = refusal(S.FAILED, START)

    assert (refused.status, refused.possible) == (S.FAILED, ("resume", "remove"))


@pytest.mark.parametrize("status", COMPLETED)
def test_starting_a_completed_job_is_refused(status: JobStatus) -> None:
    assert refusal(status, START).status is status


@pytest.mark.parametrize("status", [S.PENDING, S.PREPARING, S.RUNNING])
def test_starting_a_job_that_was_started_is_refused(status: JobStatus) -> None:
    assert refusal(status, START).status is status


def test_stopping_a_failed_job_is_refused_and_not_just_logged() -> None:
    assert refusal(S.FAILED, STOP).possible == ("resume", "remove")


def test_stopping_a_job_that_completed_successfully_is_refused() -> None:
    assert refusal(S.COMPLETED_SUCCESSFULLY, STOP).possible == ("remove",)


def test_stopping_a_job_that_completed_with_failures_is_refused() -> None:
    assert refusal(S.COMPLETED_WITH_FAILURES, STOP).possible == ("resume", "remove")


def test_stopping_a_stopped_job_changes_nothing() -> None:
    assert decide(IN_STATUS[S.STOPPED], STOP) == []


def test_stopping_a_job_that_is_given_up_is_refused() -> None:
    assert refusal(S.CANCELLING, STOP).status is S.CANCELLING


def test_stopping_a_removed_job_is_refused() -> None:
    assert refusal(S.REMOVED, STOP).possible == ()


@pytest.mark.parametrize("command", [STOP, c.ResumeJob(), CANCEL, c.RemoveJob()], ids=lambda it: type(it).__name__)
def test_a_job_that_does_not_exist_is_never_said_to_be_stopped_resumed_cancelled_or_removed(
    command: c.JobCommand,
) -> None:
    with pytest.raises(IllegalTransition, match="it is not started"):
        decide(Job(JOB_ID), command)


def test_resuming_a_failed_job_resumes_it() -> None:
    assert decide(IN_STATUS[S.FAILED], c.ResumeJob()) == [RESUMED]


@pytest.mark.parametrize("status", [S.RUNNING, S.PREPARING, S.PENDING])
def test_resuming_a_job_that_goes_on_says_that_nothing_changed(status: JobStatus) -> None:
    assert decide(IN_STATUS[status], c.ResumeJob()) == []


def test_resuming_a_job_that_completed_successfully_is_refused() -> None:
    assert refusal(S.COMPLETED_SUCCESSFULLY, c.ResumeJob()).possible == ("remove",)


def test_resuming_a_job_that_completed_with_failures_resumes_it() -> None:
    assert decide(IN_STATUS[S.COMPLETED_WITH_FAILURES], c.ResumeJob()) == [RESUMED]


def test_resuming_a_job_whose_type_cannot_run_now_leaves_it_pending_until_it_can() -> None:
    resumed = after(IN_STATUS[S.STOPPED], c.ResumeJob())

    assert (resumed.status, resumed.worker) == (S.PENDING, None)


def test_resuming_a_job_that_was_never_prepared_prepares_it() -> None:
    stopped = after(given(STARTED), STOP)

    resumed = after(stopped, c.ResumeJob(), c.ClaimJob(worker="w1"), c.PrepareJob(claim=1))

    assert resumed.status is S.RUNNING


def test_a_step_that_fails_as_it_starts_again_is_counted_as_failed() -> None:
    resumed = after(IN_STATUS[S.STOPPED], c.ResumeJob(), c.ClaimJob(worker="w2"), c.PrepareJob(claim=2))
    error = e.ErrorDetail(type="OSError", message="cannot start")

    failed = after(
        resumed,
        c.StartStep(claim=2, step=0),
        c.ReportFailure(claim=2, step=0, attempt=1, seconds=0.0, error=error),
    )

    assert failed.steps[0].errors == ((1, error),)
    assert failed.unfinished == 1


@pytest.mark.parametrize("status", [S.CANCELLING, S.CANCELLED, S.REMOVED])
def test_resuming_a_job_that_is_being_given_up_is_refused(status: JobStatus) -> None:
    assert refusal(status, c.ResumeJob()).status is status


@pytest.mark.parametrize("status", [S.FAILED, *COMPLETED, S.STOPPED, S.CANCELLED])
def test_removing_a_job_at_rest_removes_it_whatever_its_end(status: JobStatus) -> None:
    assert decide(IN_STATUS[status], c.RemoveJob()) == [e.JobRemoved()]


def test_removing_a_removed_job_is_refused() -> None:
    assert refusal(S.REMOVED, c.RemoveJob()).status is S.REMOVED


@pytest.mark.parametrize("status", [S.PENDING, S.PREPARING, S.RUNNING, S.STOPPING, S.CANCELLING])
def test_removing_a_job_that_lives_is_refused_and_what_would_end_it_is_named(status: JobStatus) -> None:
    assert "remove" not in refusal(status, c.RemoveJob()).possible


@pytest.mark.parametrize("history", [(STARTED,), PREPARING, RUNNING, (*RUNNING, STOP_REQUESTED)])
def test_a_refusal_leaves_the_job_as_it_was(history: tuple[e.JobEvent, ...]) -> None:
    job = given(*history)

    with pytest.raises(IllegalTransition):
        decide(job, c.RemoveJob())

    assert job == given(*history)
