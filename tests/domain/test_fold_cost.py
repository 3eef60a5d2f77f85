"""One event of one step costs a job of 100,000 steps what it costs a job of ten: counted, not timed."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

import pytest

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.job import Job, evolve
from tests.domain.givens import (
    failed,
    interrupted,
    later,
    progressed,
    recorded,
    report_success,
    running_with,
    started,
    stopped,
    succeeded,
)

SMALL: Final = 10
LARGE: Final = 100_000
RUNS: Final = 7  # the step whose events are folded
OUTCOMES: Final[tuple[e.JobEvent, ...]] = (
    progressed(RUNS, e.Progress(done=1)),
    succeeded(RUNS),
    failed(RUNS),
    stopped(RUNS),
    interrupted(RUNS),
)
of_each_outcome = pytest.mark.parametrize("event", OUTCOMES, ids=lambda event: type(event).__name__)


@pytest.fixture(scope="module")
def small() -> Job:
    return later(running_with(e.Policy(), SMALL), started(RUNS))


@pytest.fixture(scope="module")
def large() -> Job:
    return later(running_with(e.Policy(), LARGE), started(RUNS))


def calls_of(work: Callable[[], object]) -> int:
    """How many calls it makes, to Python and to C alike."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


@of_each_outcome
def test_folding_what_happened_to_one_step_is_the_same_work_however_many_there_are(
    small: Job, large: Job, event: e.JobEvent
) -> None:
    in_small, in_large = recorded(small, event), recorded(large, event)

    work = calls_of(lambda: evolve(small, in_small))

    assert calls_of(lambda: evolve(large, in_large)) == work
    assert 0 < work < 40


def test_folding_the_start_of_a_step_is_the_same_work_however_many_there_are(small: Job, large: Job) -> None:
    in_small, in_large = recorded(small, started(1)), recorded(large, started(1))

    assert calls_of(lambda: evolve(large, in_large)) == calls_of(lambda: evolve(small, in_small))


@pytest.mark.parametrize(
    "command",
    [c.StartStep(claim=1, step=1), report_success(RUNS), c.Advance(claim=1), c.CompleteJob(claim=1)],
    ids=lambda command: type(command).__name__,
)
def test_deciding_about_one_step_is_the_same_work_however_many_there_are(
    small: Job, large: Job, command: c.JobCommand
) -> None:
    assert calls_of(lambda: decide(large, command)) == calls_of(lambda: decide(small, command))


def test_folding_what_happened_to_one_step_leaves_all_others_the_very_same(large: Job) -> None:
    folded = later(large, succeeded(RUNS))

    assert [n for n, step in folded.steps.items() if step is not large.steps[n]] == [RUNS]
