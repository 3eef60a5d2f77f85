"""`milepost jobs watch`: see a job, or all that are not at rest, as they go on."""

import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.job_columns import job_columns
from milepost.interfaces.cli.jobs.list import short_ids
from milepost.interfaces.cli.jobs.live import Show, progress_shown, progress_text
from milepost.interfaces.cli.jobs.wait import wait_result
from milepost.interfaces.cli.jobs.waiting import at_rest, looks, looks_at
from milepost.interfaces.cli.output import console, json_text, table
from milepost.interfaces.cli.session import Session
from milepost.interfaces.documents import to_json
from milepost.interfaces.error_mapping import OUTCOMES
from milepost.interfaces.job_documents import JobDocument

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
    job_id = session.service.resolve(job)
    watched = _watch(session, job_id)
    if not session.format.is_json and not session.quiet:
        session.out.line(wait_result(watched).message)
    if exit_status:
        raise typer.Exit(OUTCOMES[watched.status])


def _watch(session: Session, job_id: str) -> JobDocument:
    if session.format.is_json:
        return _until_rest(session, job_id, lambda job: _document_line(session, job))
    with progress_shown(session, stderr=False) as show:
        return _until_rest(session, job_id, show)


def _until_rest(session: Session, job_id: str, show: Show) -> JobDocument:
    version = 0

    def shown(job: JobDocument) -> JobDocument:
        nonlocal version
        if job.version != version or session.format is Format.TABLE:
            show(job)
        version = job.version
        return job

    return next(job for job in map(shown, looks_at(session, job_id)) if at_rest(job))


def _document_line(session: Session, job: JobDocument) -> None:
    session.out.line(json_text(to_json(job)))
    sys.stdout.flush()


def _watch_all(session: Session) -> None:
    """Ends only by Ctrl-C."""
    if session.format is Format.TABLE:
        _draw_all(session)
    seen: dict[str, int] = {}

    def present() -> list[JobDocument]:
        """What is under way, and what was when it was last looked."""
        jobs = {job.id: job for job in _under_way(session)}
        for job_id in seen.keys() - jobs.keys():
            jobs[job_id] = session.service.job(job_id)
        return sorted(jobs.values(), key=lambda job: job.id)

    for jobs in looks(session, present, pause_seconds=PAUSE_SECONDS):
        for job in jobs:
            if seen.get(job.id) != job.version:
                _line(session, job)
        seen = {job.id: job.version for job in jobs if not at_rest(job)}


def _under_way(session: Session) -> Sequence[JobDocument]:
    return session.service.jobs(UNDER_WAY, limit=SHOWN).jobs


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

    def present() -> tuple[Sequence[JobDocument], dict[str, str]]:
        jobs = _under_way(session)
        return jobs, short_ids(session, jobs)

    with Live(console=console(), auto_refresh=False) as live:
        for jobs, short in looks(session, present, pause_seconds=PAUSE_SECONDS):
            drawn = table(jobs, job_columns(short))
            live.update(drawn if jobs else Text("No job is under way. Ctrl-C ends.", style="dim"), refresh=True)
