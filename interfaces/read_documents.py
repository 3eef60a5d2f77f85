"""From rows of the read models to documents."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from milepost.interfaces.job_documents import (
    AsOf,
    ErrorDocument,
    JobDocument,
    JobProgress,
    StatusChange,
    StepDocument,
    StepProgress,
)

Row = Mapping[str, Any]
COMPLETED: Final = frozenset({"CompletedSuccessfully", "CompletedWithFailures"})


def as_of(version: int, at: datetime) -> AsOf:
    """The moment of its past that the document of a job shows."""
    return AsOf(version, at.isoformat(timespec="microseconds"))


def job_document(
    row: Row,
    now: datetime,
    *,
    changes: Sequence[Row] = (),
    waiting: str | None = None,
    held_by: str | None = None,
    steps: list[StepDocument] | None = None,
    next_steps_after: int | None = None,
    as_of: AsOf | None = None,
) -> JobDocument:
    """The job of this row; its rates are those at the time `now`."""
    error = json.loads(row["error"]) if row["error"] else None
    return JobDocument(
        id=row["id"],
        namespace=row["namespace"],
        type=row["type"],
        details=row["details"],
        status=row["status"],
        version=row["version"],
        created=row["created_at"],
        ended=row["ended_at"],
        request=json.loads(row["request"]),
        tags=json.loads(row["tags"]),
        key=row["key"],
        queue=row["queue"],
        priority=row["priority"],
        worker=row["worker"],
        waiting=waiting,
        held_by=held_by,
        error=error_document(error) if error else None,
        progress=job_progress(row, now, waiting),
        status_changes=[status_change(change) for change in changes],
        steps=steps,
        next_steps_after=next_steps_after,
        as_of=as_of,
    )


def job_progress(row: Row, now: datetime, waiting: str | None = None) -> JobProgress:
    """The counters of the row, and the rates since its present worker began."""
    ended = row["succeeded"] + row["failed"]
    total = row["total"]
    # A job that nobody works on has no rate, and nobody knows when it will be done.
    items_rate, steps_rate, eta = (None, None, None) if waiting else _rates(row, ended, now)
    return JobProgress(
        total_steps=total,
        successful_steps=row["succeeded"],
        failed_steps=row["failed"],
        stopped_steps=row["stopped"],
        running_steps=row["running"],
        pending_steps=row["pending"],
        waiting_steps=row["waiting"],
        cancelled_steps=row["cancelled"],
        is_completed=row["status"] in COMPLETED,
        is_stopped=row["status"] == "Stopped",
        message=_message(row, waiting),
        percentage=round(100 * ended / total, 1) if total else (100.0 if row["status"] in COMPLETED else 0.0),
        items_done=row["items"],
        unit=row["unit"],
        items_per_second=items_rate,
        steps_per_second=steps_rate,
        eta_seconds=eta,
    )


def step_document(row: Row, job_type: str) -> StepDocument:
    """The step of this row."""
    progress: dict[str, Any] = json.loads(row["progress"] or "{}")
    errors = [error_document(error) for error in json.loads(row["errors"] or "[]")]
    return StepDocument(
        id=f"{row['job_id']}/{row['step']}",
        index=row["step"],
        type=job_type,
        name=row["name"],
        status=row["status"],
        progress=step_progress(progress),
        attempts=row["attempt"],
        error=errors[-1] if errors else None,
        errors=errors,
        checkpoint=progress.get("checkpoint"),
        arguments=json.loads(row["arguments"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        seconds=row["seconds"],
        retry_at=row["retry_at"],
    )


def step_progress(progress: Mapping[str, Any]) -> StepProgress:
    done, total = progress.get("done", 0), progress.get("total")
    return StepProgress(
        done=done,
        total=total,
        unit=progress.get("unit", ""),
        message=progress.get("message", ""),
        percentage=round(100 * done / total, 1) if total else None,
    )


def error_document(error: Mapping[str, Any]) -> ErrorDocument:
    return ErrorDocument(
        type=error["type"],
        message=error["message"],
        traceback=error.get("traceback", ""),
        causes=list(error.get("causes", ())),
        cut=error.get("cut", False),
        attempt=error.get("attempt"),
    )


def status_change(row: Row) -> StatusChange:
    return StatusChange(
        status=row["status"],
        occurred=row["occurred"],
        version=row["version"],
        actor=row["actor"],
        source=row["source"],
        reason=row["reason"],
    )


def _rates(row: Row, ended: int, now: datetime) -> tuple[float | None, float | None, float | None]:
    if row["status"] not in ("Running", "Stopping") or not row["running_since"]:
        return None, None, None
    seconds = (now - datetime.fromisoformat(row["running_since"])).total_seconds()
    if seconds <= 0:
        return None, None, None
    steps_rate = (ended - row["ended_before"]) / seconds
    left = row["total"] - ended
    eta = round(left / steps_rate, 1) if steps_rate > 0 and row["status"] == "Running" else None
    return _rounded((row["items"] - row["items_before"]) / seconds), _rounded(steps_rate), eta


def _rounded(rate: float) -> float:
    return round(rate, 1 if rate >= 10 else 3)


def _message(row: Row, waiting: str | None) -> str:
    if waiting:
        return f"Waiting: {waiting}"
    if row["error"]:
        return str(json.loads(row["error"])["message"])
    if row["failed"]:
        return f"{row['failed']} of {row['total']} steps failed"
    return ""
