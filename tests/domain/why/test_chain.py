"""The chain that explains a job is the shortest one, and leaves nobody out who had a part in it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.why.chain import MOST_FAILURES, MOST_TAKEOVERS, chain
from milepost.domain.why.explain import MOVES, Because, explain
from tests.domain.givens import BOOM, PLANNED, PREPARED, STARTED, failed, interrupted, started, succeeded
from tests.domain.why.told import Told, seen, told

ANN, BOB, W1, W2 = "ann@desk", "bob@ops", "w1", "w2"


def claimed(worker: str, claim: int = 1) -> e.JobClaimed:
    return e.JobClaimed(worker=worker, claim=claim)


RUNNING: tuple[Told, ...] = (
    (0, ANN, STARTED),
    (1, W1, claimed(W1)),
    (2, W1, PLANNED),
    (2, W1, PREPARED),
)


def names(history: Sequence[RecordedEvent], second: float = 100) -> list[str]:
    """The events of the chain, by name; a failed step by its number."""
    links = chain(seen(history, second)).links
    return [type(each.recorded.event).__name__ if each.recorded else f"step {each.failure.step}" for each in links]  # type: ignore[union-attr]


def test_what_runs_is_explained_by_who_started_it_and_who_took_it() -> None:
    assert names(told(*RUNNING, (3, W1, started(0)), (4, W1, succeeded(0)))) == ["JobStarted", "JobClaimed"]


def test_what_was_before_a_resume_explains_nothing_any_more() -> None:
    history = told(
        *RUNNING,
        (5, BOB, e.JobStopRequested(), "lunch"),
        (6, W1, e.JobStopped()),
        (9, ANN, e.JobResumed()),
        (10, W2, claimed(W2, 2)),
    )

    assert names(history) == ["JobResumed", "JobClaimed"]


def test_a_stop_that_was_withdrawn_belongs_to_the_resume() -> None:
    history = told(*RUNNING, (5, BOB, e.JobStopRequested()), (6, ANN, e.JobResumed()))

    assert names(history) == ["JobStopRequested", "JobResumed"]


def test_a_job_that_was_handed_back_is_explained_by_the_worker_that_did_so() -> None:
    released = e.JobReleased(worker=W1, claim=1)

    assert names(told(*RUNNING, (5, W1, released))) == ["JobStarted", "JobReleased"]
    again = told(*RUNNING, (5, W1, released), (6, W2, claimed(W2, 2)))
    assert names(again) == ["JobStarted", "JobReleased", "JobClaimed"]


def test_a_takeover_says_which_worker_had_lost_its_lease_and_what_it_was_at() -> None:
    history = told(*RUNNING, (3, W1, started(0)), (30, W2, interrupted(0, lease_lost=True)), (30, W2, claimed(W2, 2)))

    *_, takeover = chain(seen(history, 40)).links
    assert takeover.lost_by == W1
    assert [type(each.event) for each in takeover.interrupted] == [e.StepInterrupted]


def test_a_worker_that_takes_what_was_handed_back_has_taken_it_from_nobody() -> None:
    history = told(*RUNNING, (5, W1, e.JobReleased(worker=W1, claim=1)), (6, W2, claimed(W2, 2)))

    assert [each.lost_by for each in chain(seen(history, 40)).links] == ["", "", ""]


def test_of_many_takeovers_the_newest_are_told_and_the_others_counted() -> None:
    lost = [(10.0 * n, f"w{n}", claimed(f"w{n}", n)) for n in range(2, 12)]

    found = chain(seen(told(*RUNNING, *lost), 200))
    assert [each.lost_by for each in found.links] == ["", "w8", "w9", "w10"]
    assert found.takeovers == 10 - MOST_TAKEOVERS


def test_a_takeover_while_it_stops_is_a_part_of_the_stop() -> None:
    history = told(
        *RUNNING, (5, BOB, e.JobStopRequested(), "lunch"), (30, W2, claimed(W2, 2)), (31, W2, e.JobStopped())
    )

    found = chain(seen(history, 40)).links
    assert names(history) == ["JobStopRequested", "JobClaimed", "JobStopped"]
    assert [each.lost_by for each in found] == ["", W1, ""]


def test_a_stop_that_needed_no_worker_says_which_one_was_gone() -> None:
    history = told(
        *RUNNING,
        (3, W1, started(0)),
        (60, BOB, e.JobStopRequested()),
        (60, BOB, interrupted(0)),
        (60, BOB, e.JobStopped()),
    )

    assert [each.lost_by for each in chain(seen(history, 70)).links] == ["", W1]


def test_failed_steps_are_told_each_with_its_attempt_and_the_newest_of_many() -> None:
    many = e.StepsPlanned(first=0, steps=tuple(e.PlannedStep(name=f"s{n}") for n in range(9)))
    runs: list[Told] = [(0, ANN, STARTED), (1, W1, claimed(W1)), (2, W1, many), (2, W1, e.JobPrepared(total_steps=9))]
    for n in range(9):
        runs += [(3 + n, W1, started(n)), (3 + n, W1, failed(n))]

    found = chain(seen(told(*runs, (20, W1, e.JobCompleted())), 30))
    assert [each.failure.name for each in found.links if each.failure] == ["s6", "s7", "s8"]
    assert found.failures == 9 - MOST_FAILURES


def test_a_job_that_failed_by_itself_needs_no_steps_to_explain_it() -> None:
    history = told(*RUNNING, (3, W1, started(0)), (4, W1, failed(0)), (5, W1, e.JobFailed(error=BOOM)))

    assert names(history) == ["JobFailed"]


def test_one_that_failed_because_steps_did_has_them_in_its_chain() -> None:
    error = e.ErrorDetail(type="TooManyFailures", message="1 of 2 steps: it halts at the first failed step")

    assert names(told(*RUNNING, (3, W1, started(0)), (4, W1, failed(0)), (5, W1, e.JobFailed(error=error)))) == [
        "step 0",
        "JobFailed",
    ]


def test_a_removed_job_is_explained_by_what_it_was_before() -> None:
    stopped: list[Told] = [(5, BOB, e.JobStopRequested()), (6, W1, e.JobStopped())]

    assert names(told(*RUNNING, *stopped, (9, ANN, e.JobRemoved()))) == ["JobStopRequested", "JobStopped", "JobRemoved"]


def test_no_step_runs_and_one_waits_so_its_failure_is_the_reason() -> None:
    history = told(*RUNNING, (3, W1, started(0)), (4, W1, failed(0, retry_in_seconds=60)))

    assert explain(seen(history, 10)).because is Because.RETRIES
    assert names(history, 10) == ["JobStarted", "JobClaimed", "step 0"]


@pytest.mark.parametrize("because", Because)
def test_every_cause_has_something_that_would_move_the_job_on(because: Because) -> None:
    assert MOVES[because]


@given(st.integers(min_value=0, max_value=200), st.booleans())
def test_the_chain_stays_short_however_often_a_job_was_stopped_or_taken_over(times: int, stopped: bool) -> None:
    history: list[Told] = list(RUNNING)
    for n in range(times):
        if stopped:
            history += [(n, BOB, e.JobStopRequested()), (n, W1, e.JobStopped()), (n, ANN, e.JobResumed())]
        history.append((n, W1, claimed(W1, n + 2)))

    assert 1 <= len(chain(seen(told(*history), 300)).links) <= 2 + MOST_TAKEOVERS
