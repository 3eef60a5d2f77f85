"""`milepost audit rebuild`: have what lists show of jobs made anew from their events, by a job."""

from typing import Annotated, Any
from uuid import UUID

import typer

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.change import Reason
from milepost.interfaces.cli.jobs.filters import JobIds
from milepost.interfaces.cli.jobs.start import CommandId
from milepost.interfaces.cli.jobs.wait import follow
from milepost.interfaces.cli.result_columns import RESULT_COLUMNS
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.service import StartAsked

app = new_app()


@command(app, "rebuild")
def rebuild(
    session: Session,
    jobs: JobIds = None,
    every: Annotated[bool, typer.Option("--all", help="All jobs of the namespace.")] = False,
    trust_history: Annotated[
        bool,
        typer.Option(
            "--trust-history",
            help="Rebuild also jobs whose rows know of more events than there are. What those rows say is lost.",
        ),
    ] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="With --trust-history also jobs that are not at rest by the events that are left: workers go on with"
            " them.",
        ),
    ] = False,
    reason: Reason = "",
    command_id: CommandId = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job ends; exit as 'jobs wait' does.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, help="Seconds to wait at most.", metavar="SECONDS")
    ] = None,
) -> None:
    """Make the rows that lists show of jobs follow from their events again, while others work. A worker does it."""
    if jobs and every:
        raise Told(INVALID, "Ids and --all do not go together", "Give one of them")
    if not jobs and not every:
        raise Told(INVALID, "Which jobs are to be rebuilt?", "Give ids, or --all")
    if live and not trust_history:
        raise Told(INVALID, "--live is for --trust-history", "Add --trust-history, or leave it out")
    if timeout is not None and not wait:
        raise Told(INVALID, "--timeout is for --wait", "Add --wait, or leave it out")
    if session.settings.server is None:
        _ = session.app.existing  # it makes none: where there is nothing, nothing can be rebuilt
    request: dict[str, Any] = {"jobs": [_id_of(session, each) for each in jobs or ()]}
    request |= {"trust_history": trust_history, "live": live}
    asked = StartAsked("rebuild-read-models", request, command_id=command_id, reason=reason)
    result = session.service.start(asked)
    if result.differs:
        session.note(f"Warning: that job was started with another request. See 'milepost jobs get {result.id}'")
    session.out.said([result], RESULT_COLUMNS, lambda each: each.id, lambda each: each.message)
    if wait:
        raise typer.Exit(follow(session, [result.id], timeout))


def _id_of(session: Session, text: str) -> str:
    """A whole id is taken as it is: its row may be what is missing."""
    try:
        return str(UUID(text))
    except ValueError:
        return session.service.resolve(text)
