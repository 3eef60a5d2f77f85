"""The tables, and how a database of an older Milepost becomes one of this."""

from collections.abc import Callable, Mapping
from typing import Final

import sqlalchemy as sa

from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database

VERSION: Final = 1
MIGRATIONS: Final[Mapping[int, Callable[[sa.Connection], None]]] = {}  # from version n to n + 1

metadata = sa.MetaData()
schema = sa.Table("milepost_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))

# Read models: a pure function of the events (milepost.infrastructure.event_store.read_models).
jobs = sa.Table(
    "milepost_jobs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("namespace", sa.String(200), nullable=False),
    sa.Column("type", sa.String(200), nullable=False),
    sa.Column("status", sa.String(30), nullable=False),
    sa.Column("live", sa.Boolean, nullable=False),  # whether a worker has or will have something to do
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("key", sa.String(500)),
    sa.Column("limit_key", sa.String(500)),
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
    sa.Column("items", sa.Float, nullable=False),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("running_since", sa.String(32)),
    sa.Column("items_before", sa.Float, nullable=False),
    sa.Column("ended_before", sa.Integer, nullable=False),
    sa.Column("advanced_at", sa.String(32)),
    sa.Column("error", sa.Text),
    sa.Index("milepost_jobs_newest", "namespace", "id"),
    sa.Index("milepost_jobs_by_status", "namespace", "status", "id"),
    sa.Index("milepost_jobs_by_type", "namespace", "type", "id"),
    sa.Index("milepost_jobs_by_key", "namespace", "type", "key"),
    sa.Index("milepost_jobs_to_claim", "live", "type", "id"),
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
    sa.Column("limit_key", sa.String(500)),
    sa.Column("expires_at", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),  # that it was given for
    sa.Index("milepost_leases_by_worker", "worker"),
)
workers = sa.Table(
    "milepost_workers",
    metadata,
    sa.Column("name", sa.String(300), primary_key=True),
    sa.Column("types", sa.Text, nullable=False),  # JSON
    sa.Column("slots", sa.Integer, nullable=False),
    sa.Column("started_at", sa.String(32), nullable=False),
    sa.Column("beat_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False),
)
refusals = sa.Table(
    "milepost_refusals",
    metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("worker", sa.String(300), primary_key=True),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
)
checkpoints = sa.Table(
    "milepost_checkpoints",
    metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("progress", sa.Text, nullable=False),
)
commands = sa.Table(
    "milepost_commands",
    metadata,
    sa.Column("namespace", sa.String(200), primary_key=True),
    sa.Column("command_id", sa.String(200), primary_key=True),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("command", sa.String(100), nullable=False),
)

# A cache of the fold: may be lost at any time.
snapshots = sa.Table(
    "milepost_snapshots",
    metadata,
    sa.Column("job_id", sa.String(36), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)


def prepare(database: Database) -> None:
    """Create or migrate the tables. Raises CannotOpenDatabase when they are of a newer Milepost."""
    with database.read() as connection:
        if _version(connection) == VERSION:
            return
    with database.write() as connection:  # looks again: another process may have been faster
        _migrate(connection, database.url)


def _version(connection: sa.Connection) -> int | None:
    """The version of the tables; None where there are none."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(schema.name):
        return None
    return connection.scalar(sa.select(sa.func.max(schema.c.version))) or 0


def _migrate(connection: sa.Connection, url: str) -> None:
    version = _version(connection)
    if version is None:
        _create(connection, url)
        version = VERSION
    if version > VERSION:
        raise CannotOpenDatabase(
            url,
            f"it was written by a newer Milepost (schema {version}; this one knows {VERSION}). Upgrade Milepost",
        )
    for older in range(version, VERSION):
        if older not in MIGRATIONS:
            raise CannotOpenDatabase(url, f"no way leads from its schema {older} to {older + 1}")
        MIGRATIONS[older](connection)
        connection.execute(schema.insert().values(version=older + 1))


def _create(connection: sa.Connection, url: str) -> None:
    # Here, because nothing else needs the library, and a listing should not wait for it to be imported.
    from milepost.infrastructure.event_store.recorder import EVENTS_TABLE, create_events_table

    taken = sorted({*metadata.tables, EVENTS_TABLE} & set(sa.inspect(connection).get_table_names()))
    if taken:
        raise CannotOpenDatabase(url, f"it has tables of that name already, and no {schema.name}: {', '.join(taken)}")
    create_events_table(connection)
    metadata.create_all(connection, checkfirst=False)
    connection.execute(schema.insert().values(version=VERSION))
