"""Which jobs had something recorded since a time: by the newest event of each, or because its row knows of more."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.audit.side_by_side import Cursors, Rows, bare, dashed, is_id
from milepost.infrastructure.event_store.all_streams import mark
from milepost.infrastructure.event_store.codec import UnreadableEvent, decode
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs, status_changes, steps

JOBS_OF_A_READ: Final = 10_000

_NEWEST: Final = f"SELECT originator_id, max(originator_version) FROM {EVENTS_TABLE}"
_EVENT: Final = f"SELECT topic, state FROM {EVENTS_TABLE} WHERE originator_id = ? AND originator_version = ?"


def newest_since(database: Database, at: datetime) -> Iterator[str]:
    """The ids of those jobs in their order, with those of which there are rows and no events."""
    after: str | None = ""
    while after is not None:
        found, after = _part(database, after, at)
        yield from found


def _part(database: Database, after: str, at: datetime) -> tuple[list[str], str | None]:
    found: list[str] = []
    with database.read() as connection, Cursors(connection) as cursors:
        tables = _tables(cursors, after)
        events = tables[0]
        jobs_seen = 0
        while jobs_seen < JOBS_OF_A_READ or not is_id(after):  # a server would refuse to go on behind what is no id
            jobs_seen += 1
            job_id = min((rows.next[0] for rows in tables if rows.next is not None), default=None)
            if job_id is None:
                return found, None
            newest = next((row[1] for row in events.of(job_id)), None)
            shown = next((row[1] for row in tables[1].of(job_id)), newest)
            # A row that says another number may know of newer events, which somebody has removed.
            if newest is None or shown != newest or _is_since(connection, job_id, newest, at):
                found.append(job_id)
            for rows in tables[2:]:
                for _row in rows.of(job_id):
                    pass
            after = job_id
    return found, after


def _tables(cursors: Cursors, after: str) -> list[Rows]:
    begin = (bare(after),) if after else ()
    of_events = f"{_NEWEST}{' WHERE originator_id > ?' if after else ''} GROUP BY originator_id ORDER BY originator_id"
    newest = ((dashed(bare(str(row[0]))), row[1]) for row in cursors.rows(of_events, begin))
    return [Rows(newest), *(Rows(_ids(cursors, table, after)) for table in (jobs, steps, status_changes))]


def _ids(cursors: Cursors, table: sa.Table, after: str) -> Iterator[tuple[Any, ...]]:
    job = next(iter(table.primary_key.columns)).name
    where = f" WHERE {job} > ?" if after else ""
    asked = f"SELECT {'id, version' if table is jobs else f'DISTINCT {job}'} FROM {table.name}{where} ORDER BY {job}"
    rows = cursors.rows(asked, (after,) if after else ())
    return (row for row in rows if isinstance(row[0], str))  # SQLite lets it be anything


def _is_since(connection: sa.Connection, job_id: str, version: int, at: datetime) -> bool:
    """One that cannot be read is looked at: it may be anything."""
    rows = connection.exec_driver_sql(_EVENT.replace("?", mark(connection)), (bare(job_id), version))
    try:
        return all(
            not isinstance(state, bytes) or decode(UUID(job_id), version, topic, state).recorded_at >= at
            for topic, state in rows
        )
    except (UnreadableEvent, ValueError, TypeError):
        return True
