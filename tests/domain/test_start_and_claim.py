"""Starting a job, and which worker may speak for it."""

from datetime import UTC, datetime

import pytest

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.errors import ClaimSuperseded, IllegalTransition, NotStorable
from milepost.domain.job import Job
from milepost.domain.state_machine import AT_REST, JobStatus, StepStatus
from milepost.domain.texts import TextInvalid
from tests.domain.givens import (
    BOOM,
    CANCEL_REQUESTED,
    CLAIMED,
    IN_STATUS,
    JOB_ID,
    PREPARING,
    RUNNING,
    STARTED,
    STOP_REQUESTED,
    STOPPED,
    after,
    given,
    interrupted,
    later,
    progressed,
    report_failure,
    report_progress,
    report_stop,
    report_success,
    started,
    succeeded,
)

TAKE_OVER = c.ClaimJob(worker="w2")
TAKEN_OVER = e.JobClaimed(worker="w2", claim=2)
REACHED = e.Progress(done=3, checkpoint="row-3")
RELEASE = c.ReleaseJob(claim=1)
RELEASED = e.JobReleased(worker="w1", claim=1)

OF_A_COORDINATOR: tuple[c.CoordinatorCommand, ...] = (
    c.PlanSteps(claim=1, first=0, steps=()),
    c.PrepareJob(claim=1),
    c.StartStep(claim=1, step=0),
    report_progress(0, REACHED),
    report_success(0),
    report_failure(0),
    report_stop(0),
    c.InterruptStep(claim=1, step=0, attempt=1, cause="killed"),
    c.Advance(claim=1),
    c.CompleteJob(claim=1),
    c.FailJob(claim=1, error=BOOM),
    RELEASE,
)


def test_a_started_job_keeps_all_that_it_was_started_with() -> None:
    command = c.StartJob(
        namespace="Tenant",
        job_type="import-flights",
        request={"months": [1]},
        details="January",
        key="2013",
        limit_key="nyc",
        tags=("night",),
        policy=e.Policy(attempts=3),
    )

    job = after(Job(JOB_ID), command)

    assert job.status is JobStatus.PENDING
    assert job.facts == e.JobStarted(
        namespace="Tenant",
        job_type="import-flights",
        request={"months": [1]},
        details="January",
        key="2013",
        limit_key="nyc",
        tags=("night",),
        policy=e.Policy(attempts=3),
    )


def test_a_job_is_started_once() -> None:
    with pytest.raises(IllegalTransition, match="Cannot start job"):
        decide(given(STARTED), c.StartJob(namespace="Default", job_type="self-test", request={}))


def test_the_first_worker_that_claims_a_job_prepares_it() -> None:
    job = given(STARTED)

    assert decide(job, c.ClaimJob(worker="w1")) == [CLAIMED]
    assert after(job, c.ClaimJob(worker="w1")).status is JobStatus.PREPARING


@pytest.mark.parametrize("status", sorted(AT_REST))
def test_a_job_at_rest_cannot_be_claimed(status: JobStatus) -> None:
    with pytest.raises(IllegalTransition):
        decide(IN_STATUS[status], TAKE_OVER)


def test_a_takeover_interrupts_the_running_steps_and_keeps_their_checkpoints() -> None:
    job = given(*RUNNING, started(0), started(1), progressed(1, REACHED))

    assert decide(job, TAKE_OVER) == [
        interrupted(0, cause="its worker w1 was gone", lease_lost=True),
        interrupted(1, cause="its worker w1 was gone", lease_lost=True),
        TAKEN_OVER,
    ]
    taken = after(job, TAKE_OVER)
    assert (taken.status, taken.claim, taken.worker) == (JobStatus.PREPARING, 2, "w2")
    assert [taken.steps[n].status for n in range(2)] == [StepStatus.PENDING, StepStatus.PENDING]
    assert taken.steps[1].progress == REACHED


def test_a_takeover_takes_what_a_step_reached_in_its_own_transaction() -> None:
    job = given(*RUNNING, started(0), progressed(0, REACHED))
    further = e.Progress(done=9, checkpoint="row-9")

    taken = after(job, c.ClaimJob(worker="w2", reached={0: further}))

    assert taken.steps[0].progress == further


def test_a_takeover_does_not_lose_a_checkpoint_to_a_transaction_that_named_none() -> None:
    job = given(*RUNNING, started(0), progressed(0, REACHED))

    taken = after(job, c.ClaimJob(worker="w2", reached={0: e.Progress(done=9)}))

    assert taken.steps[0].progress == e.Progress(done=9, checkpoint="row-3")


def test_a_takeover_of_a_half_made_plan_makes_it_anew() -> None:
    half = e.StepsPlanned(first=0, steps=(e.PlannedStep(name="a"),))

    taken = after(given(*PREPARING, half), TAKE_OVER)

    assert (taken.total, taken.count(StepStatus.PENDING)) == (0, 0)


@pytest.mark.parametrize("status", [JobStatus.STOPPING, JobStatus.CANCELLING])
def test_a_takeover_does_not_undo_what_was_asked(status: JobStatus) -> None:
    taken = after(IN_STATUS[status], TAKE_OVER)

    assert taken.status is status


def test_the_next_worker_stops_the_job_whose_lease_lost_while_stopping() -> None:
    taken = after(given(*RUNNING, started(0), STOP_REQUESTED), TAKE_OVER)

    assert decide(taken, c.Advance(claim=2)) == [STOPPED]


@pytest.mark.parametrize("command", OF_A_COORDINATOR, ids=lambda command: type(command).__name__)
def test_a_worker_that_lost_its_claim_cannot_speak_for_the_job(command: c.CoordinatorCommand) -> None:
    taken = given(*RUNNING, started(0), interrupted(0), TAKEN_OVER)

    with pytest.raises(ClaimSuperseded) as refusal:
        decide(taken, command)
    assert (refusal.value.claim, refusal.value.current) == (1, 2)


@pytest.mark.parametrize("command", OF_A_COORDINATOR, ids=lambda command: type(command).__name__)
def test_a_worker_cannot_speak_for_a_job_at_rest(command: c.CoordinatorCommand) -> None:
    for status in AT_REST:
        with pytest.raises(ClaimSuperseded) as refusal:
            decide(IN_STATUS[status], command)
        assert refusal.value.current is None


def test_a_worker_that_gives_a_job_back_leaves_it_to_the_next() -> None:
    job = given(*RUNNING, started(0))

    assert decide(job, RELEASE) == [interrupted(0, cause="its worker shut down"), RELEASED]
    released = after(job, RELEASE)
    assert (released.status, released.worker) == (JobStatus.PENDING, None)
    assert after(released, TAKE_OVER).claim == 2


def test_a_worker_that_gives_a_stopping_job_back_stops_it() -> None:
    job = given(*RUNNING, started(0), STOP_REQUESTED)

    assert decide(job, RELEASE) == [interrupted(0, cause="its worker shut down"), STOPPED]


def test_a_worker_that_gives_a_cancelling_job_back_leaves_the_cleanup_to_the_next() -> None:
    job = given(*RUNNING, started(0), CANCEL_REQUESTED)

    released = after(job, RELEASE)

    assert (released.status, released.worker) == (JobStatus.CANCELLING, None)
    assert after(released, TAKE_OVER, c.Advance(claim=2)).status is JobStatus.CANCELLED


def test_a_worker_that_gives_a_job_back_while_it_prepares_leaves_it_pending() -> None:
    assert after(given(*PREPARING), RELEASE).status is JobStatus.PENDING


def test_a_succeeded_step_stays_so_through_any_number_of_takeovers() -> None:
    job = given(*RUNNING, started(0), succeeded(0))

    for claim in (2, 3, 4):
        job = after(job, c.ClaimJob(worker=f"w{claim}"), c.PrepareJob(claim=claim))
        assert decide(job, c.StartStep(claim=claim, step=0)) == []


def test_rates_are_measured_from_where_the_present_claim_began() -> None:
    job = given(*RUNNING, started(0), progressed(0, REACHED), succeeded(0))

    job = later(job, TAKEN_OVER, e.JobPrepared(total_steps=2))

    assert (job.items_before, job.ended_before, job.items) == (3.0, 1, 3.0)
    assert job.running_since is not None


@pytest.mark.parametrize(
    "value", [float("inf"), float("nan"), datetime(2026, 1, 1, tzinfo=UTC), "\ud800", {("a", "b"): 1}, {1, 2}]
)
def test_a_request_that_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(NotStorable, match=r"The request of job .* cannot be stored as JSON"):
        decide(Job(JOB_ID), c.StartJob("Default", "import", {"deep": [value]}))


def test_arguments_of_a_step_that_json_does_not_have_are_refused() -> None:
    steps = (e.PlannedStep(name="one", arguments={"n": 1}), e.PlannedStep(name="two", arguments={"n": float("inf")}))

    with pytest.raises(NotStorable, match="The arguments of a step of job"):
        decide(given(*PREPARING), c.PlanSteps(claim=1, first=0, steps=steps))


@pytest.mark.parametrize(
    "command",
    [
        c.StartJob("Default", "import", {}, details="a\0b"),
        c.StartJob("Default", "import", {}, key="a\0b"),
        c.StartJob("Default", "import", {}, limit_key="a\0b"),
    ],
)
def test_a_text_that_not_every_database_can_keep_is_refused(command: c.StartJob) -> None:
    with pytest.raises(TextInvalid, match="NUL"):
        decide(Job(JOB_ID), command)


def test_a_step_whose_name_not_every_database_can_keep_is_refused() -> None:
    with pytest.raises(TextInvalid, match="The name of a step"):
        decide(given(*PREPARING), c.PlanSteps(claim=1, first=0, steps=(e.PlannedStep(name="a\0b"),)))
