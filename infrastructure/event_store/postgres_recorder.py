"""The eventsourcing library's table of events on PostgreSQL, and its own recorder on it, for whoever reads with that.

We make the table ourselves: the library vacuums it hardly ever, and starts with statements that two first starts at
once do not survive. See ADR/0015.
"""

from typing import TYPE_CHECKING

from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database

if TYPE_CHECKING:
    from eventsourcing.postgres import PostgresApplicationRecorder


def events_table_statements(schema: str, table: str) -> tuple[str, ...]:
    """What PostgresApplicationRecorder would make, where it is not there yet."""
    return (
        f"CREATE TABLE IF NOT EXISTS {schema}.{table} ("
        " originator_id uuid NOT NULL, originator_version bigint NOT NULL, topic text, state bytea,"
        " notification_id bigserial, PRIMARY KEY (originator_id, originator_version))",
        f"CREATE UNIQUE INDEX IF NOT EXISTS {table}_notification_id_idx ON {schema}.{table} (notification_id ASC)",
    )


def library_recorder(database: Database, table: str) -> "PostgresApplicationRecorder":
    """The library's own recorder on a table in the event store's schema, with one connection of its own.

    Raises CannotOpenDatabase where the URL has parameters that the library has no way to take.
    """
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

    _, address = database.engine.dialect.create_connect_args(database.engine.url)
    if beyond := sorted(set(address) - {"context", "dbname", "host", "port", "user", "password"}):
        cause = f"the eventsourcing library's own recorder cannot be given {', '.join(beyond)}"
        raise CannotOpenDatabase(
            database.url, f"{cause}: set them in the environment, as PGSSLMODE, or in a service file"
        )
    datastore = PostgresDatastore(
        dbname=address.get("dbname", ""),
        host=address.get("host", ""),
        port=address.get("port", ""),
        user=address.get("user", ""),
        password=address.get("password", ""),
        schema=database.schema or "",
        pool_size=1,
    )
    return PostgresApplicationRecorder(datastore, events_table_name=table)
