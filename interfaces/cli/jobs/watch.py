"""`milepost jobs watch`: see a job, or all that are not at rest, as they go on."""

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.interfaces.bootstrap import JobFilter, JobPage
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.job_columns import job_columns
from milepost.interfaces.cli.jobs.list import job_documents, short_ids
from milepost.interfaces.cli.jobs.live import Show, progress_shown, progress_text
from milepost.interfaces.cli.jobs.wait import wait_result
from milepost.interfaces.cli.jobs.waiting import at_rest, looks, rows_of
from milepost.interfaces.cli.output import console, json_text, table
from milepost.interfaces.cli.session import Session
from milepost.interfaces.documents import to_json
from milepost.interfaces.error_mapping import OUTCOMES
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.read_documents import job_document

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Row

app = new_app()

SHOWN: Final = 50
PAUSE_SECONDS: Final = 0.1  # between two looks at everything
UNDER_WAY: Final = JobFilter(live=True)


@command(app, "watch")
def watch_jobs(
    session: Session,
    job: Annotated[
        str | None,
        typer.Argument(
            help="A job's id, or the beginning of one; none: all jobs that are not at rest.",
            metavar="ID",
            autocompletion=completion.job_ids,
        ),
    ] = None,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit as 'jobs wait' does, by how the job ended.")
    ] = False,
) -> None:
    """Watch a job until it is at rest, or all jobs that are not until Ctrl-C."""
    if session.given.output is None and session.format is Format.JSON:
        session.format = Format.PLAIN  # nobody asked for JSON: in a pipe, lines
    if job is None:
        _watch_all(session)
        return
    job_id = session.app.queries.resolve(session.namespace, job)
    row = _watch(session, job_id)
    if not session.format.is_json and not session.quiet:
        session.out.line(wait_result(row).message)
    if exit_status:
        raise typer.Exit(OUTCOMES[row["status"]])


def _watch(session: Session, job_id: str) -> "Row":
    if session.format.is_json:
        return _until_rest(session, job_id, lambda row: _document_line(session, job_document(row, session.app.now())))
    with progress_shown(session, stderr=False) as show:
        return _until_rest(session, job_id, show)


def _until_rest(session: Session, job_id: str, show: Show) -> "Row":
    version = 0

    def shown(row: "Row") -> "Row":
        nonlocal version
        if row["version"] != version or session.format is Format.TABLE:
            show(row)
        version = row["version"]
        return row

    return next(row for row in map(shown, rows_of(session, job_id)) if at_rest(row))


def _document_line(session: Session, job: JobDocument) -> None:
    session.out.line(json_text(to_json(job)))
    sys.stdout.flush()


def _watch_all(session: Session) -> None:
    """Ends only by Ctrl-C."""
    if session.format is Format.TABLE:
        _draw_all(session)
    seen: dict[str, int] = {}

    def present() -> "list[Row]":
        """What is under way, and what was when it was last looked."""
        rows = {row["id"]: row for row in _under_way(session).rows}
        for job_id in seen.keys() - rows.keys():
            rows[job_id] = session.app.queries.job(session.namespace, job_id)
        return sorted(rows.values(), key=lambda row: str(row["id"]))

    for rows in looks(session, present, pause_seconds=PAUSE_SECONDS):
        for row in rows:
            if seen.get(row["id"]) != row["version"]:
                _line(session, job_document(row, session.app.now()))
        seen = {row["id"]: row["version"] for row in rows if not at_rest(row)}


def _under_way(session: Session) -> JobPage:
    return session.app.queries.page(session.namespace, UNDER_WAY, limit=SHOWN)


def _line(session: Session, job: JobDocument) -> None:
    if session.quiet:
        session.out.line(job.id)
    elif session.format.is_json:
        _document_line(session, job)
    else:
        session.out.line(f"{job.id} {progress_text(job)}")
    sys.stdout.flush()


def _draw_all(session: Session) -> None:
    from rich.live import Live
    from rich.text import Text

    def present() -> "tuple[list[JobDocument], dict[str, str]]":
        jobs = job_documents(session, _under_way(session))
        return jobs, short_ids(session, jobs)

    with Live(console=console(), auto_refresh=False) as live:
        for jobs, short in looks(session, present, pause_seconds=PAUSE_SECONDS):
            drawn = table(jobs, job_columns(short))
            live.update(drawn if jobs else Text("No job is under way. Ctrl-C ends.", style="dim"), refresh=True)
