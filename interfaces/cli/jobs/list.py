"""`milepost jobs list`: the jobs of a namespace, newest first, page by page."""

import shutil
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.job_columns import job_columns
from milepost.interfaces.cli.jobs.filters import At, Since, Statuses, Tags, Types, Until, job_filter, moment_given
from milepost.interfaces.cli.session import Session
from milepost.interfaces.job_documents import JobDocument

app = new_app()

WIDE: Final = 110  # columns of a terminal on which whole ids leave room for the rest


LIMIT: Final = 100
MOST: Final = 10_000  # at once; there are pages


class Sort(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"


@command(app, "list")
def list_jobs(
    session: Session,
    status: Statuses = None,
    type: Types = None,  # noqa: A002 - the option's name
    tag: Tags = None,
    since: Since = None,
    until: Until = None,
    # Defaults that are written into the help and not given to Typer, which would import pydantic to check them.
    sort: Annotated[Sort | None, typer.Option("--sort", help="Which come first. (default: newest)")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=MOST, help=f"How many at most. (default: {LIMIT})", metavar="N")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", help="Only those behind this job.", metavar="ID", autocompletion=completion.job_ids),
    ] = None,
    at: At = None,
) -> None:
    """List jobs: id, type, status, progress, when created; those that there are, or that there were."""
    meant = job_filter(status, type, tag, since, until)
    service = session.service
    page = service.jobs(
        meant,
        limit=limit or LIMIT,
        after=service.resolve(after) if after else None,
        oldest_first=sort is Sort.OLDEST,
        at=moment_given("--at", at),
    )
    jobs = page.jobs
    short = short_ids(session, jobs)
    session.out.many(jobs, job_columns(short), lambda job: job.id)
    if page.more:
        last = short.get(jobs[-1].id, jobs[-1].id)
        session.note(f"There are more than these {len(jobs)}: see them with --after {last}, or give a higher --limit")


def is_narrow() -> bool:
    """Whether whole ids would leave too little room for the rest."""
    return shutil.get_terminal_size().columns < WIDE


def short_ids(session: Session, jobs: Sequence[JobDocument]) -> dict[str, str]:
    """Ids as short as they may be given, for a terminal too narrow for whole ones."""
    if session.format is not Format.TABLE or not is_narrow():
        return {}
    return session.service.shortened([job.id for job in jobs])
