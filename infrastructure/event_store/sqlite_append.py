"""SQLite's append: the events, and the rows that follow from them, inside a write transaction."""

from typing import Final

import sqlalchemy as sa

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

_INSERT_EVENTS: Final = f"INSERT INTO {EVENTS_TABLE} VALUES (?,?,?,?)"


def append(connection: sa.Connection, batch: Batch, events: list[EventRow], rests: bool, ends: bool) -> None:
    """Write a batch. Raises IntegrityError when one of its versions is taken."""
    connection.exec_driver_sql(_INSERT_EVENTS, events)
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
