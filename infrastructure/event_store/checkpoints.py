"""What steps reached in transactions of their own: kept beside their rows until the next event of the step tells it."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from milepost.domain.events import Progress
from milepost.domain.job import Job
from milepost.domain.state_machine import StepStatus
from milepost.infrastructure.event_store.schema import checkpoints


def save_checkpoint(connection: sa.Connection, job_id: UUID, step: int, attempt: int, progress: Progress) -> None:
    """In the caller's transaction, so that it is there if and only if the step's own rows are."""
    row = {"job_id": str(job_id), "step": step, "attempt": attempt, "progress": progress.model_dump_json()}
    statement = insert(checkpoints).values(row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["job_id", "step"],
            set_={"attempt": statement.excluded.attempt, "progress": statement.excluded.progress},
        )
    )


def committed_checkpoint(connection: sa.Connection, job_id: UUID, step: int) -> Progress | None:
    """What one step last committed, in whichever attempt."""
    found: str | None = connection.scalar(
        sa.select(checkpoints.c.progress).where(checkpoints.c.job_id == str(job_id), checkpoints.c.step == step)
    )
    return Progress.model_validate_json(found) if found else None


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
