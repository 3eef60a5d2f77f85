"""Where a namespace's imported flights lie in the event store's own database, and how a transaction reaches them."""

import hashlib
import re
from collections.abc import Sequence
from datetime import date
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder

from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.recorder import DatabaseDatastore, cursor_of

DEFAULT_NAMESPACE: Final = "Default"


def events_table(namespace: str) -> str:
    """The table of a namespace's flight events: `flights_events` in `Default`, one of its own in any other."""
    return f"flights{_suffix(namespace)}_events"


def flights_recorder(database: Database, namespace: str) -> SQLiteApplicationRecorder:
    """The library's recorder over a namespace's flights; `open_flights` makes an application of it."""
    recorder = SQLiteApplicationRecorder(DatabaseDatastore(database), events_table_name=events_table(namespace))
    recorder.create_table()
    return recorder


class ImportedFlights:
    """A namespace's flights inside one transaction of the caller's."""

    def __init__(self, connection: sa.Connection, database: Database, namespace: str) -> None:
        self._connection = connection
        self._table = events_table(namespace)
        self._days = f"flights{_suffix(namespace)}_days"
        self._recorder = SQLiteApplicationRecorder(DatabaseDatastore(database), events_table_name=self._table)

    def create_tables(self) -> None:
        """Where they do not exist yet."""
        for statement in self._recorder.create_table_statements:
            self._connection.exec_driver_sql(statement)
        self._connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {self._days} (day TEXT PRIMARY KEY)")

    def has(self, day: date) -> bool:
        """Whether the flights of that day are there already."""
        found = self._connection.exec_driver_sql(f"SELECT 1 FROM {self._days} WHERE day = ?", (day.isoformat(),))
        return found.first() is not None

    def versions(self, aggregates: Sequence[UUID]) -> dict[UUID, int]:
        """How many events each of these aggregates has; those without any are left out."""
        if not sa.inspect(self._connection).has_table(self._table):
            return {}
        table = sa.table(self._table, sa.column("originator_id"), sa.column("originator_version"))
        newest = sa.func.max(table.c.originator_version)
        rows = self._connection.execute(
            sa.select(table.c.originator_id, newest)
            .where(table.c.originator_id.in_([aggregate.hex for aggregate in aggregates]))
            .group_by(table.c.originator_id)
        )
        return {UUID(hex=row[0]): row[1] for row in rows}

    def add(self, day: date, events: Sequence[StoredEvent]) -> None:
        """The day's events, and that the day is there."""
        # The hook by which the library itself writes in a transaction that is open already.
        self._recorder._insert_events(cursor_of(self._connection), list(events))  # pyright: ignore[reportPrivateUsage]
        self._connection.exec_driver_sql(f"INSERT INTO {self._days} (day) VALUES (?)", (day.isoformat(),))


def _suffix(namespace: str) -> str:
    """Nothing for the default; else readable, and never the same for two (SQLite's names ignore case)."""
    if namespace == DEFAULT_NAMESPACE:
        return ""
    digest = hashlib.sha256(namespace.encode()).hexdigest()[:12]
    return "_" + re.sub(r"[^a-z0-9]+", "_", namespace.lower())[:20] + "_" + digest
