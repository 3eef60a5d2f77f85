"""SQLite's append: the events, and the rows that follow from them, inside a write transaction."""

from typing import Final

import sqlalchemy as sa

from milepost.infrastructure.audit.chain import GENESIS, links
from milepost.infrastructure.event_store import tombstones
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.codec import EventRow
from milepost.infrastructure.event_store.read_models import insert, update_step, upsert
from milepost.infrastructure.event_store.schema import (
    EVENTS_TABLE,
    checkpoints,
    jobs,
    leases,
    refusals,
    status_changes,
    steps,
)
from milepost.infrastructure.event_store.streams import StreamMoved

_INSERT_EVENTS: Final = f"INSERT INTO {EVENTS_TABLE} VALUES (?,?,?,?,?)"
_NEWEST_LINK: Final = f"SELECT chain FROM {EVENTS_TABLE} WHERE originator_id=? AND originator_version=?"


def append(connection: sa.Connection, batch: Batch, events: list[EventRow], rests: bool, ends: bool) -> None:
    """Write a batch. Raises IntegrityError when one of its versions is taken, StreamMoved where the job was pruned."""
    connection.exec_driver_sql(_INSERT_EVENTS, _chained(connection, batch, events))
    job_id = str(batch.after.id)
    if batch.resets_steps:
        connection.execute(steps.delete().where(steps.c.job_id == job_id))
    connection.exec_driver_sql(upsert(jobs, "sqlite"), tuple(batch.job_row().values()))
    if rows := batch.planned_steps():
        connection.exec_driver_sql(upsert(steps, "sqlite"), rows)
    if rows := batch.changed_steps():
        connection.exec_driver_sql(update_step(), rows)
    if changes := batch.status_rows():
        connection.exec_driver_sql(insert(status_changes, "sqlite"), [tuple(row.values()) for row in changes])
    if rests:
        connection.execute(leases.delete().where(leases.c.job_id == job_id))
    if ends:
        connection.execute(checkpoints.delete().where(checkpoints.c.job_id == job_id))
        connection.execute(refusals.delete().where(refusals.c.job_id == job_id))


def _chained(
    connection: sa.Connection, batch: Batch, events: list[EventRow]
) -> list[tuple[str, int, str, bytes, bytes]]:
    """With their links. What stands before them cannot change any more: the transaction has the write lock."""
    job_id, version = batch.before.id, batch.before.version
    newest: bytes | None = None
    if version:
        row = connection.exec_driver_sql(_NEWEST_LINK, (job_id.hex, version)).one_or_none()
        if row is None and tombstones.find(connection, job_id) is not None:
            raise StreamMoved(job_id, version)  # of a worker that was frozen until its job was over and pruned
        newest = None if row is None else row[0]
    # Where the event before is gone, somebody has taken it out: the gap is for `audit verify` to tell.
    made = links(newest or GENESIS, job_id, (event[1:] for event in events))
    return [(*event, link) for event, link in zip(events, made, strict=True)]
