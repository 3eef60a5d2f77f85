"""Reads what explains a job, and no more: few of its events, found from the end and by its changes of status.

A job of 100,000 steps has hundreds of thousands of events, of which a dozen say why it is as it is.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.domain.why.seen import Failure, Lease, Rates, Seen, StepSeen
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.lease_time import lease_holds
from milepost.infrastructure.event_store.newest_events import NewestEvents
from milepost.infrastructure.event_store.queries import JobQueries, Row
from milepost.infrastructure.event_store.schema import jobs, leases, steps, workers

STEPS_LOOKED_AT: Final = 3
PEERS: Final = 10
PEERS_LOOKED_AT: Final = 200  # there may be very many that did not complete


class Explaining:
    """What is known of one job that can explain it."""

    def __init__(self, database: Database, queries: JobQueries) -> None:
        self._database = database
        self._queries = queries

    def seen(self, row: Row, now: datetime, in_code: str) -> Seen:
        """`row`: the job's. `in_code`: the method of its type that is under way, if any. Raises UnreadableEvent."""
        live, runs = bool(row["live"]), row["status"] == JobStatus.RUNNING
        with self._database.read() as connection:
            stream = NewestEvents(connection, row)
            story = stream.story()
            failures = _failures(connection, stream, row)
            tail = stream.tail() if live and row["running"] else ()
            at_work = _at_work(connection, row, tail) if live and row["running"] else []
            peers = _peers(connection, row) if runs else ()
            lease = _lease(connection, row, now) if live else None
            names = _names(connection, row["id"], story)
        return Seen(
            id=row["id"],
            type=row["type"],
            status=JobStatus(row["status"]),
            version=row["version"],
            now=now,
            story=story,
            total=row["total"],
            succeeded=row["succeeded"],
            failed=row["failed"],
            running=row["running"],
            waiting=row["waiting"],
            items=row["items"],
            unit=row["unit"],
            items_before=row["items_before"],
            ended_before=row["ended_before"],
            planned=bool(row["planned"]),
            running_since=_time(row["running_since"]),
            advanced_at=_time(row["advanced_at"]),
            queue=row["queue"],
            at_work=tuple(_step(each) for each in at_work),
            failures=failures,
            waits=self._queries.waits([row], now).get(row["id"]),
            lease=lease,
            in_code=in_code,
            tail=tail,
            peers=peers,
            names=names,
        )


def _failures(connection: sa.Connection, stream: NewestEvents, row: Row) -> tuple[Failure, ...]:
    """Of steps that failed for good the newest, of those that wait the ones that are tried soonest; oldest first."""
    # Looked for among all steps, so only where they explain something: those of a job that goes on do not.
    ended = not row["live"] and row["status"] not in (JobStatus.STOPPED, JobStatus.CANCELLED)
    waits = row["status"] == JobStatus.RUNNING and row["waiting"] and not row["running"]
    failed = _steps(connection, row["id"], "Failed", steps.c.ended_at.desc()) if row["failed"] and ended else []
    waiting = _steps(connection, row["id"], "Waiting", steps.c.retry_at) if waits else []
    found = [_failure(stream, each) for each in [*failed, *waiting] if each["errors"]]
    return tuple(sorted(found, key=lambda each: each.at))


def _failure(stream: NewestEvents, step: Row) -> Failure:
    error: dict[str, Any] = json.loads(step["errors"])[-1]
    attempt = int(error.pop("attempt"))
    at = datetime.fromisoformat(step["ended_at"])
    recorded = stream.failure(step["step"], at)
    return Failure(
        step["step"],
        step["name"],
        attempt,
        e.ErrorDetail.model_validate(error),
        at,
        recorded.version if recorded else None,
        recorded.origin.actor if recorded else "",
        _time(step["retry_at"]),
    )


def _at_work(connection: sa.Connection, row: Row, tail: Sequence[RecordedEvent]) -> list[Row]:
    """Some of the steps that run: those that the newest events are about, for no index leads to the others."""
    begun = {step for each in tail if (step := getattr(each.event, "step", None)) is not None}
    chosen = sa.select(steps).where(
        steps.c.job_id == row["id"], steps.c.step.in_(begun), steps.c.status == StepStatus.RUNNING.value
    )
    found = connection.execute(chosen.order_by(steps.c.step).limit(STEPS_LOOKED_AT)).mappings()
    known: list[Row] = [dict(each) for each in found]
    if len(known) >= min(row["running"], STEPS_LOOKED_AT):
        return known
    return _steps(connection, row["id"], StepStatus.RUNNING.value, steps.c.step)


def _steps(connection: sa.Connection, job_id: str, status: str, order: Any) -> list[Row]:
    chosen = sa.select(steps).where(steps.c.job_id == job_id, steps.c.status == status)
    return [dict(each) for each in connection.execute(chosen.order_by(order).limit(STEPS_LOOKED_AT)).mappings()]


def _step(row: Row) -> StepSeen:
    progress: dict[str, Any] = json.loads(row["progress"] or "{}")
    return StepSeen(
        row["step"],
        row["name"],
        row["attempt"],
        progress.get("done", 0.0),
        progress.get("total"),
        progress.get("unit", ""),
        _time(row["started_at"]),
    )


def _names(connection: sa.Connection, job_id: str, story: Iterable[RecordedEvent]) -> dict[int, str]:
    meant = {step for each in story if (step := getattr(each.event, "step", None)) is not None}
    if not meant:
        return {}
    chosen = sa.select(steps.c.step, steps.c.name).where(steps.c.job_id == job_id, steps.c.step.in_(meant))
    return dict(connection.execute(chosen).all())


def _lease(connection: sa.Connection, row: Row, now: datetime) -> Lease | None:
    chosen = sa.select(leases, lease_holds(now.timestamp()).label("holds")).where(leases.c.job_id == row["id"])
    found = connection.execute(chosen).mappings().one_or_none()
    if found is None:
        return None if row["worker"] is None else Lease(row["worker"], holds=False)
    beat = connection.scalar(sa.select(workers.c.beat_at).where(workers.c.name == found["worker"]))
    given = found["expires_at"] - found["seconds"]
    return Lease(
        found["worker"],
        bool(found["holds"]),
        datetime.fromtimestamp(max(given, beat or 0.0), UTC),
        datetime.fromtimestamp(found["expires_at"], UTC),
    )


def _peers(connection: sa.Connection, row: Row) -> tuple[Rates, ...]:
    """How fast the newest jobs of its type went that completed, each since its last worker began."""
    done = ("CompletedSuccessfully", "CompletedWithFailures")
    newest = (
        sa.select(jobs.c.id)
        .where(jobs.c.namespace == row["namespace"], jobs.c.type == row["type"], jobs.c.id < row["id"])
        .order_by(jobs.c.id.desc())
        .limit(PEERS_LOOKED_AT)
    )
    chosen = (
        sa.select(jobs)
        .where(jobs.c.id.in_(newest.scalar_subquery()))
        .where(jobs.c.status.in_(done), jobs.c.running_since.is_not(None))
        .order_by(jobs.c.id.desc())
        .limit(PEERS)
    )
    found: list[Rates] = []
    for each in connection.execute(chosen).mappings():
        begin, end = datetime.fromisoformat(each["running_since"]), datetime.fromisoformat(each["ended_at"])
        if (seconds := (end - begin).total_seconds()) > 0:
            ended = each["succeeded"] + each["failed"] - each["ended_before"]
            found.append(Rates((each["items"] - each["items_before"]) / seconds, ended / seconds, each["unit"]))
    return tuple(found)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
