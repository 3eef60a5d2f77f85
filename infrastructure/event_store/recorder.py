"""The eventsourcing library's SQLite recorder on the connections of our Database.

So events and read models share one transaction, which the library's own pool cannot give.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore

from milepost.infrastructure.event_store.database import Database


class DatabaseDatastore(SQLiteDatastore):
    """A datastore that borrows its connections from a Database instead of owning a pool."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.single_row_tracking = True
        self.originator_id_type = "uuid"

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[SQLiteCursor]:
        with self.database.write() if commit else self.database.read() as connection:
            yield cursor_of(connection)

    def close(self) -> None:
        """Nothing of its own to close."""


def cursor_of(connection: sa.Connection) -> SQLiteCursor:
    """A cursor of the library's kind inside the transaction of an SQLAlchemy connection."""
    cursor = connection.connection.cursor()
    assert isinstance(cursor, sqlite3.Cursor)
    cursor.row_factory = sqlite3.Row
    return SQLiteCursor(cursor)


def recorder_for(database: Database, table: str) -> SQLiteApplicationRecorder:
    """A recorder of the events in `table`, which is created when it does not exist."""
    recorder = SQLiteApplicationRecorder(DatabaseDatastore(database), events_table_name=table)
    recorder.create_table()
    return recorder
