"""Which jobs there were at a time, chosen by what is known of each without reading its history."""

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from milepost.domain.state_machine import LIVE
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.event_store.queries import ID_SLACK, REMOVED, JobPage, time_text, which_jobs
from milepost.infrastructure.event_store.schema import jobs, status_changes


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
    """The jobs that were there at that time and meant then, as `JobQueries.page`; the rows are those of today."""
    until = at if meant.until is None else min(at, meant.until)
    placed = replace(meant, until=until + ID_SLACK)  # by their ids; exactly by the condition below
    chosen = sa.select(jobs).where(
        *which_jobs(namespace, placed), jobs.c.created_at <= time_text(at), *_statuses(meant, at)
    )
    if meant.until is not None:
        chosen = chosen.where(jobs.c.created_at < time_text(meant.until))
    if after is not None:
        chosen = chosen.where(jobs.c.id > after if oldest_first else jobs.c.id < after)
    chosen = chosen.order_by(jobs.c.id if oldest_first else jobs.c.id.desc()).limit(limit + 1)
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(chosen).mappings()]
    return JobPage(tuple(rows[:limit]), len(rows) > limit)


def _statuses(meant: JobFilter, at: datetime) -> list[sa.ColumnElement[bool]]:
    """What their status was then: that of the newest change until then."""
    then = (
        sa.select(status_changes.c.status)
        .where(status_changes.c.job_id == jobs.c.id, status_changes.c.occurred <= time_text(at))
        .order_by(status_changes.c.version.desc())
        .limit(1)
        .scalar_subquery()
    )
    found = [then.in_(meant.statuses) if meant.statuses else then != REMOVED]
    return [*found, then.in_([str(each) for each in LIVE])] if meant.live else found
