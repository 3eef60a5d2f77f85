"""Where an observer's events come from: any application of the eventsourcing library, read in its own order.

Read by its recorder's own tables where that is a SQLite or PostgreSQL one, for the library builds an object for each
row and cannot be asked for the events of one originator in the order of all. Any other recorder is asked as it is.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, Mapper, PersistenceError
from eventsourcing.utils import resolve_topic

from milepost.domain.observers.errors import ObserverError

if TYPE_CHECKING:
    from eventsourcing.application import Application

PAGE_EVENTS: Final = 1_000
OPENING_TRIES: Final = 20
REPLACED_AT_ONCE: Final = "tuple concurrently updated"
_opening: Final = threading.Lock()
ASKED_AT_ONCE: Final = 500  # positions in one query
READING: Final = {"CREATE_TABLE": "n", "POSTGRES_POOL_SIZE": "1", "POSTGRES_MAX_OVERFLOW": "0"}  # enough to read


class Stored(NamedTuple):
    """An event as it lies in the application's database, named as a mapper asks for it: none has to be made for it."""

    position: int
    originator_id: UUID | str
    originator_version: int
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
        # Mappers read these attributes only, of whatever has them.
        self._to_domain_event: Callable[[Any], Any] = mapper.to_domain_event
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
        return self._to_domain_event(stored)

    def close(self) -> None:
        self._reader.close()
        self._close()


@lru_cache(maxsize=65_536)
def partition_of(originator: UUID | str) -> str:
    """The originator as people write it."""
    return str(originator)


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


class EventsInMemory(ObserverError):
    """The application keeps its events in a process's memory, so that nobody else ever sees one."""

    def __init__(self, application: str) -> None:
        self.application = application
        super().__init__(
            f"Application '{application}' keeps its events in memory here, where there are none to observe. Say where"
            f" they are as the library has it: {application.upper()}_PERSISTENCE_MODULE=eventsourcing.sqlite and"
            f" {application.upper()}_SQLITE_DBNAME=PATH, or what PostgreSQL needs, in the environment, or in the"
            " observer's `environment`."
        )


def source_of_application(application: "type[Application[Any]]", environment: Mapping[str, str]) -> EventSource:
    """The events of an application that is opened from this environment and the process's. Raises EventsInMemory.

    Its tables are made only where there are none: making them is a change to somebody's database, and two at once fail
    on PostgreSQL. And it has one connection where nobody says how many, for it is read by one thread at a time.
    """
    said = {**application.env, **os.environ, **environment}
    modest = {key: value for key, value in READING.items() if key not in said}
    source = _opened(application, {**environment, **modest})
    try:
        source.newest()
    except PersistenceError:
        source.close()
        return _opened(application, environment)
    return source


def _opened(application: "type[Application[Any]]", environment: Mapping[str, str]) -> EventSource:
    opened = _open(application, environment)
    if _in_memory(opened.recorder):
        opened.close()
        raise EventsInMemory(opened.name)
    return EventSource(reader_of(opened.recorder), opened.mapper, opened.close)


def _in_memory(recorder: ApplicationRecorder) -> bool:
    from eventsourcing.popo import POPOApplicationRecorder
    from eventsourcing.sqlite import SQLiteApplicationRecorder

    if isinstance(recorder, SQLiteApplicationRecorder):
        return recorder.datastore.pool.is_sqlite_memory_mode
    return isinstance(recorder, POPOApplicationRecorder)


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
        self._read_id: Callable[[str], UUID | str] = lru_cache(maxsize=65_536)(recorder.convert_originator_id)
        self._in_text = recorder.datastore.originator_id_type == "text"
        table = recorder.events_table_name
        self._columns = f"SELECT rowid, originator_id, originator_version, topic, state FROM {table}"
        self._table = table

    def after(self, position: int, limit: int) -> Sequence[Stored]:
        return self._rows(f"{self._columns} WHERE rowid > ? ORDER BY rowid LIMIT ?", (position, limit))

    def at(self, positions: Sequence[int]) -> Sequence[Stored]:
        marks = ", ".join("?" * len(positions))
        return self._rows(f"{self._columns} WHERE rowid IN ({marks}) ORDER BY rowid", tuple(positions))

    def of_originator(self, originator: str, until: int) -> Sequence[int]:
        asked = f"SELECT rowid FROM {self._table} WHERE originator_id = ? AND rowid <= ? ORDER BY rowid"
        with self._datastore.transaction(commit=False) as cursor:
            cursor.execute(asked, (originator if self._in_text else _hex(originator), until))
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
            read_id = self._read_id
            return [
                Stored(position, read_id(originator), version, topic, state)
                for position, originator, version, topic, state in cursor.fetchall()
            ]


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
            found += [each.position for each in page if partition_of(each.originator_id) == originator]
            position = page[-1].position
            if position >= until:
                break
        return [each for each in found if each <= until]

    def newest(self) -> int:
        return self._recorder.max_notification_id() or 0

    def close(self) -> None:
        """The application closes what it has opened."""


def _hex(originator: str) -> str:
    try:
        return UUID(originator).hex
    except ValueError:
        return originator
