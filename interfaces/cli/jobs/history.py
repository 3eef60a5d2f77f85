"""`milepost jobs history`: every event of a job, as it was recorded."""

from typing import Annotated

import typer

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.filters import JobId
from milepost.interfaces.cli.result_columns import EVENT_COLUMNS
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import LARGEST

app = new_app()


@command(app, "history")
def job_history(
    session: Session,
    job: JobId,
    after: Annotated[
        int, typer.Option("--after", min=0, max=LARGEST, help="Only events behind this one.", metavar="VERSION")
    ] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=LARGEST, help="How many at most.", metavar="N")
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option("--event", help="Only events of this name; may be repeated.", metavar="NAME")
    ] = None,
) -> None:
    """Show what happened to a job: version, time, event, who, from where, why, and what exactly."""
    job_id = session.service.resolve(job)
    events = session.service.history(job_id, after=after, limit=limit, names=event or ())
    session.out.many(list(events), EVENT_COLUMNS, lambda each: each.id)
