"""How a program declares an observer: which events it handles, what it does with them, and how that is undone."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar

import sqlalchemy as sa

from milepost.domain.observers.errors import NotReplayable
from milepost.domain.observers.policy import PartitionPolicy
from milepost.infrastructure.observers.generations import Generation, unfit

if TYPE_CHECKING:
    from eventsourcing.application import Application

    from milepost.infrastructure.event_store.database import Database
    from milepost.infrastructure.observers.sources import EventSource

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
BATCH_EVENTS: Final = 1_000


class Observed(NamedTuple):
    """An event as it comes to an observer: `position` is its notification id in the application's own order."""

    position: int
    partition: str
    event: Any


@dataclass(frozen=True)
class Effects:
    """Where an observer's effects go: rows written by `connection` commit together with its position."""

    connection: sa.Connection
    namespace: str
    generation: Generation

    def table(self, table: sa.Table) -> sa.Table:
        """A table of the observer's `tables`, as it is called in this namespace and generation."""
        return self.generation.table(table)

    @cached_property
    def on_sqlite(self) -> bool:
        return self.connection.dialect.name == "sqlite"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an observer runs: the event store's database and a namespace."""

    database: "Database"
    namespace: str


class Observer:
    """Base of all observers. `handle` or `handle_batch` must be written.

    An instance is made for each try of a batch and must keep nothing: whatever it kept would outlive the effects that
    were rolled back. Effects in the event store's own database, by `effects.connection`, are exactly once. Effects
    elsewhere are at least once: compare `position`, which never falls inside one partition.

    On SQLite a batch holds the event store's write lock until its handler has returned, and everybody who writes waits
    for that, for at most 10 seconds. Batches are kept to about half a second by their size, but a single event takes
    as long as its handler does: what is slow belongs on PostgreSQL, or into a job.

    Attributes:
        name: given by `@observer`.
        application: whose events they are, a class of the eventsourcing library; it is opened from the environment.
        environment: variables that the application is given beside the process's own, such as where its events are.
        handles: the classes of events that are its business, with their subclasses; None: all. An event whose class
            cannot be found (it was renamed without its old topic, or is not installed here) fails its partition: it
            may have been one of them.
        tables: its read model, which Milepost makes, empties for a replay, and swaps for one that was built beside.
        policy: how often a failed partition is tried again, and when so many have failed that it stands still.
        batch_events: the most events that are handed over in one transaction; slow handlers are given fewer.
    """

    name: ClassVar[str]
    application: "ClassVar[type[Application[Any]] | None]" = None
    environment: ClassVar[Mapping[str, str]] = {}
    handles: ClassVar[tuple[type, ...] | None] = None
    tables: ClassVar[sa.MetaData | None] = None
    policy: ClassVar[PartitionPolicy] = PartitionPolicy()
    batch_events: ClassVar[int] = BATCH_EVENTS

    @classmethod
    def source(cls, place: Place) -> "EventSource":
        """Where its events come from; the events of `application` where it is not overridden."""
        from milepost.infrastructure.observers.sources import source_of_application

        if cls.application is None:
            raise TypeError(f"{cls.__qualname__} names no `application`, and has no `source` of its own")
        return source_of_application(cls.application, cls.environment)

    @classmethod
    def source_key(cls) -> Hashable | None:
        """The same for observers whose events come from the same place; None where nobody knows."""
        if getattr(cls.source, "__func__", None) is not getattr(Observer.source, "__func__", None):
            return None
        return (cls.application, tuple(sorted(cls.environment.items())))

    def partition(self, event: Any) -> str:
        """To which partition an event belongs: its originator, where it is not overridden."""
        raise NotImplementedError

    def handle(self, event: Any, effects: Effects) -> None:
        """Do what this event means. Whatever is raised fails the event's partition."""
        raise NotImplementedError

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        """The same for many at once, in their order; much faster where it writes many rows by one statement.

        If it raises, its effects are rolled back, and halves of the batch are tried until the event is found.
        """
        for observed in events:
            self.handle(observed.event, effects)

    def reset(self, effects: Effects) -> None:
        """Undo all effects, so that a replay may begin: makes `tables` anew. Raises NotReplayable without any."""
        if self.tables is None:
            raise NotReplayable(self.name, "replay", "it has neither `tables` nor a `reset` of its own")
        effects.generation.recreate(effects.connection)

    def reset_partition(self, partition: str, effects: Effects) -> None:
        """Undo the effects of one partition, so that it may be replayed alone."""
        raise NotReplayable(self.name, "replay a partition of", "it has no `reset_partition`")

    def verify(self, effects: Effects, source: "EventSource", until: int) -> None:
        """Compare what was rebuilt with the events up to position `until`; raise an error that names a difference."""
        raise NotReplayable(self.name, "rebuild the index of", "it has no `verify`")

    @classmethod
    def has(cls, method: str) -> bool:
        """Whether the observer has that method of its own."""
        return getattr(cls, method) is not getattr(Observer, method)


DeclaredObserver = TypeVar("DeclaredObserver", bound=type[Observer])


def is_observer(declared: Any) -> bool:
    """Whether it is a class that can be one, whatever the caller's annotations say."""
    return isinstance(declared, type) and issubclass(declared, Observer)


def observer(name: str) -> Callable[[DeclaredObserver], DeclaredObserver]:
    """Give an Observer class its name. Registers nothing by itself. Raises TypeError for what could not be used."""
    if not NAME.fullmatch(name):
        raise TypeError(f"{name!r} is no name for an observer: use 1 to 200 letters, digits, dots, dashes, underscores")

    def named(declared: DeclaredObserver) -> DeclaredObserver:
        if not is_observer(declared):
            raise TypeError(f"@observer({name!r}) belongs on a class that inherits from Observer, not on {declared!r}")
        if not (declared.has("handle") or declared.has("handle_batch")):
            raise TypeError(f"{declared.__qualname__} has neither `handle` nor `handle_batch`")
        if declared.tables is not None and (why := unfit(declared.tables)) is not None:
            raise TypeError(f"{declared.__qualname__}: {why}")
        declared.name = name
        return declared

    return named
