"""What steps reached in transactions of their own: kept beside their rows until the next event of the step tells it."""

from uuid import UUID

import sqlalchemy as sa

from milepost.domain.events import Progress
from milepost.domain.job import Job
from milepost.domain.state_machine import StepStatus
from milepost.infrastructure.event_store.schema import checkpoints, jobs


def save_checkpoint(
    connection: sa.Connection, job_id: UUID, step: int, attempt: int, progress: Progress, schema: str | None
) -> None:
    """In the caller's transaction, so that it is there if and only if the step's own rows are."""
    row = {"job_id": str(job_id), "step": step, "attempt": attempt, "progress": progress.model_dump_json()}
    known = sa.and_(checkpoints.c.job_id == str(job_id), checkpoints.c.step == step)
    for statement in (checkpoints.delete().where(known), checkpoints.insert().values(row)):
        connection.execute(statement, execution_options={"schema_translate_map": {None: schema}})


def committed_checkpoint(connection: sa.Connection, job_id: UUID, step: int) -> Progress | None:
    """What one step last committed, in whichever attempt."""
    found: str | None = connection.scalar(
        sa.select(checkpoints.c.progress).where(checkpoints.c.job_id == str(job_id), checkpoints.c.step == step)
    )
    return Progress.model_validate_json(found) if found else None


def hold_back_steps(connection: sa.Connection, job: Job) -> None:
    """Until this write transaction ends none of the job's steps commits one of its own; see StepTransactions."""
    if job.in_flight:
        connection.execute(sa.select(jobs.c.id).where(jobs.c.id == str(job.id)).with_for_update())


def checkpoints_of(connection: sa.Connection, job: Job) -> dict[int, Progress]:
    """What the attempts that still run reached, by step; those of earlier attempts are in the history already."""
    if job.in_flight == 0:
        return {}
    rows = connection.execute(
        sa.select(checkpoints.c.step, checkpoints.c.attempt, checkpoints.c.progress).where(
            checkpoints.c.job_id == str(job.id)
        )
    )
    return {row.step: Progress.model_validate_json(row.progress) for row in rows if _runs(job, row.step, row.attempt)}


def _runs(job: Job, index: int, attempt: int) -> bool:
    step = job.steps.get(index)
    return step is not None and step.status is StepStatus.RUNNING and step.attempt == attempt
