"""Batches are as large as a handler is fast."""

from hypothesis import given
from hypothesis import strategies as st

from milepost.infrastructure.observers.pace import AIM_SECONDS, Pace

BATCHES = st.lists(st.tuples(st.integers(1, 1_000), st.floats(0, 100)), max_size=20)


@given(most=st.integers(1, 10_000), batches=BATCHES)
def test_a_batch_has_at_least_one_event_and_never_more_than_the_observer_allows(
    most: int, batches: list[tuple[int, float]]
) -> None:
    pace = Pace(most)
    for events, seconds in batches:
        assert 1 <= pace.events <= most
        pace.took(events, seconds)
    assert 1 <= pace.events <= most


@given(each=st.floats(0.0001, 10.0), most=st.integers(1, 5_000), batches=BATCHES)
def test_batches_come_to_what_a_handler_does_in_the_time_aimed_at_whatever_was_before(
    each: float, most: int, batches: list[tuple[int, float]]
) -> None:
    pace = Pace(most)
    for events, seconds in batches:
        pace.took(events, seconds)
    for _ in range(10):
        pace.took(pace.events, pace.events * each)

    assert pace.events == 1 or pace.events * each <= AIM_SECONDS * 1.001
    assert pace.events == most or (pace.events + 1) * each > AIM_SECONDS * 0.999
