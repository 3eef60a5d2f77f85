"""What attempts report: counted once, kept for ever, and ignored when it comes too late."""

from datetime import timedelta

import pytest

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.errors import UnknownStep
from milepost.domain.job import ERRORS_KEPT, Step
from milepost.domain.state_machine import StepStatus
from tests.domain.givens import (
    BOOM,
    RUNNING,
    after,
    failed,
    given,
    interrupted,
    later,
    progressed,
    report_failure,
    report_progress,
    report_stop,
    report_success,
    running_with,
    started,
    succeeded,
    time_of,
)

REACHED = e.Progress(done=3, total=10, unit="rows", message="March", checkpoint="row-3")
ONE_RUNS = (*RUNNING, started(0))

REPORTS: tuple[c.StepReport, ...] = (
    report_progress(0, REACHED),
    report_success(0, progress=REACHED),
    report_failure(0),
    report_stop(0, progress=REACHED),
    c.InterruptStep(claim=1, step=0, attempt=1, cause="killed", progress=REACHED),
)
of_each_report = pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)


def test_a_step_that_may_start_starts_with_the_next_attempt() -> None:
    assert decide(given(*RUNNING), c.StartStep(claim=1, step=0)) == [started(0, attempt=1)]


@pytest.mark.parametrize("ended", [(), (succeeded(0),), (failed(0),)])
def test_a_step_that_runs_or_has_ended_is_not_started_again(ended: tuple[e.JobEvent, ...]) -> None:
    assert decide(given(*ONE_RUNS, *ended), c.StartStep(claim=1, step=0)) == []


def test_progress_is_recorded_as_it_was_reported() -> None:
    assert decide(given(*ONE_RUNS), report_progress(0, REACHED)) == [progressed(0, REACHED)]
    assert given(*ONE_RUNS, progressed(0, REACHED)).steps[0].done == 3


def test_a_success_is_recorded_with_what_the_step_had_reached() -> None:
    job = after(given(*ONE_RUNS), report_success(0, progress=REACHED))

    assert (job.steps[0].status, job.steps[0].progress, job.steps[0].seconds) == (StepStatus.SUCCEEDED, REACHED, 1.0)
    assert job.steps[0].ended_at == job.advanced_at == time_of(job.version)


@of_each_report
@pytest.mark.parametrize("ending", [succeeded(0), failed(0), failed(0, retry_in_seconds=1.0), interrupted(0)])
def test_a_report_of_an_attempt_that_is_over_changes_nothing(report: c.StepReport, ending: e.JobEvent) -> None:
    assert decide(given(*ONE_RUNS, ending), report) == []


@of_each_report
def test_a_report_of_an_earlier_attempt_changes_nothing(report: c.StepReport) -> None:
    job = given(*ONE_RUNS, interrupted(0), started(0, attempt=2))

    assert decide(job, report) == []


@of_each_report
def test_a_report_of_a_step_that_never_started_changes_nothing(report: c.StepReport) -> None:
    assert decide(given(*RUNNING), report) == []


def test_a_report_of_a_step_that_is_not_in_the_plan_is_refused() -> None:
    with pytest.raises(UnknownStep):
        decide(given(*RUNNING), report_success(9))


def test_an_outcome_that_is_reported_twice_is_counted_once() -> None:
    job = after(given(*ONE_RUNS), report_success(0), report_success(0), report_failure(0))

    assert (job.count(StepStatus.SUCCEEDED), job.count(StepStatus.FAILED), job.unfinished) == (1, 0, 1)


def test_a_report_that_names_no_checkpoint_does_not_take_back_the_last_one() -> None:
    job = given(*ONE_RUNS, progressed(0, REACHED))

    job = after(job, report_progress(0, e.Progress(done=4)))

    assert job.steps[0].progress == e.Progress(done=4, checkpoint="row-3")


def test_an_outcome_without_progress_keeps_what_was_reported_before() -> None:
    reached = given(*ONE_RUNS, progressed(0, REACHED))

    for report in (report_success(0), report_failure(0), report_stop(0)):
        assert after(reached, report).steps[0].progress == REACHED


def test_items_are_the_sum_of_what_all_steps_have_done() -> None:
    job = given(*ONE_RUNS, started(1), progressed(0, REACHED), progressed(1, e.Progress(done=5)))

    assert job.items == 8
    assert later(job, progressed(0, e.Progress(done=2))).items == 7


def test_a_job_gets_further_with_progress_and_with_each_success_and_with_nothing_else() -> None:
    job = given(*ONE_RUNS, started(1))
    assert job.advanced_at is None

    job = later(job, progressed(0, REACHED))
    assert job.advanced_at == time_of(job.version)

    job = later(job, succeeded(0))
    assert job.advanced_at == time_of(job.version)

    assert later(job, failed(1)).advanced_at == time_of(job.version)


def test_a_failed_attempt_that_has_another_left_waits_for_it() -> None:
    job = later(running_with(e.Policy(attempts=3, backoff_seconds=4.0, jitter=0.5)), started(0))

    assert decide(job, report_failure(0, chance=0.5)) == [failed(0, retry_in_seconds=3.0)]
    job = after(job, report_failure(0, chance=0.5))
    assert job.steps[0].status is StepStatus.WAITING
    assert job.steps[0].retry_at == time_of(job.version) + timedelta(seconds=3)
    assert decide(job, c.StartStep(claim=1, step=0)) == [started(0, attempt=2)]


def test_a_step_fails_for_good_with_its_last_attempt() -> None:
    job = later(running_with(e.Policy(attempts=2)), started(0))

    job = after(job, report_failure(0), c.StartStep(claim=1, step=0), report_failure(0, attempt=2))

    assert (job.steps[0].status, job.steps[0].tries, job.steps[0].retry_at) == (StepStatus.FAILED, 2, None)


def test_an_interruption_is_not_a_failed_try() -> None:
    job = later(running_with(e.Policy(attempts=2)), started(0), interrupted(0), started(0, attempt=2))

    assert job.steps[0].tries == 0
    assert after(job, report_failure(0, attempt=2)).steps[0].status is StepStatus.WAITING


def test_a_step_that_is_interrupted_goes_back_to_the_start_line_with_its_checkpoint() -> None:
    job = after(given(*ONE_RUNS), c.InterruptStep(claim=1, step=0, attempt=1, cause="killed", progress=REACHED))

    assert (job.steps[0].status, job.steps[0].progress) == (StepStatus.PENDING, REACHED)


def test_each_attempt_keeps_its_error_and_the_newest_are_kept() -> None:
    job = given(*RUNNING)
    for attempt in range(1, ERRORS_KEPT + 3):
        job = later(job, started(0, attempt=attempt), failed(0, attempt=attempt, retry_in_seconds=0.0))

    assert job.steps[0].errors == tuple((attempt, BOOM) for attempt in range(3, ERRORS_KEPT + 3))


def test_a_step_that_ran_keeps_when_it_started_and_ended() -> None:
    job = given(*ONE_RUNS, succeeded(0))

    assert job.steps[0].started_at == time_of(job.version - 1)
    assert job.steps[0].ended_at == time_of(job.version)


def test_steps_are_equal_when_all_that_is_known_of_them_is() -> None:
    assert Step(0, "a", {}) == Step(0, "a", {})
    assert Step(0, "a", {}) != Step(0, "b", {})
    assert Step(0, "a", {}) != "a"
