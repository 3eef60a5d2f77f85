"""Whatever a job reported, and whenever it is looked at: it has stalled, or advances, only with the evidence."""

from itertools import accumulate
from typing import Final

from hypothesis import event, given
from hypothesis import strategies as st

from milepost.domain import events as e
from milepost.domain.why.pace import LONGER_THAN_EVER, STALLED_SECONDS, STALLED_TIMES, Pace, Verdict, pace
from milepost.domain.why.seen import Lease, Rates
from tests.domain.givens import STARTED, failed, interrupted, progressed, started, succeeded
from tests.domain.why.told import Told, at, seen, told

W1: Final = "w1"
MANY: Final = 40  # steps
BEGUN: Final[tuple[Told, ...]] = (
    (0, "ann@desk", STARTED),
    (0, W1, e.JobClaimed(worker=W1, claim=1)),
    (0, W1, e.StepsPlanned(first=0, steps=tuple(e.PlannedStep(name=f"s{n}") for n in range(MANY)))),
    (0, W1, e.JobPrepared(total_steps=MANY)),
)
# From the same commit to a day; of several orders, and now and then back, as a clock is that somebody sets.
gaps = st.one_of(st.just(0.0), st.floats(0.001, 2), st.floats(2, 100), st.floats(100, 90_000), st.floats(-4_000, 0))
MOVES: Final = (*["report"] * 8, "start", "succeed", "fail", "interrupt")
ADVANCING: Final = (e.StepProgressed, e.StepSucceeded)


@st.composite
def pauses(draw: st.DrawFn) -> list[float]:
    """Between events: of about the same length, as reports mostly are, or of any."""
    about = draw(st.sampled_from((0.01, 1.0, 30.0, 600.0)))
    regular = st.floats(about / 2, about * 2)
    return draw(st.lists(regular, min_size=10, max_size=40) | st.lists(gaps, max_size=40))


@st.composite
def histories(draw: st.DrawFn, of_pauses: st.SearchStrategy[list[float]]) -> tuple[Told, ...]:
    """A worker's reports of steps that run beside one another: they begin, go on, end, fail, are tried again."""
    happened, next_step = list[Told](), 0
    at_work = dict[int, float]()
    for second in accumulate(draw(of_pauses)):
        move = draw(st.sampled_from(MOVES))
        if (move == "start" or not at_work) and next_step < MANY:
            happened.append((second, W1, started(next_step)))
            at_work[next_step], next_step = 0.0, next_step + 1
        elif at_work:
            step = draw(st.sampled_from(sorted(at_work)))
            happened.append((second, W1, _reported(draw, move, step, at_work)))
    return (*BEGUN, *happened)


def _reported(draw: st.DrawFn, move: str, step: int, at_work: dict[int, float]) -> e.JobEvent:
    if move in ("report", "start"):
        at_work[step] += draw(st.sampled_from((1, 1000)))
        return progressed(step, e.Progress(done=at_work[step], unit=draw(st.sampled_from(("rows", "")))))
    del at_work[step]
    if move == "succeed":
        return succeeded(step)
    return failed(step) if move == "fail" else interrupted(step)


def looked(history: tuple[Told, ...], after: float, peers: tuple[Rates, ...] = ()) -> Pace | None:
    """So many seconds after the last event."""
    return pace(seen(told(*history), history[-1][0] + after, peers=peers))


later = st.one_of(st.floats(0, 10), st.floats(10, 1_000), st.floats(1_000, 10**6))
of_type = st.lists(st.builds(Rates, st.floats(0, 100), st.just(0.0) | st.floats(0.0001, 10)), max_size=3).map(tuple)


@given(histories(pauses()), later, of_type)
def test_a_stall_is_a_silence_many_times_the_usual_one_and_longer_than_any_before(
    history: tuple[Told, ...], after: float, peers: tuple[Rates, ...]
) -> None:
    found = looked(history, after, peers)
    if found is None or found.verdict is not Verdict.STALLED:
        return
    event("stalled by the steps of its type" if found.usual_of_type else "stalled by its own reports")

    assert found.usual_seconds is not None
    assert found.silent_seconds >= max(STALLED_SECONDS, STALLED_TIMES * found.usual_seconds)
    assert found.silent_seconds > LONGER_THAN_EVER * (found.longest_seconds or 0)
    reported = [each[0] for each in history if isinstance(each[2], ADVANCING)]
    assert not reported or history[-1][0] + after - reported[-1] >= found.silent_seconds - 1e-3


@given(histories(st.lists(st.floats(0.001, 50), max_size=40)), st.floats(0, 1), of_type)
def test_nothing_has_stalled_that_reported_within_its_own_usual_interval(
    history: tuple[Told, ...], share: float, peers: tuple[Rates, ...]
) -> None:
    usual = looked(history, 0, peers)
    if usual is None or usual.silent_seconds or usual.usual_seconds is None:
        return

    found = looked(history, usual.usual_seconds * share, peers)
    assert found is not None
    assert found.verdict is not Verdict.STALLED


@given(histories(pauses()), later, of_type)
def test_nothing_advances_that_did_not_get_further_lately(
    history: tuple[Told, ...], after: float, peers: tuple[Rates, ...]
) -> None:
    found = looked(history, after, peers)
    if found is None or found.verdict not in (Verdict.ADVANCES, Verdict.SLOWER):
        return
    event("advances")

    assert any(isinstance(each[2], ADVANCING) for each in history)
    assert found.now
    assert found.longest_seconds is not None
    assert found.silent_seconds < STALLED_SECONDS or found.silent_seconds <= LONGER_THAN_EVER * found.longest_seconds


@given(st.lists(gaps, max_size=10), later, of_type)
def test_nothing_is_said_of_what_has_only_begun(seconds: list[float], after: float, peers: tuple[Rates, ...]) -> None:
    begun: list[Told] = [(second, W1, started(n)) for n, second in enumerate(accumulate(seconds))]

    found = looked((*BEGUN, *begun), after, peers)
    assert found is not None
    assert found.verdict in (Verdict.UNKNOWN, Verdict.STALLED)
    assert found.now is None


@given(histories(pauses()), later, st.floats(0.1, 3_600), st.floats(0.51, 0.99))
def test_nothing_is_said_of_the_pace_under_a_worker_that_is_silent(
    history: tuple[Told, ...], after: float, lease_seconds: float, share: float
) -> None:
    second = history[-1][0] + after
    answered = second - lease_seconds * share
    lease = Lease(W1, holds=True, answered_at=at(answered), ends_at=at(answered + lease_seconds))

    assert pace(seen(told(*history), second, lease=lease)) is None
