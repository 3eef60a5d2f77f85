"""The picture of when steps ran is bounded, and counts every attempt once."""

from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from milepost.domain import events as e
from milepost.infrastructure.event_store.runs import TurningPoint
from milepost.interfaces.timeline import (
    MOST_MARKS,
    MOST_ROWS,
    MOST_RUNS_OF_A_STEP,
    SLOTS,
    Attempts,
    TimelineDocument,
    timeline,
)

BEGIN: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


def point(event: type[e.JobEvent], second: float, step: int = 0, attempt: int = 0, actor: str = "w1") -> TurningPoint:
    return TurningPoint(int(second * 1000) + 1, event, at(second), actor, "", step, attempt)


def picture(points: list[TurningPoint], total: int, first: int = 0, last: int | None = None) -> TimelineDocument:
    found = Attempts()
    found.add(points)
    return timeline(
        found,
        job_id="id",
        version=1,
        status="Running",
        total=total,
        first=first,
        last=total - 1 if last is None else last,
        names={0: "first"},
        advanced_at=None,
    )


def test_each_attempt_of_a_step_is_a_run_with_its_worker_and_its_outcome() -> None:
    found = picture(
        [
            point(e.JobStarted, 0, actor="ann"),
            point(e.StepStarted, 1, 0, 1),
            point(e.StepInterrupted, 2, 0, 1, actor="w2"),
            point(e.StepStarted, 3, 0, 2, actor="w2"),
            point(e.StepStopped, 4, 0, 2, actor="w2"),
            point(e.JobResumed, 5, actor="ann"),
            point(e.StepStarted, 6, 0, 3),
        ],
        total=2,
    )

    runs = [(run.workers, run.interrupted, run.stopped, run.running, run.highest_attempt) for run in found.rows[0].runs]
    assert runs == [(["w1"], 1, 0, 0, 1), (["w2"], 0, 1, 0, 2), (["w1"], 0, 0, 1, 3)]
    assert (found.rows[0].name, found.begun, len(found.rows)) == ("first", 1, 1)
    assert [mark.event for mark in found.marks] == ["JobStarted", "JobResumed"]


def test_a_report_of_an_attempt_that_nobody_saw_begin_draws_nothing() -> None:
    assert picture([point(e.StepSucceeded, 1, 0, 1)], total=1).rows == []


def test_a_job_without_steps_has_an_empty_picture() -> None:
    found = picture([point(e.JobStarted, 0)], total=0)

    assert (found.rows, found.last, found.begin) == ([], -1, at(0).isoformat(timespec="microseconds"))


def test_what_runs_reaches_to_where_a_step_last_got_further() -> None:
    begun = Attempts()
    begun.add([point(e.StepStarted, 1, 0, 1)])
    later = at(9).isoformat(timespec="microseconds")
    found = timeline(
        begun, job_id="id", version=1, status="Running", total=1, first=0, last=0, names={}, advanced_at=later
    )

    assert (found.end, found.rows[0].runs[0].end) == (later, None)


def test_what_is_added_later_makes_the_same_picture() -> None:
    points = [
        point(e.StepStarted, 1, 0, 1),
        point(e.StepStarted, 2, 1, 1),
        point(e.StepFailed, 3, 0, 1),
        point(e.StepStarted, 4, 0, 2),
        point(e.StepSucceeded, 5, 1, 1),
    ]
    at_once, bit_by_bit = Attempts(), Attempts()
    at_once.add(points)
    for each in points:
        bit_by_bit.add([each])

    assert bit_by_bit == at_once


def test_of_many_marks_the_newest_are_told() -> None:
    found = picture([point(e.JobResumed, second) for second in range(MOST_MARKS + 5)], total=0)

    assert (len(found.marks), found.marks_left_out, found.marks[-1].at) == (
        MOST_MARKS,
        5,
        at(MOST_MARKS + 4).isoformat(timespec="microseconds"),
    )


Life = st.tuples(st.integers(0, 4_999), st.floats(0, 1_000), st.floats(0.001, 50), st.sampled_from(["ok", "bad", "on"]))


@given(lives=st.lists(Life, max_size=200), total=st.integers(1, 5_000), part=st.tuples(st.integers(0, 4_999)))
def test_whatever_ran_the_picture_is_bounded_and_has_every_attempt_once(
    lives: list[tuple[int, float, float, str]], total: int, part: tuple[int]
) -> None:
    points: list[TurningPoint] = []
    free: dict[int, float] = {}
    begun = 0
    for step, second, seconds, outcome in lives:
        step %= total
        begin = max(second, free.get(step, 0))
        if begin == float("inf"):
            continue
        points.append(point(e.StepStarted, begin, step, 1))
        begun += 1
        free[step] = float("inf") if outcome == "on" else begin + seconds + 0.001
        if outcome != "on":
            points.append(point(e.StepSucceeded if outcome == "ok" else e.StepFailed, begin + seconds, step, 1))
    points.sort(key=lambda each: (each.at, each.event is e.StepStarted))

    whole = picture(points, total)
    runs = [run for row in whole.rows for run in row.runs]

    assert sum(run.attempts for run in runs) == begun
    assert all(run.succeeded + run.failed + run.stopped + run.interrupted + run.running == run.attempts for run in runs)
    assert len(whole.rows) <= MOST_ROWS
    assert all(len(row.runs) <= max(SLOTS + 1, MOST_RUNS_OF_A_STEP) for row in whole.rows)
    first = part[0] % total
    seen = picture(points, total, first=first, last=min(first + 9, total - 1))
    assert all(first <= row.first <= row.last <= first + 9 for row in seen.rows)
