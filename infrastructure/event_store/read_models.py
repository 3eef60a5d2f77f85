"""What the read models hold of a job: pure functions from the fold to rows."""

import json
from datetime import datetime
from typing import Any

from milepost.domain.events import ErrorDetail
from milepost.domain.job import Job, Step
from milepost.domain.state_machine import StepStatus

Row = dict[str, Any]


def job_row(job: Job) -> Row:
    """The row of `milepost_jobs`."""
    facts = job.facts
    return {
        "id": str(job.id),
        "namespace": facts.namespace,
        "type": facts.job_type,
        "status": str(job.status),
        "version": job.version,
        "key": facts.key,
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
        "error": _error(job.error),
    }


def step_row(job_id: str, step: Step) -> Row:
    """The row of `milepost_steps`."""
    return {
        "job_id": job_id,
        "step": step.index,
        "name": step.name,
        "arguments": json.dumps(step.arguments) if step.arguments else "{}",
        "status": step.status.value,
        "attempt": step.attempt,
        "progress": step.progress.model_dump_json() if step.progress else None,
        "errors": (
            json.dumps([{"attempt": n, **error.model_dump()} for n, error in step.errors]) if step.errors else None
        ),
        "started_at": _time(step.started_at),
        "ended_at": _time(step.ended_at),
        "seconds": step.seconds,
        "retry_at": _time(step.retry_at),
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="microseconds") if at else None


def _error(error: ErrorDetail | None) -> str | None:
    return error.model_dump_json() if error else None
