"""Which jobs there were at a time, chosen by what is known of each without reading its history."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from milepost.domain.state_machine import LIVE, JobStatus
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.event_store.queries import ID_SLACK, REMOVED, JobPage, time_text, which_jobs
from milepost.infrastructure.event_store.schema import jobs, status_changes
from milepost.infrastructure.event_store.streams import CLOCK_SLACK

_FIRST: Final = datetime.min.replace(tzinfo=UTC)


def past_page(
    database: Database,
    namespace: str,
    meant: JobFilter,
    at: datetime,
    *,
    limit: int,
    after: str | None = None,
    oldest_first: bool = False,
) -> JobPage:
    """The jobs that were there at that time and perhaps meant then, as `JobQueries.page`; the rows are those of today.

    Whether one was, its fold tells: behind an event of a clock that was ahead, changes count later than they say.
    """
    until = at if meant.until is None else min(at, meant.until)
    placed = replace(meant, until=until + ID_SLACK)  # by their ids; exactly by the condition below
    chosen = sa.select(jobs).where(
        *which_jobs(namespace, placed), jobs.c.created_at <= time_text(at), _perhaps(meant, at)
    )
    if meant.until is not None:
        chosen = chosen.where(jobs.c.created_at < time_text(meant.until))
    if after is not None:
        chosen = chosen.where(jobs.c.id > after if oldest_first else jobs.c.id < after)
    chosen = chosen.order_by(jobs.c.id if oldest_first else jobs.c.id.desc()).limit(limit + 1)
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(chosen).mappings()]
    return JobPage(tuple(rows[:limit]), len(rows) > limit)


def was_meant(meant: JobFilter, status: str) -> bool:
    """By the status of then."""
    return (status in meant.statuses if meant.statuses else status != REMOVED) and (not meant.live or status in LIVE)


def _perhaps(meant: JobFilter, at: datetime) -> sa.ColumnElement[bool]:
    """By a change that was surely the newest then, or by any of those since."""
    statuses = [status for status in JobStatus if was_meant(meant, status)]
    of_job = sa.select(status_changes.c.status).where(status_changes.c.job_id == jobs.c.id)
    settled = time_text(at - CLOCK_SLACK) if at - _FIRST > CLOCK_SLACK else ""
    newest = of_job.where(status_changes.c.occurred <= settled).order_by(status_changes.c.version.desc()).limit(1)
    since = of_job.where(
        status_changes.c.occurred > settled,
        status_changes.c.occurred <= time_text(at),
        status_changes.c.status.in_(statuses),
    )
    return sa.or_(newest.scalar_subquery().in_(statuses), sa.exists(since))
