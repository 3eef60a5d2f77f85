"""What the read models hold of a job: pure functions from the fold to rows, and the statements that keep them."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from milepost.domain.envelope import RecordedEvent
from milepost.domain.job import Job, Step
from milepost.domain.state_machine import LIVE, JobStatus, StepStatus
from milepost.infrastructure.event_store.schema import steps

Row = dict[str, Any]
Values = tuple[Any, ...]  # of a row, in the order of the table's columns

_PLANNED: Final = ("job_id", "step", "name", "arguments")  # what a step is; the rest is how it fares
FARING: Final = tuple(column.name for column in steps.c if column.name not in _PLANNED)


def job_row(job: Job) -> Row:
    """The row of `milepost_jobs`."""
    facts = job.facts
    return {
        "id": str(job.id),
        "namespace": facts.namespace,
        "type": facts.job_type,
        "status": str(job.status),
        "live": job.status in LIVE,
        "version": job.version,
        "key": facts.key,
        "limit_key": facts.limit_key,
        "details": facts.details,
        "tags": json.dumps(facts.tags),
        "request": json.dumps(facts.request),
        "created_at": _time(job.created_at),
        "ended_at": _time(job.ended_at),
        "worker": job.worker,
        "claim": job.claim,
        "planned": job.planned,
        "total": job.total,
        **{status.lower(): job.count(status) for status in StepStatus},
        "items": job.items,
        "unit": job.unit,
        "running_since": _time(job.running_since),
        "items_before": job.items_before,
        "ended_before": job.ended_before,
        "advanced_at": _time(job.advanced_at),
        "error": job.error.model_dump_json() if job.error else None,
        "queue": facts.queue,
        "priority": facts.priority,
    }


def step_row(job_id: str, step: Step) -> Row:
    """The row of `milepost_steps`."""
    return dict(zip(steps.c.keys(), step_values(job_id, step), strict=True))


def step_values(job_id: str, step: Step) -> Values:
    """The same in the order of the columns."""
    arguments = json.dumps(step.arguments) if step.arguments else "{}"
    return (job_id, step.index, step.name, arguments, *_faring(step))


def step_changes(job_id: str, step: Step) -> Values:
    """For UPDATE_STEP: what changes in a step once it is planned, and then which step."""
    return (*_faring(step), job_id, step.index)


def _faring(step: Step) -> Values:
    return (
        step.status.value,
        step.attempt,
        step.progress.model_dump_json() if step.progress else None,
        json.dumps([{"attempt": n, **error.model_dump()} for n, error in step.errors]) if step.errors else None,
        _time(step.started_at),
        _time(step.ended_at),
        step.seconds,
        _time(step.retry_at),
    )


def status_row(recorded: RecordedEvent, status: JobStatus | None) -> Row:
    """The row of `milepost_status_changes` for an event that brought the job to `status`."""
    return {
        "job_id": str(recorded.job_id),
        "version": recorded.version,
        "status": str(status),
        "occurred": _time(recorded.recorded_at),
        "actor": recorded.origin.actor,
        "source": recorded.origin.source,
        "reason": recorded.origin.reason,
    }


@cache
def upsert(table: sa.Table, dialect: str) -> str:
    """SQL that writes whole rows; its parameters are a row's values in the order of the columns."""
    statement: Any = _insert(table, dialect)
    keys = [column.name for column in table.primary_key.columns]
    changed = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
    return _compiled(statement.on_conflict_do_update(index_elements=keys, set_=changed), table.c.keys(), dialect)


@cache
def insert(table: sa.Table, dialect: str) -> str:
    """The same for rows that cannot be there yet."""
    return _compiled(table.insert(), table.c.keys(), dialect)


@cache
def update_step() -> str:
    """SQL for `step_changes`: half of the cost of an upsert, and this is SQLite's hot path."""
    which = sa.and_(steps.c.job_id == sa.bindparam("of_job"), steps.c.step == sa.bindparam("of_step"))
    statement = steps.update().where(which).values({name: sa.bindparam(f"to_{name}") for name in FARING})
    return _compiled(statement, [f"to_{name}" for name in FARING] + ["of_job", "of_step"], "sqlite", columns=False)


def _insert(table: sa.Table, dialect: str) -> Any:
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # what is not used is not imported

    return postgresql.insert(table)


def _dialect(name: str) -> sa.Dialect:
    if name == "sqlite":
        return sqlite.dialect()
    from sqlalchemy.dialects.postgresql import psycopg

    return psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]


def _compiled(statement: sa.ClauseElement, parameters: Sequence[str], dialect: str, *, columns: bool = True) -> str:
    """The text of a statement, once for ever: SQLAlchemy's work per row would cost more than SQLite's."""
    compiled = statement.compile(dialect=_dialect(dialect), column_keys=list(parameters) if columns else None)
    assert isinstance(compiled, sa.sql.compiler.SQLCompiler)
    assert list(compiled.positiontup or ()) == list(parameters), compiled.positiontup
    return str(compiled)


@lru_cache(maxsize=1024)  # the events of one commit share theirs
def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="microseconds") if at else None
