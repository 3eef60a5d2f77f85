"""Hands events to an observer, for whoever holds it: effects, positions and failures commit in one transaction."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from typing import Any

import sqlalchemy as sa

from milepost.domain.envelope import Origin
from milepost.domain.observers.errors import ObserverError, ObserverStandsStill
from milepost.domain.observers.events import (
    ObserverEvent,
    ObserverQuarantined,
    PartitionAdvanced,
    PartitionEvent,
    PartitionFailed,
    PartitionRecovered,
)
from milepost.domain.observers.policy import retry_at, too_many_failed
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.observers.state import Partition
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.observers.bisecting import Handled, handle
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.observer import Effects, Observed, Observer, Place
from milepost.infrastructure.observers.rows import PARTITION_MOST, SLICES, ObserverMoved, ObserverRows, slice_of
from milepost.infrastructure.observers.sources import EventSource, Stored, handled_topics, partition_of
from milepost.infrastructure.observers.trying import Unreadable, trier
from milepost.infrastructure.running.error_detail import error_detail

ALL_SLICES = frozenset(range(SLICES))
_slice_of = lru_cache(maxsize=65_536)(slice_of)
MET_MOST = 100_000  # partitions that are remembered, so that they are not written again


class PartitionUntold(ObserverError):
    """An event whose partition cannot be told: nobody knows what must wait for it, so the observer stands still."""

    def __init__(self, observer: str, position: int, cause: Exception) -> None:
        self.observer, self.position = observer, position
        said = f"{type(cause).__name__}: {cause}"
        super().__init__(f"The partition of the event at {position} cannot be told by observer '{observer}': {said}")


@dataclass(frozen=True, slots=True)
class Page:
    """Events that are an observer's business, out of those up to `end`."""

    events: Sequence[Observed]
    end: int


@dataclass(frozen=True, slots=True)
class PageDone:
    """What one transaction has done. `observer`: as it is after it; `too_many`: why too many partitions have failed.

    `end`: how far it has come; where very many have failed, not to the end of its page.
    """

    observer: ObserverState
    end: int
    handled: int
    failed: int
    met: Collection[str]
    too_many: str | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """What one transaction has done for a held partition. `over`: it goes on with the others, or has failed again."""

    handled: int
    failure: Exception | None
    over: bool


class Handling:
    """One observer in one namespace, with its source. `origin`: who hands it events."""

    def __init__(self, declared: type[Observer], place: Place, surroundings: Surroundings, origin: Origin) -> None:
        self.declared = declared
        self.place = place
        self.source: EventSource = declared.source(place)
        self._surroundings = surroundings
        self._origin = origin
        self._is_handled = handled_topics(declared.handles)
        self._own_partition = declared().partition if declared.has("partition") else None
        # The same tables for all batches: SQLAlchemy compiles a statement once for each table that it sees.
        self._tables = cache(partial(Generation, declared.tables, place.namespace))
        self._met: set[str] = set()
        self._met_by: tuple[int, str | None] | None = None

    def rows(self, connection: sa.Connection) -> ObserverRows:
        return ObserverRows(connection, self.place.namespace, self.declared.name)

    def effects(self, connection: sa.Connection, observer: ObserverState, generation: int) -> Effects:
        """Where effects in that generation go."""
        beside = None if generation == observer.generation else generation
        return Effects(connection, self.place.namespace, self._tables(beside))

    def page(self, stored: Sequence[Stored], which: Collection[int] = ALL_SLICES) -> Page:
        """Decoded, before a transaction begins: those of these slices, where that is known without. Raises
        PartitionUntold.
        """
        events: list[Observed] = []
        some = self._own_partition is None and len(which) < SLICES
        for each in stored:
            if some and _slice_of(partition_of(each.originator_id)) not in which:
                continue
            event = self._read(each)
            if event is not None:
                events.append(Observed(each.position, self._partition(each, event), event))
        return Page(events, stored[-1].position if stored else 0)

    def handle(
        self,
        connection: sa.Connection,
        page: Page,
        expected: ObserverState,
        generation: int,
        which: Collection[int] = ALL_SLICES,
        *,
        after: int,
        still_held: Callable[[], bool] = lambda: True,
    ) -> PageDone:
        """Those events of these slices that are new to them, or the first of them where very many fail. Raises
        ObserverMoved where `expected` is not so any more.

        The page was read behind `after`: where a slice is not so far, as when a replay began and was given up since,
        it would leave a gap. `still_held` is asked when nobody else can take the observer until the commit.
        """
        rows = self.rows(connection)
        positions = {each.index: each.position for each in rows.slices(generation, which, lock=True)}
        observer = rows.observer()
        moved = replace(expected, version=observer.version) != observer or len(positions) != len(which)
        if moved or min(positions.values(), default=after) < after or not still_held():
            self.forget()
            raise ObserverMoved
        fresh = [event for event in page.events if event.position > positions.get(_slice_of(event.partition), page.end)]
        held = rows.held_among(generation, {event.partition for event in fresh}) if fresh else frozenset[str]()
        ready = [event for event in fresh if event.partition not in held] if held else fresh
        done = handle(ready, self._trier(connection, observer, generation)) if ready else Handled()
        end = page.end if done.ended_at is None else done.ended_at
        fresh = [event for event in fresh if event.position <= end]
        rows.wait(generation, [(each.partition, each.position) for each in fresh if each.partition in held])
        rows.wait(generation, done.waiting)
        met = self._meet(rows, observer, generation, fresh)
        rows.advance(generation, which, end, Counter(map(_slice_of, done.handled)))
        too_many: str | None = None
        if done.failed:
            observer, too_many = self._failed(rows, generation, done, observer)
        return PageDone(observer, end, len(done.handled), len(done.failed), met, too_many)

    def recover(self, connection: sa.Connection, partition: str, generation: int, job: str, limit: int) -> Recovered:
        """Handle what waits in a held partition, at most `limit` events. What is handled counts, also where a later one
        fails; that failure is recorded here, and is the caller's to raise when it has committed. Raises ObserverMoved,
        ObserverStandsStill.
        """
        rows = self.rows(connection)
        index = rows.locked_slice(generation, partition).index
        observer = rows.observer()
        if observer.generation != generation:
            raise ObserverMoved
        if observer.quarantined is not None:
            raise ObserverStandsStill(observer.name, "recover a partition of", observer.quarantined)
        held = rows.partition(generation, partition)
        if held is None:
            return Recovered(0, None, over=True)
        waiting = rows.waiting(generation, partition, limit + 1)
        positions, behind = waiting[:limit], waiting[limit:]
        # Under the key that they wait under: by the observer's code they may belong elsewhere by now.
        events = [
            Observed(each.position, partition, event)
            for each in self.source.at(positions)
            if (event := self._read(each)) is not None
        ]
        done = handle(events, self._trier(connection, observer, generation))
        failing = done.failed.get(partition)
        if positions:
            rows.done_waiting(generation, partition, positions[-1] if failing is None else failing[0] - 1)
        rows.count_handled(generation, index, len(done.handled))
        happened: PartitionEvent
        if failing is not None:
            happened = self._failure(partition, generation, *failing, held)
        elif behind:
            happened = PartitionAdvanced(partition=partition, generation=generation, job=job, position=behind[0])
        else:  # nothing can come in between: whoever adds to it needs the slice
            happened = PartitionRecovered(partition=partition, generation=generation, job=job)
        rows.record(rows.observer(lock=True), [happened], self._origin, self._surroundings)
        over = not isinstance(happened, PartitionAdvanced)
        return Recovered(len(done.handled), None if failing is None else failing[1], over)

    def positions_of(self, partition: str, after: int, until: int) -> list[int]:
        """Where the events of a partition stand, behind `after` and up to `until`."""
        if self._own_partition is None:
            return [each for each in self.source.of_originator(partition, until) if each > after]
        found: list[int] = []
        while after < until and (stored := self.source.after(after)):
            found += [each.position for each in self.page(stored).events if each.partition == partition]
            after = stored[-1].position
        return [each for each in found if each <= until]

    def remember(self, done: PageDone) -> None:
        """Told when the transaction has committed."""
        if len(self._met) < MET_MOST:
            self._met.update(done.met)

    def forget(self) -> None:
        """A replay may have begun: which partitions were met is not known any more."""
        self._met_by = None

    def too_many_failed(self, rows: ObserverRows, generation: int, more: int = 0) -> str | None:
        """Why too many partitions of a generation have failed, `more` than are written down."""
        policy = self.declared.policy
        partitions = rows.count_partitions(generation) if policy.max_failed_share is not None else 0
        return too_many_failed(policy, rows.count_failed(generation) + more, partitions)

    def close(self) -> None:
        self.source.close()

    def _read(self, stored: Stored) -> Any:
        """None where it is none of the observer's business."""
        try:
            return self.source.event(stored) if self._is_handled(stored.topic) else None
        except Exception as error:  # noqa: BLE001 - kept with its partition
            return Unreadable(error)

    def _partition(self, stored: Stored, event: Any) -> str:
        try:
            if self._own_partition is None:
                return _fit_to_keep(partition_of(stored.originator_id))
            if isinstance(event, Unreadable):
                raise event.error
            return _fit_to_keep(self._own_partition(event))
        except Exception as error:
            raise PartitionUntold(self.declared.name, stored.position, error) from error

    def _trier(
        self, connection: sa.Connection, observer: ObserverState, generation: int
    ) -> Callable[[Sequence[Observed]], None]:
        return trier(self.declared, self.effects(connection, observer, generation), self.place.database)

    def _meet(
        self, rows: ObserverRows, observer: ObserverState, generation: int, events: Sequence[Observed]
    ) -> Collection[str]:
        by = (generation, observer.job)
        if self._met_by != by:  # a replay forgets them
            self._met, self._met_by = set(), by
        new = {event.partition for event in events} - self._met
        rows.meet(generation, sorted(new))
        return new

    def _failed(
        self, rows: ObserverRows, generation: int, done: Handled, seen: ObserverState
    ) -> tuple[ObserverState, str | None]:
        """The observer afterwards, and why too many have failed. What is built beside does not stop what serves."""
        observer = rows.observer(lock=True)
        if observer.generation != seen.generation:
            raise ObserverMoved
        events: list[ObserverEvent] = [
            self._failure(partition, generation, position, error, None)
            for partition, (position, error) in done.failed.items()
        ]
        why = self.too_many_failed(rows, generation, more=len(events))
        if why is not None and observer.quarantined is None and generation == observer.generation:
            events.append(ObserverQuarantined(why=why))
        return rows.record(observer, events, self._origin, self._surroundings), why

    def _failure(
        self, partition: str, generation: int, position: int, error: Exception, held: Partition | None
    ) -> PartitionFailed:
        again = held is not None and held.position == position
        attempt = held.attempts + 1 if held is not None and again else 1
        at = retry_at(self.declared.policy, attempt, self._surroundings.now())
        return PartitionFailed(
            partition=partition,
            generation=generation,
            position=position,
            attempt=attempt,
            error=error_detail(error),
            retry_at=at,
        )


@lru_cache(maxsize=65_536)
def _fit_to_keep(key: object) -> str:
    """A partition's key. Raises ValueError for what no database keeps, and no job can be named by."""
    if not isinstance(key, str) or not key:
        raise ValueError(f"its key is {key!r}, and must be a text that is not empty")
    if len(key) > PARTITION_MOST:
        raise ValueError(f"its key has {len(key)} characters, and may have {PARTITION_MOST}")
    if "\0" in key:
        raise ValueError(f"its key has a NUL character: {key!r}")
    key.encode()  # raises for half of a character, as a broken decoder leaves it
    return key
