"""`milepost jobs start`: accept a job; a worker does it."""

from typing import Annotated

import typer

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.requests import request_from
from milepost.interfaces.cli.jobs.wait import wait_for
from milepost.interfaces.cli.result_columns import RESULT_COLUMNS
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.result_documents import StartResult
from milepost.interfaces.service import StartAsked

app = new_app()

TypeName = Annotated[str, typer.Argument(help="A job type.", metavar="TYPE", autocompletion=completion.job_types)]
Request = Annotated[
    str | None, typer.Option("--request", help="The request: JSON, @FILE, or - for standard input.", metavar="JSON")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="One field of the request; may be repeated.", metavar="KEY=VALUE"),
]
Tag = Annotated[list[str] | None, typer.Option("--tag", help="A tag to find it by; may be repeated.", metavar="TAG")]
CommandId = Annotated[
    str | None,
    typer.Option("--command-id", help="Started at most once under this id, however often it is tried.", metavar="ID"),
]
Queue = Annotated[
    str | None,
    typer.Option("--queue", help="Where it waits; else the type's own queue.", metavar="NAME"),
]
Priority = Annotated[
    int | None,
    typer.Option("--priority", help="-1000 to 1000: higher ones are taken first; else the type's own.", metavar="N"),
]
Reason = Annotated[str, typer.Option("--reason", help="Why: kept in the history.", metavar="TEXT")]


@command(app, "start")
def start_job(
    session: Session,
    type: TypeName,  # noqa: A002 - the argument's name
    request: Request = None,
    set: Set = None,  # noqa: A002 - the option's name
    tag: Tag = None,
    queue: Queue = None,
    priority: Priority = None,
    command_id: CommandId = None,
    reason: Reason = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it ends; exit as 'jobs wait' does.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, help="Seconds to wait at most.", metavar="SECONDS")
    ] = None,
) -> None:
    """Start a job. A worker that runs takes it; -q prints its id."""
    if timeout is not None and not wait:
        raise Told(INVALID, "--timeout is for --wait", "Add --wait, or leave it out")
    result = start(session, type, request, set, tag, command_id, reason, queue, priority)
    if result.differs:
        session.note(
            f"Warning: this request is not carried out: its key is that of a live job with another request. "
            f"See 'milepost jobs get {result.id}'"
        )
    session.out.said([result], RESULT_COLUMNS, lambda each: each.id, lambda each: each.message)
    if wait:
        raise typer.Exit(wait_for(session, [result.id], timeout)[0].exit_code)


def start(
    session: Session,
    type_name: str,
    request: str | None,
    settings: list[str] | None,
    tags: list[str] | None,
    command_id: str | None,
    reason: str,
    queue: str | None,
    priority: int | None,
) -> StartResult:
    """The job, new or not. Raises what says that the request does not do."""
    asked = request_from(request, settings or ())
    for problem in session.service.type_problems():
        session.note(f"Warning: {problem}")
    return session.service.start(StartAsked(type_name, asked, tuple(tags or ()), queue, priority, command_id, reason))
