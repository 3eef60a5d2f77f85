"""`milepost jobs watch`: see a job, or all that are not at rest, as they go on."""

import sys
from dataclasses import replace
from typing import Annotated, Final

import typer

from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.jobs.board import screen as board
from milepost.interfaces.cli.jobs.filters import Statuses, Tags, Types, job_filter
from milepost.interfaces.cli.jobs.live import Show, progress_shown, progress_text
from milepost.interfaces.cli.jobs.wait import wait_result
from milepost.interfaces.cli.jobs.waiting import at_rest, looks, looks_at
from milepost.interfaces.cli.output import json_text
from milepost.interfaces.cli.session import Session
from milepost.interfaces.documents import to_json
from milepost.interfaces.error_mapping import INVALID, OUTCOMES, Told
from milepost.interfaces.job_documents import JobDocument

app = new_app()

SHOWN: Final = 50
PAUSE_SECONDS: Final = 0.1  # between two looks at everything


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
    status: Statuses = None,
    type: Types = None,  # noqa: A002 - the option's name
    tag: Tags = None,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit as 'jobs wait' does, by how the job ended.")
    ] = False,
) -> None:
    """Watch a job until it is at rest; without an id all that are not, on a terminal in a table with keys."""
    if session.given.output is None and session.format is Format.JSON:
        session.format = Format.PLAIN  # nobody asked for JSON: in a pipe, lines
    meant = job_filter(status, type, tag, None, None)
    if job is None:
        _watch_all(session, meant if meant.statuses else replace(meant, live=True))
        return
    if meant != JobFilter():
        raise Told(INVALID, "Give an id or a filter, not both", "Leave out one of them")
    job_id = session.service.resolve(job)
    watched = _watch(session, job_id)
    if not session.format.is_json and not session.quiet:
        session.out.line(wait_result(watched).message)
    if exit_status:
        raise typer.Exit(OUTCOMES[watched.status])


def _watch_all(session: Session, meant: JobFilter) -> None:
    if session.format is Format.TABLE and not session.quiet:
        board.show(session, meant)
    else:
        _lines_of_all(session, meant)


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


def _lines_of_all(session: Session, meant: JobFilter) -> None:
    """A line for each change. Ends only by Ctrl-C."""
    seen: dict[str, int] = {}

    def present() -> list[JobDocument]:
        """What is under way, and what was when it was last looked."""
        jobs = {job.id: job for job in session.service.jobs(meant, limit=SHOWN).jobs}
        for job_id in seen.keys() - jobs.keys():
            jobs[job_id] = session.service.job(job_id)
        return sorted(jobs.values(), key=lambda job: job.id)

    for jobs in looks(session, present, pause_seconds=PAUSE_SECONDS):
        for job in jobs:
            if seen.get(job.id) != job.version:
                _line(session, job)
        seen = {job.id: job.version for job in jobs if not at_rest(job)}


def _line(session: Session, job: JobDocument) -> None:
    if session.quiet:
        session.out.line(job.id)
    elif session.format.is_json:
        _document_line(session, job)
    else:
        session.out.line(f"{job.id} {progress_text(job)}")
    sys.stdout.flush()
