"""Where an observer's events come from: any application of the eventsourcing library, read in its own order.

Read by its recorder's own tables where that is a SQLite or PostgreSQL one, for the library builds an object for each
row and cannot be asked for the events of one originator in the order of all. Any other recorder is asked as it is.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, Mapper, PersistenceError, StoredEvent
from eventsourcing.utils import resolve_topic

if TYPE_CHECKING:
    from eventsourcing.application import Application

PAGE_EVENTS: Final = 1_000
OPENING_TRIES: Final = 20
REPLACED_AT_ONCE: Final = "tuple concurrently updated"
_opening: Final = threading.Lock()
ASKED_AT_ONCE: Final = 500  # positions in one query


class Stored(NamedTuple):
    """An event as it lies in the application's database."""

    position: int
    originator: Any  # UUID, its hex, or a text
    version: int
    topic: str
    state: bytes


class Reader(Protocol):
    """How the events of one recorder are read. Positions are its notification ids: ascending, perhaps with gaps."""

    def after(self, position: int, limit: int) -> Sequence[Stored]: ...

    def at(self, positions: Sequence[int]) -> Sequence[Stored]:
        """Those of them that are there, in order."""
        ...

    def of_originator(self, originator: str, until: int) -> Sequence[int]:
        """The positions of all its events up to `until`, in order."""
        ...

    def newest(self) -> int:
        """0 where there is none."""
        ...

    def close(self) -> None: ...


class EventSource:
    """The events of one application."""

    def __init__(self, reader: Reader, mapper: Mapper[Any], close: Callable[[], None] = lambda: None) -> None:
        self._reader = reader
        self._mapper = mapper
        self._close = close

    def after(self, position: int, limit: int = PAGE_EVENTS) -> Sequence[Stored]:
        """The next events behind `position`."""
        return self._reader.after(position, limit)

    def at(self, positions: Sequence[int]) -> list[Stored]:
        """The events at these positions, in order; those that are not there any more are left out."""
        found: list[Stored] = []
        for first in range(0, len(positions), ASKED_AT_ONCE):
            found += self._reader.at(positions[first : first + ASKED_AT_ONCE])
        return found

    def of_originator(self, originator: str, until: int) -> Sequence[int]:
        """The positions of an originator's events up to `until`, in order."""
        return self._reader.of_originator(originator, until)

    def newest(self) -> int:
        """The position of the newest event; 0 where there is none."""
        return self._reader.newest()

    def all(self, until: int) -> Iterator[Stored]:
        """All events up to `until`, page by page."""
        position = 0
        while page := self.after(position):
            for stored in page:
                if stored.position > until:
                    return
                yield stored
            position = page[-1].position

    def event(self, stored: Stored) -> Any:
        """As the application's own code reads it. Raises whatever that raises."""
        originator = stored.originator
        if isinstance(originator, str) and len(originator) == 32:
            originator = _uuid(originator)
        return self._mapper.to_domain_event(StoredEvent(originator, stored.version, stored.topic, stored.state))

    def close(self) -> None:
        self._reader.close()
        self._close()


def partition_of(stored: Stored) -> str:
    """The originator as people write it."""
    originator = stored.originator
    if isinstance(originator, str):
        return _dashed(originator) if len(originator) == 32 else originator
    return str(originator)


@lru_cache(maxsize=65_536)
def _dashed(hexadecimal: str) -> str:
    try:
        return str(UUID(hex=hexadecimal))
    except ValueError:  # a text that happens to be as long
        return hexadecimal


@lru_cache(maxsize=65_536)
def _uuid(hexadecimal: str) -> "UUID | str":
    try:
        return UUID(hex=hexadecimal)
    except ValueError:
        return hexadecimal


def handled_topics(handles: Iterable[type] | None) -> Callable[[str], bool]:
    """Whether events of a topic are an observer's business. Raises eventsourcing's TopicError for an unknown one."""
    if handles is None:
        return lambda topic: True
    classes = tuple(handles)

    @lru_cache(maxsize=4_096)
    def is_handled(topic: str) -> bool:
        found: object = resolve_topic(topic)
        return isinstance(found, type) and issubclass(found, classes)

    return is_handled


def source_of_application(application: "type[Application[Any]]", environment: Mapping[str, str]) -> EventSource:
    """The events of an application that is opened as it opens itself, from this environment and the process's."""
    opened = _open(application, environment)
    return EventSource(reader_of(opened.recorder), opened.mapper, opened.close)


def _open(application: "type[Application[Any]]", environment: Mapping[str, str]) -> "Application[Any]":
    """On PostgreSQL the library replaces its functions each time, and the server refuses two at the same moment."""
    for _ in range(OPENING_TRIES - 1):
        try:
            with _opening:  # those of this process one by one; others may still come between
                return application(dict(environment))
        except PersistenceError as error:
            if REPLACED_AT_ONCE not in str(error):
                raise
    return application(dict(environment))


def reader_of(recorder: ApplicationRecorder) -> Reader:
    """The fastest way to read this recorder's events."""
    from eventsourcing.sqlite import SQLiteApplicationRecorder

    if isinstance(recorder, SQLiteApplicationRecorder):
        return SqliteReader(recorder)
    if type(recorder).__module__.startswith("eventsourcing.postgres") or _is_postgres(recorder):
        return PostgresReader(recorder)
    return RecorderReader(recorder)


def _is_postgres(recorder: ApplicationRecorder) -> bool:
    return any(base.__module__ == "eventsourcing.postgres" for base in type(recorder).__mro__)


class SqliteReader:
    """The library's table on SQLite: the notification id is its rowid."""

    def __init__(self, recorder: Any) -> None:
        self._datastore = recorder.datastore
        table = recorder.events_table_name
        self._columns = f"SELECT rowid, originator_id, originator_version, topic, state FROM {table}"
        self._table = table

    def after(self, position: int, limit: int) -> Sequence[Stored]:
        return self._rows(f"{self._columns} WHERE rowid > ? ORDER BY rowid LIMIT ?", (position, limit))

    def at(self, positions: Sequence[int]) -> Sequence[Stored]:
        marks = ", ".join("?" * len(positions))
        return self._rows(f"{self._columns} WHERE rowid IN ({marks}) ORDER BY rowid", tuple(positions))

    def of_originator(self, originator: str, until: int) -> Sequence[int]:
        asked = f"SELECT rowid FROM {self._table} WHERE originator_id IN (?, ?) AND rowid <= ? ORDER BY rowid"
        with self._datastore.transaction(commit=False) as cursor:
            cursor.execute(asked, (originator, _hex(originator), until))
            return [row[0] for row in cursor.fetchall()]

    def newest(self) -> int:
        with self._datastore.transaction(commit=False) as cursor:
            cursor.execute(f"SELECT MAX(rowid) FROM {self._table}", ())
            return cursor.fetchone()[0] or 0

    def close(self) -> None:
        """The application closes what it has opened."""

    def _rows(self, asked: str, parameters: tuple[Any, ...]) -> list[Stored]:
        with self._datastore.transaction(commit=False) as cursor:
            cursor.execute(asked, parameters)
            return [Stored._make(row) for row in cursor.fetchall()]


class PostgresReader:
    """The library's table on PostgreSQL. Its recorder hands out ids under a lock, so that none appears late."""

    def __init__(self, recorder: Any) -> None:
        from psycopg.rows import tuple_row

        self._datastore = recorder.datastore
        self._row = tuple_row
        schema, table = self._datastore.schema, recorder.events_table_name
        self._table = f'"{schema}"."{table}"'
        self._columns = f"SELECT notification_id, originator_id, originator_version, topic, state FROM {self._table}"

    def after(self, position: int, limit: int) -> Sequence[Stored]:
        asked = f"{self._columns} WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
        return self._stored(asked, (position, limit))

    def at(self, positions: Sequence[int]) -> Sequence[Stored]:
        asked = f"{self._columns} WHERE notification_id = ANY(%s) ORDER BY notification_id"
        return self._stored(asked, (list(positions),))

    def of_originator(self, originator: str, until: int) -> Sequence[int]:
        asked = (
            f"SELECT notification_id FROM {self._table} WHERE originator_id = %s AND notification_id <= %s"
            " ORDER BY notification_id"
        )
        return [row[0] for row in self._rows(asked, (originator, until))]

    def newest(self) -> int:
        return self._rows(f"SELECT MAX(notification_id) FROM {self._table}", ())[0][0] or 0

    def close(self) -> None:
        """The application closes what it has opened."""

    def _stored(self, asked: str, parameters: tuple[Any, ...]) -> list[Stored]:
        return [Stored._make(row) for row in self._rows(asked, parameters)]

    def _rows(self, asked: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._datastore.get_connection() as connection, connection.cursor() as cursor:
            cursor.row_factory = self._row
            cursor.execute(asked, parameters, prepare=True)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows


class RecorderReader:
    """Any other recorder, asked by what all of them have."""

    def __init__(self, recorder: ApplicationRecorder) -> None:
        self._recorder = recorder

    def after(self, position: int, limit: int) -> Sequence[Stored]:
        return [
            Stored(each.id, each.originator_id, each.originator_version, each.topic, each.state)
            for each in self._recorder.select_notifications(position + 1, limit)
        ]

    def at(self, positions: Sequence[int]) -> Sequence[Stored]:
        return [
            stored for position in positions for stored in self.after(position - 1, 1) if stored.position == position
        ]

    def of_originator(self, originator: str, until: int) -> Sequence[int]:
        found: list[int] = []
        position = 0
        while page := self.after(position, PAGE_EVENTS):
            found += [each.position for each in page if partition_of(each) == originator and each.position <= until]
            position = page[-1].position
            if position >= until:
                break
        return found

    def newest(self) -> int:
        return self._recorder.max_notification_id() or 0

    def close(self) -> None:
        """The application closes what it has opened."""


def _hex(originator: str) -> str:
    try:
        return UUID(originator).hex
    except ValueError:
        return originator
