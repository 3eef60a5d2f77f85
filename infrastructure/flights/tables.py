"""Where a namespace's imported flights lie in the event store's own database, and how a transaction reaches them."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder
from sqlalchemy.schema import CreateTable

from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.recorder import DatabaseDatastore
from milepost.infrastructure.observers.generations import namespace_suffix


def events_table(namespace: str) -> str:
    """The table of a namespace's flight events: `flights_events` in `Default`, one of its own in any other."""
    return f"flights{namespace_suffix(namespace)}_events"


def flights_recorder(database: Database, namespace: str) -> ApplicationRecorder:
    """The library's recorder over a namespace's flights; `open_flights` makes an application of it.

    On PostgreSQL it has a connection of its own until the process ends.
    """
    with database.write() as connection:
        ImportedFlights(connection, database, namespace).create_tables()
    if database.schema is None:
        return SQLiteApplicationRecorder(DatabaseDatastore(database), events_table_name=events_table(namespace))
    from milepost.infrastructure.event_store.postgres_recorder import library_recorder

    return library_recorder(database, events_table(namespace))


class ImportedFlights:
    """A namespace's flights inside one transaction of the caller's."""

    def __init__(self, connection: sa.Connection, database: Database, namespace: str) -> None:
        self._connection = connection
        self._database = database
        self._schema = database.schema
        self._events = sa.table(
            events_table(namespace),
            *map(sa.column, ("originator_id", "originator_version", "topic", "state")),
            schema=database.schema,
        )
        self._days = sa.table(f"flights{namespace_suffix(namespace)}_days", sa.column("day"), schema=database.schema)

    def create_tables(self) -> None:
        """Where they do not exist yet."""
        days = sa.Table(
            self._days.name, sa.MetaData(), sa.Column("day", sa.Text, primary_key=True), schema=self._schema
        )
        for statement in self._events_table():
            self._connection.exec_driver_sql(statement)
        self._connection.execute(CreateTable(days, if_not_exists=True))

    def _events_table(self) -> Sequence[str]:
        if self._schema is None:
            recorder = SQLiteApplicationRecorder(DatabaseDatastore(self._database), events_table_name=self._events.name)
            return recorder.create_table_statements
        from milepost.infrastructure.event_store.postgres_recorder import events_table_statements

        return events_table_statements(self._schema, self._events.name)

    def has(self, day: date) -> bool:
        """Whether the flights of that day are there already."""
        found = self._connection.execute(sa.select(sa.literal(1)).where(self._days.c.day == day.isoformat()))
        return found.first() is not None

    def versions(self, aggregates: Sequence[UUID]) -> dict[UUID, int]:
        """How many events each of these aggregates has; those without any are left out."""
        if not sa.inspect(self._connection).has_table(self._events.name, schema=self._schema):
            return {}
        newest = sa.func.max(self._events.c.originator_version)
        rows = self._connection.execute(
            sa.select(self._events.c.originator_id, newest)
            .where(self._events.c.originator_id.in_([self._stored(aggregate) for aggregate in aggregates]))
            .group_by(self._events.c.originator_id)
        )
        return {row[0] if isinstance(row[0], UUID) else UUID(hex=row[0]): row[1] for row in rows}

    def add(self, day: date, events: Sequence[StoredEvent]) -> None:
        """The day's events, and that the day is there."""
        columns = ("originator_id", "originator_version", "topic", "state")
        rows = [
            (self._stored(UUID(str(event.originator_id))), event.originator_version, event.topic, event.state)
            for event in events
        ]
        self._connection.execute(self._events.insert(), [dict(zip(columns, row, strict=True)) for row in rows])
        self._connection.execute(self._days.insert().values(day=day.isoformat()))

    def _stored(self, aggregate: UUID) -> str | UUID:
        """As the library's recorder has it on that database."""
        return aggregate.hex if self._schema is None else aggregate
