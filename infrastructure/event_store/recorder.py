"""The eventsourcing library's table for our events, and its recorders on the connections of our Database.

So events and rows share one transaction, which the library's own pool cannot give. See ADR/0003.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

import sqlalchemy as sa
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore

from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE


class DatabaseDatastore(SQLiteDatastore):
    """A datastore that borrows its connections from a Database instead of owning a pool."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.single_row_tracking = True
        self.originator_id_type = "uuid"

    @contextmanager
    def transaction(self, *, commit: bool) -> Generator[SQLiteCursor]:
        with self.database.write() if commit else self.database.read() as connection:
            yield cursor_of(connection)

    def close(self) -> None:
        """Nothing of its own to close."""


def create_events_table(connection: sa.Connection) -> None:
    """The table as the library makes it, so that its tools can read it, and a column more that they leave alone."""
    for statement in SQLiteApplicationRecorder.construct_create_table_statements(_Named()):
        connection.exec_driver_sql(statement)
    add_chain(connection)


def add_chain(connection: sa.Connection) -> None:
    """The column beside the library's own."""
    connection.exec_driver_sql(f"ALTER TABLE {EVENTS_TABLE} ADD COLUMN chain BLOB")


class _Named(SQLiteApplicationRecorder):
    """Enough of a recorder to be asked for its table."""

    def __init__(self) -> None:
        self.events_table_name = EVENTS_TABLE


def cursor_of(connection: sa.Connection) -> SQLiteCursor:
    """A cursor of the library's kind inside the transaction of an SQLAlchemy connection."""
    cursor = connection.connection.cursor()
    assert isinstance(cursor, sqlite3.Cursor)
    cursor.row_factory = sqlite3.Row
    return SQLiteCursor(cursor)
