"""Whatever fails in a batch: the others are handled once and in order, as far as the batch goes."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from milepost.infrastructure.observers.bisecting import handle
from milepost.infrastructure.observers.observer import Observed

EVENTS = st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=60).map(
    lambda drawn: [Observed(index + 1, partition, fails) for index, (partition, fails) in enumerate(drawn)]
)


@given(EVENTS, st.integers(1, 7))
def test_a_batch_ends_with_as_many_failures_as_may_be_and_leaves_nothing_out_before(
    events: list[Observed], most_failed: int
) -> None:
    effects: list[Observed] = []

    def attempt(some: Sequence[Observed]) -> None:
        if any(each.event for each in some):
            raise ValueError("bad")
        effects.extend(some)

    done = handle(events, attempt, most_failed)

    end = len(events) if done.ended_at is None else done.ended_at
    first_failing = {each.partition: each.position for each in reversed(events[:end]) if each.event}
    good = [each for each in events[:end] if each.position < first_failing.get(each.partition, end + 1)]
    waiting = {(each.partition, each.position) for each in events[:end]} - {(each[1], each[0]) for each in good}
    assert effects == good
    assert done.handled == [each.partition for each in good]
    assert {partition: position for partition, (position, _) in done.failed.items()} == first_failing
    assert set(done.waiting) == waiting
    assert len(done.waiting) == len(waiting)
    assert len(done.failed) <= most_failed
    assert (done.ended_at is not None) == (len(done.failed) == most_failed)
