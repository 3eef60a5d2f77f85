"""Handles a batch at once; where that fails, finds the events that fail by halving, and holds only their partitions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from milepost.infrastructure.event_store.database import CannotOpenDatabase, DatabaseUnavailable
from milepost.infrastructure.observers.trying import TransactionEnded

MOST_FAILED: Final = 50  # partitions in one batch: a flood is many short transactions, and a limit is soon passed


class OfPartition(Protocol):
    """An event with its place and its partition."""

    @property
    def position(self) -> int: ...
    @property
    def partition(self) -> str: ...


Event = TypeVar("Event", bound=OfPartition)


@dataclass(slots=True)
class Handled:
    """What became of a batch: how many were handled, which failed (the first of their partition), which wait behind.

    `ended_at`: the position behind which nothing was tried, where so many had failed that this is enough for once.
    """

    handled: list[str] = field(default_factory=list[str])  # the partition of each
    failed: dict[str, tuple[int, Exception]] = field(default_factory=dict[str, tuple[int, Exception]])  # by partition
    waiting: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])  # with those that failed
    ended_at: int | None = None


def handle(
    events: Sequence[Event], attempt: Callable[[Sequence[Event]], None], most_failed: int = MOST_FAILED
) -> Handled:
    """Every event is handled, or has failed, or waits behind one of its partition that has; up to `ended_at`, if any.

    `attempt` handles some of them in order, with all effects or none; what it raises as an Exception is those events'
    failure, but for what says that the transaction cannot go on. A batch of n with f failing events takes at most
    about 2 f log2 n tries.
    """
    result = Handled()
    _handle(events, attempt, most_failed, result)
    if (end := result.ended_at) is not None:  # what was seen to wait behind it is the next batch's
        result.waiting = [(partition, position) for partition, position in result.waiting if position <= end]
    return result


def _handle(
    events: Sequence[Event], attempt: Callable[[Sequence[Event]], None], most_failed: int, result: Handled
) -> None:
    if result.ended_at is not None:
        return
    ready = _without_held(events, result)
    if not ready:
        return
    try:
        attempt(ready)
    except (DatabaseUnavailable, CannotOpenDatabase, TransactionEnded):
        raise
    except Exception as error:  # noqa: BLE001 - kept with the partition that it fails
        if len(ready) > 1:
            middle = len(ready) // 2
            _handle(ready[:middle], attempt, most_failed, result)
            _handle(ready[middle:], attempt, most_failed, result)
            return
        (event,) = ready
        result.failed[event.partition] = (event.position, error)
        result.waiting.append((event.partition, event.position))
        if len(result.failed) >= most_failed:
            result.ended_at = event.position
    else:
        result.handled += [event.partition for event in ready]


def _without_held(events: Sequence[Event], result: Handled) -> Sequence[Event]:
    if not result.failed:
        return events
    ready: list[Event] = []
    for event in events:
        if event.partition in result.failed:
            result.waiting.append((event.partition, event.position))
        else:
            ready.append(event)
    return ready
