"""What is kept of observers in the event store: their events with the rows that follow, and how far they are.

Everything takes the connection of a transaction that is somebody's: a batch's effects, a step's, an operator's command.
Whoever handles events holds the rows of its slices; whoever changes the state of an observer holds all of them, and
then the observer's own. So nobody handles events in a state that is over, and nobody waits in a circle. See ADR/0019.
"""

import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from itertools import islice
from typing import Any, Final, ParamSpec, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from milepost.domain.envelope import Origin
from milepost.domain.observers.errors import ObserverError
from milepost.domain.observers.events import (
    ObserverEvent,
    ObserverRegistered,
    ObserverReleased,
    ObserverTaken,
    PartitionEvent,
    PartitionReplayBegan,
)
from milepost.domain.observers.slices import SLICES as SLICES
from milepost.domain.observers.state import Observer, Partition, PartitionStatus, evolve, partition_after
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import Database, LockKept
from milepost.infrastructure.event_store.schema import (
    observer_events,
    observer_partitions,
    observer_slices,
    observer_waiting,
    observers,
)
from milepost.infrastructure.observers.row_values import (
    RecordedObserverEvent,
    observer_of_row,
    partition_of_row,
    recorded_event,
    row_of_observer,
    row_of_partition,
)

PARTITION_MOST: Final = 280  # characters of its key: with the observer's name it makes the key of a job
ASKED_AT_ONCE: Final = 500  # partitions in one query
WRITTEN_AT_ONCE: Final = 10_000  # rows in one statement
TRIES: Final = 50  # of a change that others keep coming before
SILENT_SECONDS: Final = 30.0  # in the middle of a transaction, on a server: longer than any good handler is
_AT_HOME: Final = "SELECT set_config('search_path', %s || ', ' || current_setting('search_path'), true)"
_AT_HOME_TO_WRITE: Final = f"{_AT_HOME}, set_config('idle_in_transaction_session_timeout', %s, true)"


class ObserverUnknown(ObserverError):
    """No observer of that name has been seen in that namespace."""

    def __init__(self, name: str, namespace: str) -> None:
        self.name, self.namespace = name, namespace
        super().__init__(f"There is no observer '{name}' in namespace '{namespace}'.")


class ObserverMoved(Exception):
    """Somebody else changed the observer in between: look again."""


Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def again_when_moved(change: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Has a change that somebody else came before be made anew, on what is so then."""

    @wraps(change)
    def changed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        for _ in range(TRIES - 1):
            with suppress(ObserverMoved):
                return change(*args, **kwargs)
        return change(*args, **kwargs)

    return changed


@dataclass(frozen=True, slots=True)
class Slice:
    """How far one slice of an observer is: all its events up to `position` are handled, or wait in a held partition."""

    index: int
    position: int
    handled: int


def slice_of(partition: str) -> int:
    """The slice that a partition falls into; on disk for ever."""
    return zlib.crc32(partition.encode()) % SLICES


@contextmanager
def effects_transaction(database: Database, lock_seconds: float | None = None) -> Generator[sa.Connection]:
    """A transaction for an observer's effects and its rows: tables without a schema are the event store's.

    `lock_seconds`: how long it waits for a lock; None: for as long as it takes. Raises LockKept.
    """
    with database.user_transaction(read_committed=True) as connection:
        if lock_seconds is not None:
            database.wait_at_most(connection, lock_seconds)
        try:
            yield at_home_to_write(connection, database)
        except DBAPIError as error:
            told = database.trouble(error)
            if isinstance(told, LockKept):
                raise told from error
            raise


def at_home(connection: sa.Connection, database: Database) -> sa.Connection:
    """A connection whose tables without a schema are found in the event store's, until its transaction ends."""
    return _at_home(connection, database, _AT_HOME)


def at_home_to_write(connection: sa.Connection, database: Database) -> sa.Connection:
    """The same for whoever keeps slices from others. On a server the transaction ends when it has said nothing for
    SILENT_SECONDS: a machine that stands still would keep them for ever.
    """
    return _at_home(connection, database, _AT_HOME_TO_WRITE, f"{int(SILENT_SECONDS * 1000)}ms")


def _at_home(connection: sa.Connection, database: Database, statement: str, *more: str) -> sa.Connection:
    if database.schema is not None:  # by one statement: each is a way to the server and back
        connection.exec_driver_sql(statement, (database.schema, *more))
    return connection.execution_options(schema_translate_map={None: database.schema})


class ObserverRows:
    """The rows of one observer in one namespace, inside one transaction."""

    def __init__(self, connection: sa.Connection, namespace: str, name: str) -> None:
        self.connection = connection
        self.namespace = namespace
        self.name = name

    # What is so

    def find(self, *, lock: bool = False) -> Observer | None:
        asked = sa.select(observers).where(*self._mine(observers, observers.c.name))
        row = self.connection.execute(asked.with_for_update() if lock else asked).mappings().one_or_none()
        return None if row is None else observer_of_row(row)

    def observer(self, *, lock: bool = False) -> Observer:
        """Raises ObserverUnknown."""
        found = self.find(lock=lock)
        if found is None:
            raise ObserverUnknown(self.name, self.namespace)
        return found

    def slices(self, generation: int, which: Collection[int] | None = None, *, lock: bool = False) -> list[Slice]:
        """Those of a generation, in order; with `lock` nobody else handles events of theirs until the commit."""
        table = observer_slices
        asked = sa.select(table.c.slice, table.c.position, table.c.handled).where(
            *self._of(table, generation), *(() if which is None else (table.c.slice.in_(sorted(which)),))
        )
        rows = self.connection.execute((asked.with_for_update() if lock else asked).order_by(table.c.slice))
        return [Slice(*row) for row in rows]

    def locked(self) -> Observer:
        """The observer, when nobody handles events of it. Raises ObserverUnknown.

        What happened to its partitions meanwhile is no reason to look again: under a flood of failures it would never
        come to an end. But slices that a replay has made anew while they were waited for were not locked.
        """
        seen = self.observer()
        locked = [
            self.slices(generation, lock=True)
            for generation in sorted({seen.generation, seen.target or seen.generation})
        ]
        found = self.observer(lock=True)
        if replace(found, version=seen.version) != seen or any(len(slices) != SLICES for slices in locked):
            raise ObserverMoved
        return found

    def locked_slice(self, generation: int, partition: str) -> Slice:
        """That of a partition, when nobody handles events of it. Raises ObserverMoved where it is there no more."""
        found = self.slices(generation, [slice_of(partition)], lock=True)
        if not found:
            raise ObserverMoved
        return found[0]

    def held(self, generation: int, partitions: Collection[str]) -> dict[str, Partition]:
        """Those of these partitions that do not go on with the others."""
        asked = sa.select(observer_partitions)
        return {row["partition"]: partition_of_row(row) for row in self._held_of(generation, partitions, asked)}

    def held_among(self, generation: int, partitions: Collection[str]) -> frozenset[str]:
        """The names of the same. Most often nothing at all is held, which is soon found out."""
        if not self.connection.scalar(sa.select(sa.exists().where(*self._held(generation)))):
            return frozenset()
        asked = sa.select(observer_partitions.c.partition)
        return frozenset(row["partition"] for row in self._held_of(generation, partitions, asked))

    def partition(self, generation: int, partition: str) -> Partition | None:
        """None where it goes on with the others, or was never met."""
        return self.held(generation, [partition]).get(partition)

    def count_held(self, generation: int) -> int:
        return self._count(observer_partitions, *self._held(generation))

    def count_failed(self, generation: int) -> int:
        """Of those that are held: not those that are only being replayed."""
        table = observer_partitions
        failed = [str(PartitionStatus.FAILED), str(PartitionStatus.QUARANTINED)]
        return self._count(table, *self._of(table, generation), table.c.status.in_(failed))

    def count_partitions(self, generation: int) -> int:
        """How many were met."""
        return self._count(observer_partitions, *self._of(observer_partitions, generation))

    def waiting(self, generation: int, partition: str, limit: int) -> list[int]:
        """The first positions that wait in a held partition."""
        asked = sa.select(observer_waiting.c.position).where(*self._waiting(generation, partition))
        return list(self.connection.scalars(asked.order_by(observer_waiting.c.position).limit(limit)))

    def count_waiting(self, generation: int, partition: str) -> int:
        return self._count(observer_waiting, *self._waiting(generation, partition))

    def history(
        self, *, after: int = 0, partition: str | None = None, limit: int | None = None, newest_first: bool = False
    ) -> list[RecordedObserverEvent]:
        """Its events behind version `after`, of one partition or of all."""
        table = observer_events
        asked = sa.select(table).where(*self._mine(table, table.c.observer), table.c.version > after)
        if partition is not None:
            asked = asked.where(table.c.partition == partition)
        order = table.c.version.desc() if newest_first else table.c.version
        return [recorded_event(row) for row in self.connection.execute(asked.order_by(order).limit(limit)).mappings()]

    def replay_began(self, partition: str, job: UUID) -> bool:
        """Whether that job has set the partition back to its beginning."""
        table = observer_events
        asked = sa.select(table.c.state).where(
            *self._mine(table, table.c.observer),
            table.c.partition == partition,
            table.c.topic == PartitionReplayBegan.topic,
        )
        began = map(PartitionReplayBegan.model_validate_json, self.connection.scalars(asked))
        return any(each.job == str(job) for each in began)

    # What changes

    def register(self, origin: Origin, surroundings: Surroundings) -> Observer:
        """The observer, made where it was not seen before."""
        found = self.find()
        if found is not None:
            return found
        new = Observer(self.namespace, self.name)
        row = {**dict.fromkeys(observers.c.keys()), **row_of_observer(new)}
        if self._insert(observers, [row]):
            self._make_slices(new.generation)
            return self.record(new, [ObserverRegistered()], origin, surroundings)
        return self.observer()

    def record(
        self, observer: Observer, events: Sequence[ObserverEvent], origin: Origin, surroundings: Surroundings
    ) -> Observer:
        """Append what happened, with all rows that follow. Raises ObserverMoved where somebody else was faster."""
        after = observer
        now = surroundings.now()
        rows: list[dict[str, Any]] = []
        for event in events:
            before, after = after, evolve(after, event)
            self._follow(before, event)
            rows.append(self._event_row(after.version, event, origin, now, surroundings))
        # At once, for hundreds fail together; nothing that forgets partitions happens together with one of theirs.
        self._follow_partitions([event for event in events if isinstance(event, PartitionEvent)], now)
        if events:
            self.connection.execute(observer_events.insert(), rows)
            moved = observers.update().where(
                *self._mine(observers, observers.c.name), observers.c.version == observer.version
            )
            if self.connection.execute(moved.values(row_of_observer(after))).rowcount != 1:
                raise ObserverMoved
        return after

    def advance(self, generation: int, which: Collection[int], position: int, handled: Mapping[int, int]) -> None:
        """These slices have come to `position`, and handled so many events each."""
        table = observer_slices
        mine = (*self._of(table, generation), table.c.slice.in_(sorted(which)), table.c.position < position)
        counts = {index: count for index, count in handled.items() if count}
        more = sa.case(*((table.c.slice == index, count) for index, count in counts.items()), else_=0) if counts else 0
        self.connection.execute(table.update().where(*mine).values(position=position, handled=table.c.handled + more))

    def count_handled(self, generation: int, index: int, events: int) -> None:
        """Events of a held partition were handled: its slice's position does not change by that."""
        table = observer_slices
        mine = (*self._of(table, generation), table.c.slice == index)
        self.connection.execute(table.update().where(*mine).values(handled=table.c.handled + events))

    def meet(self, generation: int, partitions: Iterable[str]) -> None:
        """These partitions have events."""
        rows = [
            {**dict.fromkeys(observer_partitions.c.keys()), **self._key(generation), "partition": partition}
            for partition in partitions
        ]
        if rows:
            self._insert(observer_partitions, rows)

    def wait(self, generation: int, events: Iterable[tuple[str, int]]) -> None:
        """These events, by partition and position, wait until their partition is not held any more."""
        rows = (
            {**self._key(generation), "partition": partition, "position": position} for partition, position in events
        )
        while some := list(islice(rows, WRITTEN_AT_ONCE)):  # of a partition that is replayed it may be millions
            self._insert(observer_waiting, some)

    def done_waiting(self, generation: int, partition: str, until: int) -> None:
        """What waited up to there is handled, or never will be."""
        self.connection.execute(
            observer_waiting.delete().where(*self._waiting(generation, partition), observer_waiting.c.position <= until)
        )

    def _follow(self, before: Observer, event: ObserverEvent) -> None:
        match event:
            case (
                ObserverTaken(held="replay", generation=generation)
                | ObserverTaken(held="beside", generation=generation)
            ):
                self._forget(generation)
                self._make_slices(generation)
            case ObserverReleased(generation=generation) if generation != before.generation:
                self._forget(before.generation)
            case ObserverReleased() if before.target not in (None, before.generation):
                self._forget(before.target or 0)
            case _:
                pass

    def _follow_partitions(self, events: Sequence[PartitionEvent], now: datetime) -> None:
        for generation in {event.generation for event in events}:
            mine = [event for event in events if event.generation == generation]
            before = self.held(generation, {event.partition for event in mine})
            after: dict[str, Partition | None] = {}
            for event in mine:
                known = after.get(event.partition, before.get(event.partition))
                after[event.partition] = partition_after(known, event, now)
            self._upsert_partitions(generation, after)

    def _upsert_partitions(self, generation: int, partitions: Mapping[str, Partition | None]) -> None:
        key = self._key(generation)
        rows = [{**key, "partition": name, **row_of_partition(partition)} for name, partition in partitions.items()]
        insert = self._insert_into(observer_partitions)
        changed = {column: insert.excluded[column] for column in row_of_partition(None)}
        self.connection.execute(
            insert.on_conflict_do_update(index_elements=list(observer_partitions.primary_key), set_=changed), rows
        )

    def _forget(self, generation: int) -> None:
        for table in (observer_slices, observer_partitions, observer_waiting):
            self.connection.execute(table.delete().where(*self._of(table, generation)))

    def _make_slices(self, generation: int) -> None:
        rows = [{**self._key(generation), "slice": index, "position": 0, "handled": 0} for index in range(SLICES)]
        self.connection.execute(observer_slices.insert(), rows)

    def _event_row(
        self, version: int, event: ObserverEvent, origin: Origin, now: datetime, surroundings: Surroundings
    ) -> dict[str, Any]:
        return {
            "namespace": self.namespace,
            "observer": self.name,
            "version": version,
            "topic": event.topic,
            "partition": getattr(event, "partition", None),
            "event_id": str(surroundings.new_id()),
            "recorded_at": now.isoformat(),
            "actor": origin.actor,
            "source": origin.source,
            "reason": origin.reason,
            "correlation_id": origin.correlation_id,
            "state": event.model_dump_json(),
        }

    def _insert(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Those that are not there yet; whether any was not (asked of single rows only)."""
        return self.connection.execute(self._insert_into(table).on_conflict_do_nothing(), list(rows)).rowcount != 0

    def _insert_into(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        return (sqlite.insert if self.connection.dialect.name == "sqlite" else postgresql.insert)(table)

    def _count(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        return self.connection.scalar(sa.select(sa.func.count()).select_from(table).where(*where)) or 0

    def _held_of(self, generation: int, partitions: Collection[str], asked: sa.Select[Any]) -> Generator[sa.RowMapping]:
        """By the primary key, for there may be many that are held."""
        names = sorted(partitions)
        for first in range(0, len(names), ASKED_AT_ONCE):
            some = observer_partitions.c.partition.in_(names[first : first + ASKED_AT_ONCE])
            yield from self.connection.execute(asked.where(*self._held(generation), some)).mappings()

    def _key(self, generation: int) -> dict[str, Any]:
        return {"namespace": self.namespace, "observer": self.name, "generation": generation}

    def _mine(self, table: sa.Table, name: sa.Column[Any]) -> tuple[sa.ColumnElement[bool], ...]:
        return (table.c.namespace == self.namespace, name == self.name)

    def _of(self, table: sa.Table, generation: int) -> tuple[sa.ColumnElement[bool], ...]:
        return (*self._mine(table, table.c.observer), table.c.generation == generation)

    def _held(self, generation: int) -> tuple[sa.ColumnElement[bool], ...]:
        return (*self._of(observer_partitions, generation), observer_partitions.c.status.is_not(None))

    def _waiting(self, generation: int, partition: str) -> tuple[sa.ColumnElement[bool], ...]:
        return (*self._of(observer_waiting, generation), observer_waiting.c.partition == partition)
