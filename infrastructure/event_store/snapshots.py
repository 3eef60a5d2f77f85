"""A long job's fold, kept so that it need not be folded from its first event again. A cache, never the truth.

Compact: a column per field of the steps, as JSON, deflated. See ADR/0005.
"""

import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from immutables import Map
from pydantic import BaseModel, ValidationError

from milepost.domain.events import ErrorDetail, JobStarted, Json, Progress
from milepost.domain.job import Job, Step
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import snapshots

FORMAT: Final = 1  # raise it when the fold or this document changes: snapshots of other formats are ignored
EVENTS_BETWEEN: Final = 20_000
_STATUSES: Final = tuple(StepStatus)
_NUMBERS: Final = {status: number for number, status in enumerate(_STATUSES)}


def snapshot_due(job: Job, last_snapshot_version: int) -> bool:
    """Whether it is time for one. Its cost grows with the steps, so the more steps, the more events between."""
    return job.version - last_snapshot_version >= max(EVENTS_BETWEEN, job.total // 2)


class _Steps(BaseModel):
    """The steps in the order of their indexes, a column per field; times and errors are rare or repeat."""

    names: list[str]
    arguments: list[dict[str, Json]]
    statuses: list[int]
    attempts: list[int]
    tries: list[int]
    crashes: list[int]
    seconds: list[float]
    progress: list[Progress | None]
    times: list[datetime]  # each once; the columns below say which, from 1; 0 is none
    started_at: list[int]
    ended_at: list[int]
    retry_at: list[int]
    errors: dict[int, list[tuple[int, ErrorDetail]]]


class State(BaseModel):
    """All of a job but its id and version."""

    status: JobStatus | None
    started: JobStarted | None
    created_at: datetime | None
    ended_at: datetime | None
    worker: str | None
    claim: int
    planned: bool
    prepared: bool
    has_cleanup: bool
    counts: dict[StepStatus, int]
    error: ErrorDetail | None
    correlation_id: str
    items: float
    unit: str
    running_since: datetime | None
    items_before: float
    ended_before: int
    advanced_at: datetime | None
    steps: _Steps


def take(database: Database, job: Job) -> None:
    """Keep the fold of a job as it is in the log; older snapshots of it go."""
    state = packed(job)  # before the lock is taken
    job_id = str(job.id)
    of_job = snapshots.c.job_id == job_id
    with database.write() as connection:
        if newest_version(connection, job.id) > job.version:
            return
        connection.execute(snapshots.delete().where(of_job, snapshots.c.version <= job.version))
        connection.execute(snapshots.insert().values(job_id=job_id, version=job.version, format=FORMAT, state=state))


def newest(connection: sa.Connection, job_id: UUID) -> Job | None:
    """The job as its newest usable snapshot has it; None where there is none."""
    newest_first = sa.select(snapshots.c.version, snapshots.c.state).order_by(snapshots.c.version.desc())
    found = connection.execute(newest_first.where(_usable(job_id)).limit(1)).one_or_none()
    if found is None:
        return None
    try:
        return unpacked(job_id, found.version, found.state)
    except (zlib.error, ValidationError, IndexError):  # a cache that cannot be read is no reason to fail
        return None


def newest_version(connection: sa.Connection, job_id: UUID) -> int:
    """Its version; 0 where there is none."""
    return connection.scalar(sa.select(sa.func.max(snapshots.c.version)).where(_usable(job_id))) or 0


def _usable(job_id: UUID) -> sa.ColumnElement[bool]:
    return sa.and_(snapshots.c.job_id == str(job_id), snapshots.c.format == FORMAT)


def packed(job: Job) -> bytes:
    """The job as bytes."""
    ordered = [job.steps[index] for index in range(job.total)]
    times: dict[datetime | None, int] = {None: 0}

    def numbers(at: Callable[[Step], datetime | None]) -> list[int]:
        return [times.setdefault(at(step), len(times)) for step in ordered]

    columns = _Steps.model_construct(
        names=[step.name for step in ordered],
        arguments=[step.arguments for step in ordered],
        statuses=[_NUMBERS[step.status] for step in ordered],
        attempts=[step.attempt for step in ordered],
        tries=[step.tries for step in ordered],
        crashes=[step.crashes for step in ordered],
        seconds=[step.seconds for step in ordered],
        progress=[step.progress for step in ordered],
        started_at=numbers(lambda step: step.started_at),
        ended_at=numbers(lambda step: step.ended_at),
        retry_at=numbers(lambda step: step.retry_at),
        times=[at for at in times if at is not None],
        errors={step.index: list(step.errors) for step in ordered if step.errors},
    )
    state = State.model_construct(
        status=job.status,
        started=job.started,
        created_at=job.created_at,
        ended_at=job.ended_at,
        worker=job.worker,
        claim=job.claim,
        planned=job.planned,
        prepared=job.prepared,
        has_cleanup=job.has_cleanup,
        counts=dict(job.counts),
        error=job.error,
        correlation_id=job.correlation_id,
        items=job.items,
        unit=job.unit,
        running_since=job.running_since,
        items_before=job.items_before,
        ended_before=job.ended_before,
        advanced_at=job.advanced_at,
        steps=columns,
    )
    return zlib.compress(state.model_dump_json().encode(), level=1)


def unpacked(job_id: UUID, version: int, packed_state: bytes) -> Job:
    """The job that `packed` was given."""
    state = State.model_validate_json(zlib.decompress(packed_state))
    return Job(
        id=job_id,
        version=version,
        status=state.status,
        started=state.started,
        created_at=state.created_at,
        ended_at=state.ended_at,
        worker=state.worker,
        claim=state.claim,
        planned=state.planned,
        prepared=state.prepared,
        has_cleanup=state.has_cleanup,
        steps=_steps(state.steps),
        counts=Map(state.counts),
        error=state.error,
        correlation_id=state.correlation_id,
        items=state.items,
        unit=state.unit,
        running_since=state.running_since,
        items_before=state.items_before,
        ended_before=state.ended_before,
        advanced_at=state.advanced_at,
    )


def _steps(columns: _Steps) -> Map[int, Step]:
    times = [None, *(at.replace(tzinfo=UTC) for at in columns.times)]
    steps = {
        index: Step(
            index,
            name,
            columns.arguments[index],
            _STATUSES[columns.statuses[index]],
            columns.attempts[index],
            columns.tries[index],
            columns.progress[index],
            tuple(columns.errors.get(index, ())),
            times[columns.started_at[index]],
            times[columns.ended_at[index]],
            columns.seconds[index],
            times[columns.retry_at[index]],
            columns.crashes[index],
        )
        for index, name in enumerate(columns.names)
    }
    return Map(steps)
