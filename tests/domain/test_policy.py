"""When a failed step runs again, and when failed steps fail the job."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from pydantic import ValidationError

from milepost.domain.events import LONGEST_WAIT_SECONDS, Policy, Progress
from milepost.domain.policy import failures_exceeded, retry_in_seconds
from tests.domain.givens import BEGINNING

policies = st.builds(
    Policy,
    attempts=st.integers(1, 5_000),
    backoff_seconds=st.floats(0, 1e9),
    backoff_factor=st.floats(1, 1e3),
    backoff_max_seconds=st.floats(0, LONGEST_WAIT_SECONDS),
    jitter=st.floats(0, 1),
)


def test_a_step_has_one_attempt_unless_its_policy_says_otherwise() -> None:
    assert retry_in_seconds(Policy(), tries=1, chance=0.0) is None


def test_the_wait_doubles_with_each_failed_try() -> None:
    policy = Policy(attempts=5, backoff_seconds=1.0, jitter=0.0)

    assert [retry_in_seconds(policy, tries, 0.0) for tries in range(1, 6)] == [1.0, 2.0, 4.0, 8.0, None]


def test_the_wait_grows_no_longer_than_its_maximum() -> None:
    policy = Policy(attempts=9, backoff_seconds=1.0, backoff_factor=10.0, backoff_max_seconds=50.0, jitter=0.0)

    assert [retry_in_seconds(policy, tries, 0.0) for tries in (1, 2, 3, 4)] == [1.0, 10.0, 50.0, 50.0]


def test_a_wait_too_long_for_a_float_is_the_maximum() -> None:
    policy = Policy(attempts=10_000, backoff_factor=1000.0, jitter=0.0)

    assert retry_in_seconds(policy, 5_000, 0.0) == 600.0


def test_jitter_takes_off_a_random_share() -> None:
    policy = Policy(attempts=2, backoff_seconds=8.0, jitter=0.5)

    assert [retry_in_seconds(policy, 1, chance) for chance in (0.0, 0.5, 1.0)] == [8.0, 6.0, 4.0]


@for_all(policies, st.integers(1, 5_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_negative_nor_above_the_maximum_and_always_a_time(
    policy: Policy, tries: int, chance: float
) -> None:
    wait = retry_in_seconds(policy, tries, chance)

    assert (wait is None) == (tries >= policy.attempts)
    assert 0 <= (wait or 0.0) <= policy.backoff_max_seconds
    assert BEGINNING + timedelta(seconds=wait or 0.0) >= BEGINNING


@pytest.mark.parametrize(
    ("policy", "failed", "total", "exceeded"),
    [
        pytest.param(Policy(), 99, 100, False, id="no limit"),
        pytest.param(Policy(max_failures=2), 2, 100, False, id="as many as may"),
        pytest.param(Policy(max_failures=2), 3, 100, True, id="one more than may"),
        pytest.param(Policy(max_failures=0), 0, 100, False, id="none, and none may"),
        pytest.param(Policy(max_failures=0), 1, 100, True, id="one, and none may"),
        pytest.param(Policy(max_failures=1), 1, 1, False, id="one is a count and not a share"),
        pytest.param(Policy(max_failures=0.1), 10, 100, False, id="as large a share as may"),
        pytest.param(Policy(max_failures=0.1), 11, 100, True, id="a larger share than may"),
        pytest.param(Policy(on_failure="halt"), 0, 100, False, id="none, and it would halt"),
        pytest.param(Policy(on_failure="halt"), 1, 100, True, id="it halts at the first"),
        pytest.param(Policy(on_failure="halt", max_failures=5), 1, 100, True, id="to halt is stronger than a limit"),
    ],
)
def test_a_limit_of_failures_is_exceeded_when_more_steps_failed(
    policy: Policy, failed: int, total: int, exceeded: bool
) -> None:
    assert failures_exceeded(policy, failed, total) is exceeded


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"backoff_seconds": -1},
        {"backoff_factor": 0.5},
        {"backoff_max_seconds": LONGEST_WAIT_SECONDS * 2},
        {"jitter": 1.5},
        {"timeout_seconds": 0},
        {"max_failures": -1},
        {"on_failure": "explode"},
        {"max_parallel_steps": 0},
        {"unheard_of": 1},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy(**wrong)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_number_that_json_cannot_hold_is_refused_before_it_is_stored(number: float) -> None:
    with pytest.raises(ValidationError):
        Progress(done=number)
    with pytest.raises(ValidationError):
        Policy(backoff_seconds=number)
