"""The tables, and how a database of an older Milepost becomes one of this."""

from collections.abc import Callable, Mapping
from typing import Final

import sqlalchemy as sa

from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database

VERSION: Final = 1
MIGRATIONS: Final[Mapping[int, Callable[[sa.Connection], None]]] = {}  # from version n to n + 1

metadata = sa.MetaData()
schema = sa.Table("milepost_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))
jobs = sa.Table(
    "milepost_jobs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("namespace", sa.String(200), nullable=False),
    sa.Column("type", sa.String(200), nullable=False),
    sa.Column("status", sa.String(30), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("key", sa.String(500)),
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("ended_at", sa.String(32)),
    sa.Column("worker", sa.String(300)),
    sa.Column("claim", sa.Integer, nullable=False),
    sa.Column("planned", sa.Boolean, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("pending", sa.Integer, nullable=False),
    sa.Column("running", sa.Integer, nullable=False),
    sa.Column("waiting", sa.Integer, nullable=False),
    sa.Column("succeeded", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("stopped", sa.Integer, nullable=False),
    sa.Column("cancelled", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Index("milepost_jobs_newest", "namespace", "id"),
    sa.Index("milepost_jobs_by_status", "namespace", "status", "id"),
    sa.Index("milepost_jobs_by_key", "namespace", "type", "key"),
)
steps = sa.Table(
    "milepost_steps",
    metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("progress", sa.Text),
    sa.Column("errors", sa.Text),
    sa.Column("started_at", sa.String(32)),
    sa.Column("ended_at", sa.String(32)),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("retry_at", sa.String(32)),
    sqlite_with_rowid=False,
)
status_changes = sa.Table(
    "milepost_status_changes",
    metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("status", sa.String(30), nullable=False),
    sa.Column("occurred", sa.String(32), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
# Not read models: who may write now, what a step's own transaction reached, which commands were seen.
leases = sa.Table(
    "milepost_leases",
    metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("worker", sa.String(300), nullable=False),
    sa.Column("claim", sa.Integer, nullable=False),
    sa.Column("type", sa.String(200), nullable=False),
    sa.Column("key", sa.String(500)),
    sa.Column("expires_at", sa.Float, nullable=False),
)
checkpoints = sa.Table(
    "milepost_checkpoints",
    metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("progress", sa.Text, nullable=False),
)
commands = sa.Table(
    "milepost_commands",
    metadata,
    sa.Column("namespace", sa.String(200), primary_key=True),
    sa.Column("command_id", sa.String(200), primary_key=True),
    sa.Column("job_id", sa.String(36), nullable=False),
)


def prepare(database: Database) -> None:
    """Create or migrate the tables. Raises CannotOpenDatabase when they are of a newer Milepost."""
    try:
        with database.read() as connection:
            if sa.inspect(connection).has_table(schema.name):
                found = connection.scalar(sa.select(sa.func.max(schema.c.version)))
                if found == VERSION:
                    return
        with database.write() as connection:
            _migrate(connection, database.url)
    except sa.exc.DatabaseError as error:
        raise CannotOpenDatabase(database.url, str(error.orig)) from error


def _migrate(connection: sa.Connection, url: str) -> None:
    if not sa.inspect(connection).has_table(schema.name):
        metadata.create_all(connection)
        connection.execute(schema.insert().values(version=VERSION))
        return
    version = connection.scalar(sa.select(sa.func.max(schema.c.version))) or 0
    if version > VERSION:
        raise CannotOpenDatabase(
            url, f"it was written by a newer Milepost (schema {version}, this one knows {VERSION})"
        )
    while version < VERSION:
        MIGRATIONS[version](connection)
        version += 1
        connection.execute(schema.insert().values(version=version))
