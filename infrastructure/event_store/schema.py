"""The tables, and how a database of an older Milepost becomes one of this."""

from collections.abc import Callable, Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy import event

from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database

VERSION: Final = 5
EVENTS_TABLE: Final = "milepost_events"  # the library's own name would mix our events with an application's

# PostgreSQL would compare by a language's rules, in which dashes do not count, and cut the lengths.
_text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _string(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


def _index_where(condition: sa.ColumnElement[bool], index: sa.Index) -> sa.Index:
    """That index, of the rows for which the condition holds alone.

    Said when it is made, of the database it is made in: as options of the index, `sqlite_where` and `postgresql_where`
    would each import that database's dialect, which takes every command 20 ms to start.
    """

    @event.listens_for(index.table, "before_create")
    def said(_: sa.Table, connection: sa.Connection, **__: object) -> None:
        index.dialect_kwargs[f"{connection.dialect.name}_where"] = condition

    return index


metadata = sa.MetaData()
schema = sa.Table("milepost_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))

# Read models: a pure function of the events (milepost.infrastructure.event_store.read_models).
jobs = sa.Table(
    "milepost_jobs",
    metadata,
    sa.Column("id", _string(36), primary_key=True),
    sa.Column("namespace", _string(200), nullable=False),
    sa.Column("type", _string(200), nullable=False),
    sa.Column("status", _string(30), nullable=False),
    sa.Column("live", sa.Boolean, nullable=False),  # whether a worker has or will have something to do
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("key", _string(500)),
    sa.Column("limit_key", _string(500)),
    sa.Column("details", _text, nullable=False),
    sa.Column("tags", _text, nullable=False),
    sa.Column("request", _text, nullable=False),
    sa.Column("created_at", _string(32), nullable=False),
    sa.Column("ended_at", _string(32)),
    sa.Column("worker", _string(300)),
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
    sa.Column("unit", _text, nullable=False),
    sa.Column("running_since", _string(32)),
    sa.Column("items_before", sa.Float, nullable=False),
    sa.Column("ended_before", sa.Integer, nullable=False),
    sa.Column("advanced_at", _string(32)),
    sa.Column("error", _text),
    sa.Column("queue", _string(100), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Index("milepost_jobs_newest", "namespace", "id"),
    sa.Index("milepost_jobs_by_status", "namespace", "status", "id"),
    sa.Index("milepost_jobs_by_type", "namespace", "type", "id"),
)
# Of those that have ended there may be many with one key.
BY_KEY: Final = sa.Index("milepost_jobs_by_key", jobs.c.live, jobs.c.namespace, jobs.c.type, jobs.c.key)
# The order of claims: of a type in all queues, and in one. See ADR/0014.
TO_CLAIM: Final = sa.Index("milepost_jobs_to_claim", jobs.c.live, jobs.c.type, jobs.c.priority.desc(), jobs.c.id)
TO_CLAIM_BY_QUEUE: Final = sa.Index(
    "milepost_jobs_to_claim_by_queue", jobs.c.live, jobs.c.type, jobs.c.queue, jobs.c.priority.desc(), jobs.c.id
)
steps = sa.Table(
    "milepost_steps",
    metadata,
    sa.Column("job_id", _string(36), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("name", _text, nullable=False),
    sa.Column("arguments", _text, nullable=False),
    sa.Column("status", _string(20), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("progress", _text),
    sa.Column("errors", _text),
    sa.Column("started_at", _string(32)),
    sa.Column("ended_at", _string(32)),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("retry_at", _string(32)),
    sqlite_with_rowid=False,
)
status_changes = sa.Table(
    "milepost_status_changes",
    metadata,
    sa.Column("job_id", _string(36), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("status", _string(30), nullable=False),
    sa.Column("occurred", _string(32), nullable=False),
    sa.Column("actor", _text, nullable=False),
    sa.Column("source", _text, nullable=False),
    sa.Column("reason", _text, nullable=False),
    sqlite_with_rowid=False,
)

# Not read models: who may write now, what a step's own transaction reached, which commands were seen.
leases = sa.Table(
    "milepost_leases",
    metadata,
    sa.Column("job_id", _string(36), primary_key=True),
    sa.Column("worker", _string(300), nullable=False),
    sa.Column("claim", sa.Integer, nullable=False),
    sa.Column("type", _string(200), nullable=False),
    sa.Column("limit_key", _string(500)),
    sa.Column("expires_at", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),  # that it was given for
    sa.Index("milepost_leases_by_worker", "worker"),
)
workers = sa.Table(
    "milepost_workers",
    metadata,
    sa.Column("name", _string(300), primary_key=True),
    sa.Column("types", _text, nullable=False),  # JSON
    sa.Column("slots", sa.Integer, nullable=False),
    sa.Column("started_at", _string(32), nullable=False),
    sa.Column("beat_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False),
    sa.Column("queues", _text),  # JSON; none: it takes jobs of all queues
    sa.Column("host", _string(300)),
    sa.Column("pid", sa.Integer),
)
refusals = sa.Table(
    "milepost_refusals",
    metadata,
    sa.Column("job_id", _string(36), primary_key=True),
    sa.Column("worker", _string(300), primary_key=True),
    sa.Column("why", _text, nullable=False),
    sa.Column("at", _string(32), nullable=False),
)
checkpoints = sa.Table(
    "milepost_checkpoints",
    metadata,
    sa.Column("job_id", _string(36), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("progress", _text, nullable=False),
)
commands = sa.Table(
    "milepost_commands",
    metadata,
    sa.Column("namespace", _string(200), primary_key=True),
    sa.Column("command_id", _string(200), primary_key=True),
    sa.Column("job_id", _string(36), nullable=False),
    sa.Column("command", _string(100), nullable=False),
)
# For a prune, which has to find those of a job.
COMMANDS_BY_JOB: Final = sa.Index("milepost_commands_by_job", commands.c.job_id)

# What is left of a job whose history was pruned. See ADR/0021.
tombstones = sa.Table(
    "milepost_tombstones",
    metadata,
    sa.Column("job_id", _string(36), primary_key=True),
    sa.Column("namespace", _string(200), nullable=False),
    sa.Column("type", _string(200), nullable=False),
    sa.Column("status", _string(30), nullable=False),
    sa.Column("versions", sa.Integer, nullable=False),  # how many events it had
    sa.Column("head", _string(64)),  # of the chain of its events, in hexadecimal digits
    sa.Column("created_at", _string(32), nullable=False),
    sa.Column("ended_at", _string(32), nullable=False),
    sa.Column("pruned_at", _string(32), nullable=False),
    sa.Column("actor", _text, nullable=False),
    sa.Column("source", _text, nullable=False),
    sa.Column("reason", _text, nullable=False),
    sa.Column("places", _text, nullable=False),  # JSON: which event stands before its own ones, see all_streams
    sa.Column("remaining", sa.Integer, nullable=False),  # events that are still to be deleted
    sa.Column("archive", _text),  # the file that its history was written to before
    sa.Index("milepost_tombstones_by_namespace", "namespace", "job_id"),
)
TO_FINISH: Final = _index_where(
    tombstones.c.remaining > 0, sa.Index("milepost_tombstones_to_finish", tombstones.c.job_id)
)

# Rules by which workers prune: who has it in hand by a lease, when it is due again, and how it went. See ADR/0021.
retention = sa.Table(
    "milepost_retention",
    metadata,
    sa.Column("rule", _string(100), primary_key=True),
    sa.Column("holder", _string(300)),
    sa.Column("expires_at", sa.Float),
    sa.Column("seconds", sa.Float),
    sa.Column("due_at", sa.Float, nullable=False),
    sa.Column("looked_at", _string(32)),
    sa.Column("jobs", sa.BigInteger, nullable=False),  # that it has pruned
    sa.Column("pruned_at", _string(32)),  # when it last pruned any
    sa.Column("trouble", _text),  # why it could not be carried out
)

# Who may ask over HTTP.
tokens = sa.Table(
    "milepost_tokens",
    metadata,
    sa.Column("name", _string(200), primary_key=True),
    sa.Column("digest", _string(64), nullable=False, unique=True),
    sa.Column("role", _string(20), nullable=False),
    sa.Column("namespaces", _text),  # JSON; none: all
    sa.Column("created_at", _string(32), nullable=False),
    sa.Column("created_by", _text, nullable=False),
    sa.Column("expires_at", _string(32)),
    sa.Column("revoked_at", _string(32)),
)

# Who is told of what, up to which event, and how the telling goes. The place is an event's key: see all_streams.
webhooks = sa.Table(
    "milepost_webhooks",
    metadata,
    sa.Column("id", _string(36), primary_key=True),
    sa.Column("name", _string(200), nullable=False, unique=True),
    sa.Column("url", _text, nullable=False),
    sa.Column("secret", _text, nullable=False),  # as it is: whoever signs needs it
    sa.Column("occasions", _text, nullable=False),  # JSON
    sa.Column("namespace", _string(200)),  # none: all
    sa.Column("types", _text),  # JSON; none: all
    sa.Column("created_at", _string(32), nullable=False),
    sa.Column("created_by", _text, nullable=False),
    sa.Column("place_job", _string(36)),  # none: the very start
    sa.Column("place_version", sa.Integer),
    sa.Column("delivered", sa.BigInteger, nullable=False),
    sa.Column("last_success_at", _string(32)),
    sa.Column("last_failure_at", _string(32)),
    sa.Column("last_failure", _text),
    sa.Column("failures", sa.Integer, nullable=False),  # tries of the event at hand
    sa.Column("failing_since", sa.Float),
    sa.Column("next_try_at", sa.Float),
    sa.Column("paused", _text),  # why
    sa.Column("holder", _string(300)),  # the process that delivers now, by a lease
    sa.Column("expires_at", sa.Float),
    sa.Column("seconds", sa.Float),
)

# Observers of an application's events. Rows of `observers` and of the held partitions follow from their events; how far
# an observer is (its slices) commits together with its effects and is no event. See ADR/0019.
observers = sa.Table(
    "milepost_observers",
    metadata,
    sa.Column("namespace", _string(200), primary_key=True),
    sa.Column("name", _string(200), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("quarantined", _text),
    sa.Column("job", _string(36)),
    sa.Column("held", _string(20)),
    sa.Column("target", sa.Integer),
    sa.Column("until", sa.BigInteger),
    # Not of the events: who runs it live, and how that goes.
    sa.Column("holder", _string(300)),
    sa.Column("expires_at", sa.Float),
    sa.Column("seconds", sa.Float),
    sa.Column("newest", sa.BigInteger),  # of the source's events, when its owner last looked
    sa.Column("rate", sa.Float),  # events a second, while it last handled any
    sa.Column("trouble", _text),  # why its owner cannot go on
    sa.Column("advanced_at", _string(32)),
)
observer_slices = sa.Table(
    "milepost_observer_slices",
    metadata,
    sa.Column("namespace", _string(200), primary_key=True),
    sa.Column("observer", _string(200), primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True),
    sa.Column("slice", sa.Integer, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("handled", sa.BigInteger, nullable=False),
)
observer_partitions = sa.Table(
    "milepost_observer_partitions",
    metadata,
    sa.Column("namespace", _string(200), primary_key=True),
    sa.Column("observer", _string(200), primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True),
    sa.Column("partition", _string(500), primary_key=True),
    sa.Column("status", _string(20)),  # none: it goes on with the others, and the rest is empty
    sa.Column("position", sa.BigInteger),
    sa.Column("attempts", sa.Integer),
    sa.Column("error", _text),
    sa.Column("retry_at", _string(32)),
    sa.Column("since", _string(32)),
    sa.Index("milepost_observer_partitions_held", "namespace", "observer", "generation", "status", "retry_at"),
)
# Lists of those that are held, page by page: few among many.
HELD_BY_KEY: Final = _index_where(
    observer_partitions.c.status.is_not(None),
    sa.Index(
        "milepost_observer_partitions_by_key",
        observer_partitions.c.namespace,
        observer_partitions.c.observer,
        observer_partitions.c.generation,
        observer_partitions.c.partition,
    ),
)
observer_waiting = sa.Table(
    "milepost_observer_waiting",
    metadata,
    sa.Column("namespace", _string(200), primary_key=True),
    sa.Column("observer", _string(200), primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True),
    sa.Column("partition", _string(500), primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)
observer_events = sa.Table(
    "milepost_observer_events",
    metadata,
    sa.Column("namespace", _string(200), primary_key=True),
    sa.Column("observer", _string(200), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("topic", _string(100), nullable=False),
    sa.Column("partition", _string(500)),
    sa.Column("event_id", _string(36), nullable=False),
    sa.Column("recorded_at", _string(32), nullable=False),
    sa.Column("actor", _text, nullable=False),
    sa.Column("source", _text, nullable=False),
    sa.Column("reason", _text, nullable=False),
    sa.Column("correlation_id", _text, nullable=False),
    sa.Column("state", _text, nullable=False),  # JSON
    sa.Index("milepost_observer_events_by_partition", "namespace", "observer", "partition", "version"),
)
OBSERVER_TABLES: Final = (observers, observer_slices, observer_partitions, observer_waiting, observer_events)

# A cache of the fold: may be lost at any time.
snapshots = sa.Table(
    "milepost_snapshots",
    metadata,
    sa.Column("job_id", _string(36), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)


def _queues_and_priorities(connection: sa.Connection) -> None:
    """Version 1, of SQLite alone, had jobs without a queue and a priority, and workers that did not say where."""
    for column in (
        "milepost_jobs ADD COLUMN queue VARCHAR(100) NOT NULL DEFAULT 'default'",
        "milepost_jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
        "milepost_workers ADD COLUMN queues TEXT",
        "milepost_workers ADD COLUMN host VARCHAR(300)",
        "milepost_workers ADD COLUMN pid INTEGER",
    ):
        connection.exec_driver_sql(f"ALTER TABLE {column}")
    for index in (BY_KEY, TO_CLAIM, TO_CLAIM_BY_QUEUE):
        index.drop(connection, checkfirst=True)
        index.create(connection)


def _tokens_and_webhooks(connection: sa.Connection) -> None:
    for table in (tokens, webhooks):
        table.create(connection)


def _observers(connection: sa.Connection) -> None:
    for table in OBSERVER_TABLES:
        table.create(connection)


def _audit(connection: sa.Connection) -> None:
    """What was there before there were chains is chained as it is found."""
    from milepost.infrastructure.audit import chaining

    chaining.add(connection)
    tombstones.create(connection)
    retention.create(connection)
    COMMANDS_BY_JOB.create(connection)


MIGRATIONS: Final[Mapping[int, Callable[[sa.Connection], None]]] = {
    1: _queues_and_priorities,
    2: _tokens_and_webhooks,
    3: _observers,
    4: _audit,
}  # from n to n + 1


def prepare(database: Database) -> bool:
    """Create or migrate the tables: whether there were none. Raises CannotOpenDatabase for a newer Milepost's."""
    if version_of(database) == VERSION:
        return False
    with database.write() as connection:  # looks again: another process may have been faster
        return _migrate(connection, database)


def try_to_write(connection: sa.Connection) -> None:
    """Change nothing, but need every right that writing needs."""
    for table in (*metadata.tables, EVENTS_TABLE):
        connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0")


def version_of(database: Database) -> int | None:
    """The version of the tables; None where there are none."""
    with database.read() as connection:
        return _version(connection, database)


def _version(connection: sa.Connection, database: Database) -> int | None:
    if not sa.inspect(connection).has_table(schema.name, schema=database.schema):
        return None
    return connection.scalar(sa.select(sa.func.max(schema.c.version))) or 0


def _migrate(connection: sa.Connection, database: Database) -> bool:
    url, version = database.url, _version(connection, database)
    made = version is None
    if version is None:
        _create(connection, database)
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
    return made


def _create(connection: sa.Connection, database: Database) -> None:
    # To make one needs a right that the owner of one that is there may lack.
    if database.schema is not None and not sa.inspect(connection).has_schema(database.schema):
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {database.schema}")
    there = sa.inspect(connection).get_table_names(schema=database.schema)
    if taken := sorted({*metadata.tables, EVENTS_TABLE} & set(there)):
        cause = f"it has tables of that name already, and no {schema.name}: {', '.join(taken)}"
        raise CannotOpenDatabase(database.url, cause)
    metadata.create_all(connection, checkfirst=False)
    # Here, because nothing else needs the library, and a listing should not wait for it to be imported.
    if database.schema is None:
        from milepost.infrastructure.event_store.recorder import create_events_table

        create_events_table(connection)
    else:
        from milepost.infrastructure.event_store import postgres_append

        postgres_append.create_events_table(connection, database.schema)
        postgres_append.create_append(connection, database.schema)
    connection.execute(schema.insert().values(version=VERSION))
