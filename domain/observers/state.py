"""An observer and its partitions after their events: the fold, and what may be asked of them in each state."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from milepost.domain.events import ErrorDetail
from milepost.domain.observers.errors import ObserverBusy, ObserverStandsStill, PartitionBusy, PartitionNotFailed
from milepost.domain.observers.events import (
    Held,
    ObserverEvent,
    ObserverPaused,
    ObserverQuarantined,
    ObserverRegistered,
    ObserverReleased,
    ObserverTaken,
    ObserverUnpaused,
    PartitionAdvanced,
    PartitionEvent,
    PartitionFailed,
    PartitionRecovered,
    PartitionReplayBegan,
    PartitionRetryAsked,
    PartitionSkipped,
)


class ObserverStatus(StrEnum):
    """What people see. Disconnected is no event's doing: nobody has said for a lease's length that it runs."""

    ACTIVE = "Active"
    CATCHING_UP = "CatchingUp"
    REPLAYING = "Replaying"
    PAUSED = "Paused"
    QUARANTINED = "Quarantined"
    DISCONNECTED = "Disconnected"


class PartitionStatus(StrEnum):
    """Of a partition that does not go on with the others."""

    FAILED = "Failed"  # it is tried again by itself
    QUARANTINED = "Quarantined"  # it is not, until an operator acts
    REPLAYING = "Replaying"


@dataclass(frozen=True, slots=True)
class Observer:
    """An observer after `version` events. `generation`: that is read; `job` holds it, writing `target`, up to `to`."""

    namespace: str
    name: str
    version: int = 0
    generation: int = 1
    paused: bool = False
    quarantined: str | None = None
    job: str | None = None
    held: Held | None = None
    target: int | None = None
    to: int | None = None

    @property
    def status(self) -> ObserverStatus:
        if self.quarantined is not None:
            return ObserverStatus.QUARANTINED
        if self.held == "replay":
            return ObserverStatus.REPLAYING
        if self.held == "catch-up":
            return ObserverStatus.CATCHING_UP
        return ObserverStatus.PAUSED if self.paused else ObserverStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition that is held: its event at `position` is the next to be handled, and those behind it wait.

    Where nothing waits any more, `position` is what was skipped last. `error`: None where that event was not tried yet.
    """

    name: str
    generation: int
    status: PartitionStatus
    position: int
    attempts: int = 0  # in vain, of the event at `position`
    error: ErrorDetail | None = None
    retry_at: datetime | None = None
    since: datetime | None = None


def evolve(observer: Observer, event: ObserverEvent) -> Observer:
    """The observer after `event`, which has already happened."""
    after = replace(observer, version=observer.version + 1)
    match event:
        case ObserverRegistered():
            return after
        case ObserverPaused():
            return replace(after, paused=True)
        case ObserverUnpaused():
            return replace(after, paused=False, quarantined=None)
        case ObserverQuarantined(why=why):
            return replace(after, quarantined=why)
        case ObserverTaken(job=job, held=held, generation=generation, to=to):
            # A replay begins anew: what had failed is not failed any more.
            quarantined = None if held == "replay" else after.quarantined
            return replace(after, job=job, held=held, target=generation, to=to, quarantined=quarantined)
        case ObserverReleased(generation=generation):
            swapped = generation != after.generation
            quarantined = None if swapped else after.quarantined
            return replace(
                after, generation=generation, job=None, held=None, target=None, to=None, quarantined=quarantined
            )
        case (
            PartitionFailed()
            | PartitionAdvanced()
            | PartitionRecovered()
            | PartitionSkipped()
            | PartitionRetryAsked()
            | PartitionReplayBegan()
        ):
            return after
        case _:
            assert_never(event)


def partition_after(partition: Partition | None, event: PartitionEvent, at: datetime) -> Partition | None:
    """The partition after `event`, which happened `at`; None when it goes on with the others."""
    since = at if partition is None else partition.since
    match event:
        case PartitionFailed(partition=name, retry_at=retry_at):
            status = PartitionStatus.QUARANTINED if retry_at is None else PartitionStatus.FAILED
            return Partition(
                name, event.generation, status, event.position, event.attempt, event.error, retry_at, since
            )
        case PartitionRecovered():
            return None
        case PartitionAdvanced(position=position):
            return replace(_held(partition), position=position, attempts=0, error=None)
        case PartitionSkipped(position=position, then=then, retry_at=retry_at):
            due = replace(_held(partition), status=PartitionStatus.FAILED, attempts=0, retry_at=retry_at)
            return replace(due, position=position if then is None else then, error=None)
        case PartitionRetryAsked(retry_at=retry_at):
            return replace(_held(partition), status=PartitionStatus.FAILED, attempts=0, retry_at=retry_at)
        case PartitionReplayBegan(partition=name, generation=generation, position=position):
            return Partition(name, generation, PartitionStatus.REPLAYING, position, since=since)
        case _:
            assert_never(event)


def _held(partition: Partition | None) -> Partition:
    assert partition is not None, "only a partition that is held goes on, is skipped or retried"
    return partition


# What may be asked of an observer: the events that follow, none where it is so already. All raise ObserverError.


def pause(observer: Observer) -> list[ObserverEvent]:
    return [] if observer.paused else [ObserverPaused()]


def unpause(observer: Observer) -> list[ObserverEvent]:
    return [ObserverUnpaused()] if observer.paused or observer.quarantined is not None else []


def quarantine(observer: Observer, why: str) -> list[ObserverEvent]:
    return [] if observer.quarantined is not None else [ObserverQuarantined(why=why)]


def take(observer: Observer, job: str, held: Held, to: int) -> list[ObserverEvent]:
    """A job that wants the observer as a whole. Whoever holds it must have let go: see the rule in ADR/0019."""
    asked = "catch up" if held == "catch-up" else "replay"
    if observer.job == job:
        return []
    if observer.job is not None and observer.held is not None:
        raise ObserverBusy(observer.name, asked, observer.held, observer.job)
    if held == "catch-up" and observer.quarantined is not None:
        raise ObserverStandsStill(observer.name, asked, observer.quarantined)
    generation = observer.generation + 1 if held == "beside" else observer.generation
    return [ObserverTaken(job=job, held=held, generation=generation, to=to)]


def release(observer: Observer, job: str, *, completed: bool) -> list[ObserverEvent]:
    """That job has ended: its target generation is read from now on where it was completed."""
    if observer.job != job:
        return []
    swaps = completed and observer.target is not None
    generation = observer.target if swaps and observer.target is not None else observer.generation
    return [ObserverReleased(job=job, completed=completed, generation=generation)]


def retry(observer: Observer, name: str, partition: Partition | None, now: datetime) -> list[ObserverEvent]:
    held = _failed(observer, name, partition, "retry")
    return [PartitionRetryAsked(partition=name, generation=held.generation, retry_at=now)]


def skip(
    observer: Observer, name: str, partition: Partition | None, now: datetime, then: int | None = None
) -> list[ObserverEvent]:
    """`then`: where the event waits that comes next. One that was not tried yet is nobody's to skip."""
    held = _failed(observer, name, partition, "skip an event of")
    if held.error is None:
        raise PartitionBusy(observer.name, name, "skip an event of", "its next event was not tried yet")
    return [
        PartitionSkipped(partition=name, generation=held.generation, position=held.position, retry_at=now, then=then)
    ]


def give_back(observer: Observer, name: str, partition: Partition | None, now: datetime) -> list[ObserverEvent]:
    """Its replay was given up in the middle: what waits is handled like what waits behind a failure."""
    if partition is None or partition.status is not PartitionStatus.REPLAYING:
        return []
    return [PartitionRetryAsked(partition=name, generation=partition.generation, retry_at=now)]


def replay_partition(
    observer: Observer, name: str, partition: Partition | None, job: str, position: int, events: int
) -> list[ObserverEvent]:
    if observer.quarantined is not None:
        raise ObserverStandsStill(observer.name, "replay a partition of", observer.quarantined)
    if observer.held == "replay":
        raise PartitionBusy(observer.name, name, "replay", f"job {observer.job} replays all of them")
    if partition is not None and partition.status is PartitionStatus.REPLAYING:
        raise PartitionBusy(observer.name, name, "replay", "it is being replayed already")
    return [
        PartitionReplayBegan(partition=name, generation=observer.generation, job=job, position=position, events=events)
    ]


def _failed(observer: Observer, name: str, partition: Partition | None, asked: str) -> Partition:
    if partition is None:
        raise PartitionNotFailed(observer.name, name)
    if partition.status is PartitionStatus.REPLAYING:
        raise PartitionBusy(observer.name, name, asked, "it is being replayed")
    return partition
