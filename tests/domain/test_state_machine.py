"""The transition tables hold: every row can happen and leads where it says, and nothing else can happen."""

from typing import Final, get_args

import pytest

from milepost.domain import events as e
from milepost.domain.errors import BrokenHistory, IllegalTransition, UnknownStep, VersionMismatch
from milepost.domain.job import Job, evolve
from milepost.domain.state_machine import (
    AT_REST,
    COMPLETED,
    LIVE,
    RUN_AGAIN,
    STEP_TRANSITIONS,
    TRANSITIONS,
    WITH_WORKER,
    JobStatus,
    StepStatus,
    Transition,
    When,
    possible,
)
from tests.domain.givens import (
    BOOM,
    CANCEL_REQUESTED,
    CANCELLED,
    CLAIMED,
    FAILED,
    IN_STATUS,
    JOB_ID,
    ONE_EACH,
    PLANNED,
    PREPARED,
    PREPARING,
    REMOVED,
    RESUMED,
    RUNNING,
    STARTED,
    STOP_REQUESTED,
    STOPPED,
    failed,
    given,
    interrupted,
    later,
    progressed,
    recorded,
    started,
    stopped,
    succeeded,
)
from tests.domain.givens import (
    COMPLETED as JOB_COMPLETED,
)

S = JobStatus
T = StepStatus

EVENTS: Final[dict[type[e.JobEvent], e.JobEvent]] = {
    type(event): event
    for event in (
        STARTED, CLAIMED, PLANNED, PREPARED, started(1), progressed(0, e.Progress(done=1)), succeeded(0), failed(0),
        stopped(0), interrupted(0), STOP_REQUESTED, STOPPED, RESUMED, e.JobReleased(worker="w1", claim=1),
        CANCEL_REQUESTED, CANCELLED, JOB_COMPLETED, FAILED, REMOVED,
    )
}  # fmt: skip

NOT_STARTED: Final = Job(JOB_ID)
TAKEN_OVER: Final = e.JobClaimed(worker="w2", claim=2)
STOPPING: Final = (*RUNNING, STOP_REQUESTED)

# Jobs for which each condition holds, by the status they are in.
MEETING: Final[dict[tuple[JobStatus, When], Job]] = {
    (S.PREPARING, When.UNPLANNED): given(*PREPARING),
    (S.STOPPING, When.PREPARED): given(*STOPPING),
    (S.STOPPING, When.UNPREPARED): given(*PREPARING, STOP_REQUESTED),
    (S.RUNNING, When.NONE_FAILED): given(*RUNNING, started(0), succeeded(0)),
    (S.STOPPING, When.NONE_FAILED): given(*STOPPING),
    (S.RUNNING, When.SOME_FAILED): given(*ONE_EACH),
    (S.STOPPING, When.SOME_FAILED): given(*ONE_EACH, STOP_REQUESTED),
}
STEP_EVENTS: Final[tuple[type[e.JobEvent], ...]] = get_args(e.StepEvent)


def in_source(row: Transition, event: e.JobEvent) -> Job:
    if row.source is None:
        return NOT_STARTED
    if row.when is not When.ALWAYS:
        return MEETING[row.source, row.when]
    if isinstance(event, STEP_EVENTS) and row.source is S.RUNNING:
        return given(*RUNNING, started(0))
    return IN_STATUS[row.source]


def test_the_table_has_a_row_for_every_event_and_for_nothing_else() -> None:
    assert set(TRANSITIONS) == set(get_args(e.JobEvent)) == set(EVENTS)


def test_every_step_event_has_a_row_in_the_table_of_steps() -> None:
    assert set(STEP_TRANSITIONS) == {*STEP_EVENTS, e.JobResumed, e.JobCancelled}


@pytest.mark.parametrize(
    ("event", "row"),
    [
        pytest.param(event, row, id=f"{event.__name__}-{row.source}-{row.target}")
        for event, rows in TRANSITIONS.items()
        for row in rows
    ],
)
def test_each_row_can_happen_and_leads_where_it_says(event: type[e.JobEvent], row: Transition) -> None:
    job = in_source(row, EVENTS[event])

    assert job.status is row.source
    assert later(job, EVENTS[event]).status is row.target


ILLEGAL: Final = [
    (event, status)
    for event, rows in TRANSITIONS.items()
    for status in JobStatus
    if status not in {row.source for row in rows}
]


@pytest.mark.parametrize(("event", "status"), ILLEGAL, ids=[f"{event.__name__}-{status}" for event, status in ILLEGAL])
def test_an_event_without_a_row_cannot_happen(event: type[e.JobEvent], status: JobStatus) -> None:
    with pytest.raises(IllegalTransition) as refusal:
        later(IN_STATUS[status], EVENTS[event])

    assert refusal.value.status is status


def test_nothing_but_its_start_happens_to_a_job_that_does_not_exist() -> None:
    for event in set(EVENTS) - {e.JobStarted}:
        with pytest.raises(IllegalTransition, match="not started"):
            later(NOT_STARTED, EVENTS[event])


def test_a_plan_that_is_whole_takes_no_further_steps() -> None:
    job = given(*RUNNING, TAKEN_OVER)

    with pytest.raises(IllegalTransition):
        later(job, e.StepsPlanned(first=2, steps=(e.PlannedStep(name="c"),)))


def test_every_status_is_either_live_or_at_rest() -> None:
    assert set(JobStatus) == LIVE | AT_REST
    assert not LIVE & AT_REST
    assert WITH_WORKER < LIVE
    assert COMPLETED < AT_REST


def test_only_a_job_at_rest_can_be_removed() -> None:
    assert {row.source for row in TRANSITIONS[e.JobRemoved]} == AT_REST - {S.REMOVED}


def test_nothing_leaves_removed() -> None:
    assert not [event for event, rows in TRANSITIONS.items() if any(row.source is S.REMOVED for row in rows)]
    assert possible(S.REMOVED) == ()


# A job with one step in each status, the step's index beside it.
STEP_IN: Final[dict[StepStatus, tuple[Job, int]]] = {
    T.PENDING: (given(*RUNNING), 0),
    T.RUNNING: (given(*RUNNING, started(0)), 0),
    T.WAITING: (given(*RUNNING, started(0), failed(0, retry_in_seconds=1.0)), 0),
    T.SUCCEEDED: (given(*RUNNING, started(0), succeeded(0)), 0),
    T.FAILED: (given(*RUNNING, started(0), failed(0)), 0),
    # Stopping, and the other step still runs.
    T.STOPPED: (given(*RUNNING, started(0), started(1), STOP_REQUESTED, stopped(0)), 0),
}
SAMPLES: Final[tuple[tuple[e.JobEvent, StepStatus], ...]] = (
    (started(0, attempt=2), T.RUNNING),
    (progressed(0, e.Progress(done=1)), T.RUNNING),
    (succeeded(0), T.SUCCEEDED),
    (failed(0, retry_in_seconds=1.0), T.WAITING),
    (failed(0), T.FAILED),
    (stopped(0), T.STOPPED),
    (interrupted(0), T.PENDING),
)


def sources(event: e.JobEvent, target: StepStatus) -> set[StepStatus]:
    return {source for row in STEP_TRANSITIONS[type(event)] if row.target is target for source in row.sources}


@pytest.mark.parametrize(("event", "target"), SAMPLES, ids=[f"{type(ev).__name__}-{to}" for ev, to in SAMPLES])
def test_a_step_event_moves_its_step_as_its_row_says(event: e.JobEvent, target: StepStatus) -> None:
    for source in sources(event, target):
        job, step = STEP_IN[source]
        moved = later(job, event)

        assert moved.steps[step].status is target
        assert moved.count(target) == job.count(target) + (source is not target)


@pytest.mark.parametrize(("event", "target"), SAMPLES, ids=[f"{type(ev).__name__}-{to}" for ev, to in SAMPLES])
def test_a_step_event_cannot_happen_to_a_step_of_another_status(event: e.JobEvent, target: StepStatus) -> None:
    for status in set(STEP_IN) - sources(event, target):
        job, _ = STEP_IN[status]

        with pytest.raises(IllegalTransition):
            later(job, event)


def test_a_step_event_of_a_step_that_was_never_planned_is_refused() -> None:
    with pytest.raises(UnknownStep, match="no step 9: it has 2"):
        later(given(*RUNNING), started(9))


def test_a_resume_moves_no_step_that_the_table_does_not_name() -> None:
    named = {source for row in STEP_TRANSITIONS[e.JobResumed] for source in row.sources}

    assert {status for again in RUN_AGAIN.values() for status in again} == named
    assert set(RUN_AGAIN) == {row.source for row in TRANSITIONS[e.JobResumed]}


def test_a_cancelled_job_has_no_step_left_that_could_run() -> None:
    job = given(*RUNNING, started(0), failed(0, retry_in_seconds=1.0), CANCEL_REQUESTED, CANCELLED)

    assert {step.status for step in job.steps.values()} == {T.CANCELLED}
    assert (job.count(T.CANCELLED), job.count(T.PENDING), job.count(T.WAITING)) == (2, 0, 0)


def test_a_history_with_a_gap_is_refused() -> None:
    job = given(STARTED)
    skipped = recorded(given(STARTED, CLAIMED), PLANNED)

    with pytest.raises(BrokenHistory, match="version 3 stands where 2 should"):
        evolve(job, skipped)


def test_a_history_that_says_a_thing_twice_is_refused() -> None:
    job = given(*RUNNING, started(0))
    again = recorded(given(*RUNNING), started(0))

    with pytest.raises(BrokenHistory):
        evolve(job, again)


def test_a_refusal_names_what_is_possible_now() -> None:
    assert str(IllegalTransition("stop", JOB_ID, S.FAILED)) == (
        f"Cannot stop job {JOB_ID}: it is Failed. Possible now: resume, remove."
    )
    assert "Possible now: nothing: its history" in str(IllegalTransition("stop", JOB_ID, S.REMOVED))
    assert "nothing until it is Cancelled" in str(IllegalTransition("resume", JOB_ID, S.CANCELLING))
    assert "it is not started. Possible now: start." in str(IllegalTransition("stop", JOB_ID, None))


def test_who_acts_on_an_older_version_is_told_which_one_there_is_now() -> None:
    assert str(VersionMismatch(JOB_ID, 3, 5)) == f"Job {JOB_ID} is at version 5, not 3: look at it again."


def test_what_a_job_was_started_with_cannot_be_read_before_it_was_started() -> None:
    with pytest.raises(IllegalTransition):
        _ = NOT_STARTED.facts


def test_an_error_that_ended_the_job_is_kept_until_it_is_resumed() -> None:
    assert given(*RUNNING, FAILED).error == BOOM
    assert given(*RUNNING, FAILED, RESUMED).error is None
