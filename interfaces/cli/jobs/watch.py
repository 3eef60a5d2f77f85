"""`milepost jobs watch`: see a job, or all that are not at rest, as they go on."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.interfaces import bootstrap
from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.job_columns import job_columns
from milepost.interfaces.cli.jobs.list import job_documents, short_ids
from milepost.interfaces.cli.jobs.live import Show, progress_shown, progress_text
from milepost.interfaces.cli.jobs.wait import wait_result
from milepost.interfaces.cli.jobs.waiting import LISTEN_SECONDS, LOOK_SECONDS, at_rest, rows_of
from milepost.interfaces.cli.output import console, table
from milepost.interfaces.cli.session import Session
from milepost.interfaces.documents import to_json
from milepost.interfaces.error_mapping import OUTCOMES
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.read_documents import job_document

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Row

app = new_app()

LIVE: Final = ("Pending", "Preparing", "Running", "Stopping", "Cancelling")
SHOWN: Final = 50


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
        return _until_rest(session, job_id, lambda row: _document_line(session, job_document(row, bootstrap.now())))
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

    return next(row for row in map(shown, rows_of(session.app, job_id)) if at_rest(row))


def _document_line(session: Session, job: JobDocument) -> None:
    session.out.line(json.dumps(to_json(job), separators=(",", ":"), ensure_ascii=False))
    sys.stdout.flush()


def _watch_all(session: Session) -> None:
    """Ends only by Ctrl-C."""
    if session.format is Format.TABLE:
        _draw_all(session)
    seen: dict[str, int] = {}
    while True:
        marker, looked = session.app.database.change_marker(), time.monotonic()
        page = session.app.queries.page(session.namespace, JobFilter(statuses=LIVE), limit=SHOWN)
        present = {row["id"]: row for row in page.rows}
        for job_id in seen.keys() - present.keys():
            present[job_id] = session.app.queries.job(session.namespace, job_id)
        for row in sorted(present.values(), key=lambda row: str(row["id"])):
            if seen.get(row["id"]) != row["version"]:
                _line(session, job_document(row, bootstrap.now()))
        seen = {row["id"]: row["version"] for row in present.values() if not at_rest(row)}
        _await_change(session, marker, looked)


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

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            marker, looked = session.app.database.change_marker(), time.monotonic()
            page = session.app.queries.page(session.namespace, JobFilter(statuses=LIVE), limit=SHOWN)
            jobs = job_documents(session, page)
            drawn = table(jobs, job_columns(short_ids(session, jobs)))
            live.update(drawn if jobs else Text("No job is under way. Ctrl-C ends.", style="dim"), refresh=True)
            _await_change(session, marker, looked)


def _await_change(session: Session, marker: int, looked: float) -> None:
    time.sleep(5 * LISTEN_SECONDS)
    while session.app.database.change_marker() == marker and time.monotonic() < looked + LOOK_SECONDS:
        time.sleep(LISTEN_SECONDS)
