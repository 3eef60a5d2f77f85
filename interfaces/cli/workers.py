"""`milepost workers`: who works on an event store, on what, and since when."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import local_short
from milepost.interfaces.result_documents import WorkerDocument

if TYPE_CHECKING:
    pass

app = new_app(help="The workers of an event store.")
group(app)

COLUMNS: Final[tuple[Column[WorkerDocument], ...]] = (
    Column("Name", lambda each: each.name, gives_way=True),
    Column("Host", lambda each: each.host, gives_way=True),
    Column("Pid", lambda each: each.pid, right=True),
    Column("Queues", lambda each: "*" if each.queues is None else ",".join(each.queues), gives_way=True),
    Column("Types", lambda each: ",".join(each.types) or "-", gives_way=True),
    Column("Slots", lambda each: each.slots, right=True),
    Column("Jobs", lambda each: ",".join(each.jobs), lambda each: str(len(each.jobs)), right=True),
    Column("Started", lambda each: each.started, lambda each: local_short(each.started)),
    Column("Heartbeat", lambda each: each.heartbeat, lambda each: local_short(each.heartbeat)),
    Column("Lives", lambda each: str(each.lives).lower()),
)


@command(app, "list")
def list_workers(
    session: Session,
    everyone: Annotated[
        bool, typer.Option("--all", help="Also those that gave no sign of life for too long, until an hour has passed.")
    ] = False,
) -> None:
    """List the workers that live: where each runs, what it takes, how many jobs it holds, since when it is there."""
    session.out.many(session.service.workers(everyone=everyone), COLUMNS, lambda each: each.name)
