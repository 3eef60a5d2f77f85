"""What may be asked of an observer and of its partitions in each state, and what follows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.domain.events import ErrorDetail
from milepost.domain.observers import events as e
from milepost.domain.observers import state
from milepost.domain.observers.errors import ObserverBusy, ObserverStandsStill, PartitionBusy, PartitionNotFailed
from milepost.domain.observers.policy import PartitionPolicy, retry_at, too_many_failed
from milepost.domain.observers.state import Observer, ObserverStatus, Partition, PartitionStatus, evolve

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEW = Observer("Default", "balances", version=1)
ERROR = ErrorDetail(type="ValueError", message="no", traceback="")


def after(*events: e.ObserverEvent) -> Observer:
    return reduce(evolve, events, NEW)


def taken(held: e.Held, generation: int = 1) -> e.ObserverTaken:
    return e.ObserverTaken(job="job 1", held=held, generation=generation, to=9)


def partition(status: PartitionStatus) -> Partition:
    return Partition("ann", 1, status, 7, attempts=2, error=ERROR, retry_at=NOW, since=NOW)


PAUSED = e.ObserverPaused()
QUARANTINED = e.ObserverQuarantined(why="too many")
STATES = {
    "active": (after(), ObserverStatus.ACTIVE),
    "paused": (after(PAUSED), ObserverStatus.PAUSED),
    "quarantined": (after(QUARANTINED), ObserverStatus.QUARANTINED),
    "caught up": (after(taken("catch-up")), ObserverStatus.CATCHING_UP),
    "replayed": (after(taken("replay")), ObserverStatus.REPLAYING),
    "rebuilt beside": (after(taken("beside", 2)), ObserverStatus.ACTIVE),
    "paused and caught up": (after(PAUSED, taken("catch-up")), ObserverStatus.CATCHING_UP),
    "paused and rebuilt beside": (after(PAUSED, taken("beside", 2)), ObserverStatus.PAUSED),
    "quarantined while replayed": (after(taken("replay"), QUARANTINED), ObserverStatus.QUARANTINED),
    "replayed after a quarantine": (after(QUARANTINED, taken("replay")), ObserverStatus.REPLAYING),
}
Ask = Callable[[Observer], list[e.ObserverEvent]]
AskOfPartition = Callable[[Observer, str, Partition | None, datetime], list[e.ObserverEvent]]
HELD: tuple[e.Held, ...] = ("catch-up", "replay", "beside")


@pytest.mark.parametrize("name", STATES)
def test_each_state_is_shown_as_it_is(name: str) -> None:
    observer, status = STATES[name]

    assert observer.status is status


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("held", HELD)
def test_an_observer_is_one_jobs_at_a_time_and_a_catch_up_does_not_end_a_quarantine(name: str, held: e.Held) -> None:
    observer, _ = STATES[name]

    if observer.job is not None:
        with pytest.raises(ObserverBusy, match="job 1"):
            state.take(observer, "job 2", held, to=9)
        assert state.take(observer, "job 1", held, to=9) == []
    elif observer.quarantined is not None and held == "catch-up":
        with pytest.raises(ObserverStandsStill, match="too many"):
            state.take(observer, "job 2", held, to=9)
    else:
        (event,) = state.take(observer, "job 2", held, to=9)
        mine = evolve(observer, event)
        assert (mine.job, mine.held, mine.to) == ("job 2", held, 9)
        assert mine.generation == observer.generation
        assert mine.target == observer.generation + (held == "beside")


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("completed", [True, False])
def test_only_its_holder_lets_go_and_only_what_was_completed_is_read(name: str, completed: bool) -> None:
    observer, _ = STATES[name]

    assert state.release(observer, "job 2", completed=completed) == []
    if observer.job is not None:
        (event,) = state.release(observer, "job 1", completed=completed)
        free = evolve(observer, event)
        assert (free.job, free.held, free.target, free.to) == (None, None, None, None)
        assert free.generation == (observer.target if completed else observer.generation)
        assert free.paused == observer.paused


@pytest.mark.parametrize("name", STATES)
def test_a_command_on_the_observer_repeated_changes_nothing(name: str) -> None:
    observer, _ = STATES[name]
    asked: tuple[Ask, ...] = (state.pause, state.unpause, lambda found: state.quarantine(found, "by hand"))
    for ask in asked:
        assert ask(reduce(evolve, ask(observer), observer)) == []


def test_unpausing_ends_a_quarantine_too() -> None:
    observer = after(PAUSED, QUARANTINED)
    assert evolve(observer, *state.unpause(observer)).status is ObserverStatus.ACTIVE


def test_a_quarantine_outlives_a_job_that_swapped_nothing_in() -> None:
    observer = after(taken("replay"), QUARANTINED)
    assert evolve(observer, *state.release(observer, "job 1", completed=False)).quarantined == "too many"


@pytest.mark.parametrize("command", [state.retry, state.skip])
def test_only_a_partition_that_has_failed_is_retried_or_skipped(command: AskOfPartition) -> None:
    with pytest.raises(PartitionNotFailed, match="ann"):
        command(NEW, "ann", None, NOW)
    with pytest.raises(PartitionBusy, match="replayed"):
        command(NEW, "ann", partition(PartitionStatus.REPLAYING), NOW)
    for status in (PartitionStatus.FAILED, PartitionStatus.QUARANTINED):
        held = partition(status)
        (event,) = command(NEW, "ann", held, NOW)
        assert isinstance(event, e.PartitionRetryAsked | e.PartitionSkipped)
        due = state.partition_after(held, event, NOW)
        assert due is not None
        assert (due.status, due.attempts, due.retry_at) == (PartitionStatus.FAILED, 0, NOW)
        assert due.since == held.since
        assert due.error == (None if isinstance(event, e.PartitionSkipped) else held.error)


def test_an_event_that_was_not_tried_yet_is_not_skipped() -> None:
    held = partition(PartitionStatus.FAILED)
    (skipped,) = state.skip(NEW, "ann", held, NOW, then=8)
    assert isinstance(skipped, e.PartitionSkipped)
    after_it = state.partition_after(held, skipped, NOW)
    assert after_it is not None
    assert after_it.position == 8
    with pytest.raises(PartitionBusy, match="not tried yet"):
        state.skip(NEW, "ann", after_it, NOW, then=9)


@pytest.mark.parametrize("status", list(PartitionStatus))
def test_a_partition_that_advanced_keeps_its_status_and_begins_anew(status: PartitionStatus) -> None:
    held = partition(status)
    advanced = state.partition_after(
        held, e.PartitionAdvanced(partition="ann", generation=1, job="job 1", position=9), NOW
    )
    assert advanced == Partition("ann", 1, status, 9, retry_at=held.retry_at, since=held.since)


def test_only_a_partition_that_is_replayed_is_given_back() -> None:
    assert state.give_back(NEW, "ann", None, NOW) == []
    assert state.give_back(NEW, "ann", partition(PartitionStatus.FAILED), NOW) == []
    (event,) = state.give_back(NEW, "ann", partition(PartitionStatus.REPLAYING), NOW)
    assert isinstance(event, e.PartitionRetryAsked)


def test_a_partition_is_not_replayed_while_it_or_the_whole_observer_is_nor_in_a_quarantine() -> None:
    with pytest.raises(PartitionBusy, match="replays all"):
        state.replay_partition(after(taken("replay")), "ann", None, "job 2", 1, 3)
    with pytest.raises(PartitionBusy, match="already"):
        state.replay_partition(NEW, "ann", partition(PartitionStatus.REPLAYING), "job 2", 1, 3)
    with pytest.raises(ObserverStandsStill, match="too many"):
        state.replay_partition(after(QUARANTINED), "ann", None, "job 2", 1, 3)
    for held in (None, partition(PartitionStatus.QUARANTINED)):
        (event,) = state.replay_partition(NEW, "ann", held, "job 2", 1, 3)
        assert isinstance(event, e.PartitionReplayBegan)


def test_every_event_is_one_more_version() -> None:
    happened: list[e.ObserverEvent] = [
        e.ObserverRegistered(), PAUSED, e.ObserverUnpaused(), QUARANTINED, taken("replay"),
        e.ObserverReleased(job="job 1", completed=True, generation=1),
        e.PartitionFailed(partition="ann", generation=1, position=7, attempt=1, error=ERROR, retry_at=NOW),
        e.PartitionSkipped(partition="ann", generation=1, position=7, retry_at=NOW),
        e.PartitionRetryAsked(partition="ann", generation=1, retry_at=NOW),
        e.PartitionReplayBegan(partition="ann", generation=1, job="job 1", position=1, events=2),
        e.PartitionAdvanced(partition="ann", generation=1, job="job 1", position=8),
        e.PartitionRecovered(partition="ann", generation=1, job="job 1"),
    ]  # fmt: skip
    assert {type(each) for each in happened} == set(e.OBSERVER_EVENTS.values())
    assert after(*happened).version == NEW.version + len(happened)


POLICIES = st.builds(
    PartitionPolicy,
    attempts=st.integers(1, 200),
    backoff_seconds=st.floats(0, 1e6),
    backoff_max_seconds=st.floats(0, 86_400),
    max_failed=st.none() | st.integers(0, 1_000),
    max_failed_share=st.none() | st.floats(0.001, 1),
)


@given(POLICIES, st.integers(1, 300))
def test_a_partition_is_tried_as_often_as_its_policy_says_and_never_sooner_than_before(
    policy: PartitionPolicy, attempt: int
) -> None:
    at, next_at = retry_at(policy, attempt, NOW), retry_at(policy, attempt + 1, NOW)

    assert (at is None) == (attempt >= policy.attempts)
    if at is not None:
        assert NOW <= at <= NOW + timedelta(seconds=policy.backoff_max_seconds)
        assert next_at is None or next_at >= at


@given(POLICIES, st.integers(0, 2_000), st.integers(0, 2_000))
def test_more_failed_partitions_are_never_fewer_than_too_many(
    policy: PartitionPolicy, failed: int, partitions: int
) -> None:
    if too_many_failed(policy, failed, partitions) is not None:
        assert too_many_failed(policy, failed + 1, partitions) is not None
    if policy.max_failed is None and policy.max_failed_share is None:
        assert too_many_failed(policy, failed, partitions) is None


@pytest.mark.parametrize(("failed", "too_many"), [(3, False), (4, True)])
def test_as_many_may_fail_as_the_limit_says(failed: int, too_many: bool) -> None:
    assert (too_many_failed(PartitionPolicy(max_failed=3), failed, 100) is not None) == too_many
    assert (too_many_failed(PartitionPolicy(max_failed_share=0.03), failed, 100) is not None) == too_many
