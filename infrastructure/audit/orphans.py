"""Rows of steps and of changes whose job has neither a row nor an event: nobody sees them, and they are nobody's."""

from typing import Final

import sqlalchemy as sa

from milepost.infrastructure.audit.side_by_side import within
from milepost.infrastructure.event_store.all_streams import mark
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs, snapshots, status_changes, steps

ROWS_AT_ONCE: Final = 500
_EVENT_OF: Final = {
    "sqlite": (  # by the index, and only where the text is an id as rows have it
        f"SELECT 1 FROM {EVENTS_TABLE} e WHERE e.originator_id = replace(o.job_id, '-', '') AND o.job_id ="
        " substr(e.originator_id, 1, 8) || '-' || substr(e.originator_id, 9, 4)"
        " || '-' || substr(e.originator_id, 13, 4) || '-' || substr(e.originator_id, 17, 4)"
        " || '-' || substr(e.originator_id, 21)"
    ),
    "postgresql": (  # by the index, and whatever the text is
        f"SELECT 1 FROM {EVENTS_TABLE} e WHERE e.originator_id ="
        " CASE WHEN o.job_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN o.job_id::uuid END"
    ),
}


def remove_orphans(database: Database, after: str, until: str | None) -> int:
    """Those of that range of ids, a little at a time; how many that were. Raises DatabaseUnavailable."""
    return sum(_remove(database, table, after, until) for table in (steps, status_changes, snapshots))


def _remove(database: Database, table: sa.Table, after: str, until: str | None) -> int:
    removed = 0
    with database.read() as connection:
        found = connection.exec_driver_sql(*_orphans(connection, table, after, until)).scalars().all()
    for job_id in found:
        part = ROWS_AT_ONCE
        while part == ROWS_AT_ONCE:
            with database.write() as connection:
                # Looked for again: under the lock no job can begin.
                if connection.exec_driver_sql(*_orphans(connection, table, job_id, None, only=True)).first() is None:
                    break
                part = _delete(connection, table, job_id)
                removed += part
    return removed


def _orphans(
    connection: sa.Connection, table: sa.Table, job_id: str, until: str | None, *, only: bool = False
) -> tuple[str, tuple[str, ...]]:
    where, values = within("o.job_id", only=job_id) if only else within("o.job_id", after=job_id, until=until)
    asked = (
        f"SELECT DISTINCT o.job_id FROM {table.name} o{where}{' AND' if where else ' WHERE'}"
        f" NOT EXISTS (SELECT 1 FROM {jobs.name} j WHERE j.id = o.job_id)"
        f" AND NOT EXISTS ({_EVENT_OF[connection.dialect.name]})"
    )
    return asked.replace("?", mark(connection)), values


def _delete(connection: sa.Connection, table: sa.Table, job_id: str) -> int:
    key = table.primary_key.columns.values()[-1]
    some = sa.select(key).where(table.c.job_id == job_id).limit(ROWS_AT_ONCE)
    return connection.execute(table.delete().where(table.c.job_id == job_id, key.in_(some))).rowcount
