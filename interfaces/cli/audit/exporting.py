"""`milepost audit export`: the histories of jobs in a file that proves itself whole."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from milepost.interfaces.audit_documents import ExportResult
from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.cli.audit.files import Force
from milepost.interfaces.cli.audit.progress_line import ProgressLine
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.filters import JobIds, Since, Statuses, Tags, Types, Until, job_filter
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import INVALID, SERVER_ERROR, Problem, Told
from milepost.interfaces.quantities import counted

app = new_app()

COLUMNS: Final[tuple[Column[ExportResult], ...]] = (
    Column("File", lambda each: each.file),
    Column("Namespace", lambda each: each.namespace),
    Column("Jobs", lambda each: each.jobs, right=True),
    Column("Events", lambda each: each.events, right=True),
    Column("Sha256", lambda each: each.sha256),
)


@command(app, "export")
def export_histories(
    session: Session,
    *,
    jobs: JobIds = None,
    file: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE")],
    status: Statuses = None,
    type: Types = None,  # noqa: A002 - the option's name
    tag: Tags = None,
    since: Since = None,
    until: Until = None,
    all: Annotated[bool, typer.Option("--all", help="All jobs of the namespace.")] = False,  # noqa: A002
    force: Force = False,
) -> None:
    """Write the histories of jobs, also of removed ones, to a file: every event as it is stored, with its link."""
    from milepost.interfaces.audit_service import AuditService

    session.only_here()
    meant = _meant(session, jobs, job_filter(status, type, tag, since, until), everything=all)
    with ProgressLine(session) as line:
        progress = line.counting("Exported")
        done = AuditService(session.app).export(file, meant, replace=force, progress=progress)
    session.out.said([done], COLUMNS, lambda each: each.file, _said)
    for each in done.broken:
        told = f"The chain of job {each.id} does not hold: its event {each.version} does not follow from the one before"
        session.fail(Problem(SERVER_ERROR, told, "It was exported as it is stored; it cannot be imported"))


def _meant(
    session: Session, ids: Sequence[str] | None, meant: JobFilter, *, everything: bool
) -> JobFilter | Sequence[str]:
    filtered = everything or meant != JobFilter()
    if ids and filtered:
        raise Told(INVALID, "Give ids or a filter, not both", "Leave out one of them")
    if ids:
        return [session.local.resolve(each) for each in ids]
    if not filtered:
        message = "Which jobs? There is no id and no filter to export by"
        raise Told(INVALID, message, "Give ids, or --status, --type, --tag, --since, --until or --all")
    return meant if meant.statuses else replace(meant, statuses=_all_statuses())


def _all_statuses() -> tuple[str, ...]:
    """A list leaves removed jobs out; their histories are there to be audited."""
    from milepost.domain.state_machine import JobStatus

    return tuple(status.value for status in JobStatus)


def _said(done: ExportResult) -> str:
    what = f"{counted(done.jobs, 'job')} with {counted(done.events, 'event')}"
    return f"Exported {what} to {done.file}. SHA-256 {done.sha256}"
