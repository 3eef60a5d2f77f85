"""What the read models must hold, computed from histories alone; and what they hold."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.events import JobEvent, StepStarted
from milepost.domain.job import Job, evolve
from milepost.domain.state_machine import StepStatus
from milepost.infrastructure.event_store.read_models import job_row, status_row, step_row
from milepost.infrastructure.event_store.schema import jobs, status_changes, steps
from milepost.infrastructure.event_store.store import JobStore

Rows = dict[str, list[dict[str, Any]]]


def kept(store: JobStore) -> Rows:
    with store.database.read() as connection:
        return {
            table.name: [
                dict(row)
                for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in (jobs, steps, status_changes)
        }


def folded(store: JobStore) -> tuple[Rows, dict[UUID, Job]]:
    """From the events alone: no snapshot, no row."""
    with store.database.read() as connection:
        ids = connection.exec_driver_sql("SELECT DISTINCT originator_id FROM milepost_events ORDER BY 1").scalars()
        streams = [UUID(str(text)) for text in ids]
    rows: Rows = {jobs.name: [], steps.name: [], status_changes.name: []}
    folds: dict[UUID, Job] = {}
    for job_id in streams:
        job = Job(job_id)
        for recorded in store.history(job_id):
            before, job = job, evolve(job, recorded)
            if job.status is not before.status:
                rows[status_changes.name].append(status_row(recorded, job.status))
            check_runs_again(before, recorded.event)
        rows[jobs.name].append(job_row(job))
        rows[steps.name].extend(step_row(str(job_id), job.steps[index]) for index in range(job.total))
        folds[job_id] = job
    return rows, folds


def check_runs_again(job: Job, event: JobEvent) -> None:
    if isinstance(event, StepStarted):
        assert job.steps[event.step].status is not StepStatus.SUCCEEDED, "a succeeded step runs again"
