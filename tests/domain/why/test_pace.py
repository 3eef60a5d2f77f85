"""A job is said to advance, to be slow or to have stalled by what it reported, and never without evidence."""

from typing import Any

import pytest

from milepost.domain import events as e
from milepost.domain.why.explain import Because, explain
from milepost.domain.why.pace import Pace, Verdict, pace
from milepost.domain.why.seen import Rates
from tests.domain.givens import PLANNED, PREPARED, STARTED, progressed, started
from tests.domain.why.told import Told, seen, told

W1 = "w1"
RUNNING: list[Told] = [
    (0, "ann@desk", STARTED),
    (0, W1, e.JobClaimed(worker=W1, claim=1)),
    (0, W1, PLANNED),
    (0, W1, PREPARED),
    (0, W1, started(0)),
]


def reports(*seconds: float, each: float = 10) -> list[Told]:
    """A report in each of these seconds, of so many more items."""
    return [
        (second, W1, progressed(0, e.Progress(done=each * n, unit="rows"))) for n, second in enumerate(seconds, start=1)
    ]


def pace_at(second: float, happened: list[Told], **more: Any) -> Pace:
    found = pace(seen(told(*RUNNING, *happened), second, **more))
    assert found is not None
    return found


def test_a_job_that_reports_as_it_did_before_advances_at_its_rate() -> None:
    found = pace_at(20.5, reports(*range(1, 21)))

    assert (found.verdict, found.unit, found.usual_seconds) == (Verdict.ADVANCES, "rows", 1)
    assert found.now == pytest.approx(190 / 19.5)  # since its first report, of which nobody knows how long it took
    assert found.own == pytest.approx(200 / 20.5)


def test_a_job_at_less_than_half_of_its_own_rate_is_slower() -> None:
    fast, slow = list(range(1, 101)), list(range(110, 310, 10))

    assert pace_at(301, reports(*fast, *slow)).verdict is Verdict.SLOWER


def test_a_job_at_less_than_half_of_what_is_usual_for_its_type_is_slower() -> None:
    peers = (Rates(25.0, 1.0, "rows"), Rates(30.0, 1.0, "rows"), Rates(1.0, 1.0, "bytes"))

    found = pace_at(20.5, reports(*range(1, 21)), peers=peers)
    assert (found.verdict, found.of_type) == (Verdict.SLOWER, 27.5)


def test_silence_of_many_times_the_usual_is_a_stall_and_tells_how_many() -> None:
    found = pace_at(60, reports(*range(1, 11)))

    assert (found.verdict, found.silent_seconds, found.usual_seconds) == (Verdict.STALLED, 50, 1)
    assert explain(seen(told(*RUNNING, *reports(*range(1, 11))), 60)).because is Because.STALLED


@pytest.mark.parametrize("silent", [1, 5, 9.9])
def test_a_short_silence_is_none_however_fast_it_was_before(silent: float) -> None:
    found = pace_at(1 + silent, reports(*(n / 100 for n in range(101))))

    assert found.verdict is not Verdict.STALLED


def test_a_silence_that_it_came_through_before_is_no_stall() -> None:
    often = [*range(1, 40), *range(79, 90)]  # 40 s without a word, and then it went on

    assert pace_at(89 + 60, reports(*often)).verdict is not Verdict.STALLED
    assert pace_at(89 + 81, reports(*often)).verdict is Verdict.STALLED


def test_one_that_has_reported_too_little_is_held_against_the_steps_of_its_type() -> None:
    peers = (Rates(0.0, 0.5), Rates(0.0, 0.5))

    assert pace_at(500, reports(1)).verdict is not Verdict.STALLED
    assert pace_at(500, reports(1)).usual_seconds is None
    found = pace_at(500, reports(1), peers=peers)
    assert (found.verdict, found.usual_seconds, found.usual_of_type) == (Verdict.STALLED, 2.0, True)


def test_a_step_that_has_just_begun_is_not_silent() -> None:
    later: Told = (59, W1, started(1))

    assert pace_at(60, [*reports(*range(1, 11)), later]).silent_seconds == 1


def test_one_that_nobody_works_on_has_no_pace() -> None:
    assert pace(seen(told(*RUNNING), 10, lease=None)) is None
    assert pace(seen(told((0, "ann@desk", STARTED)), 10)) is None
