"""`milepost namespaces`: the namespaces of an event store that have jobs."""

from typing import Final

from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.result_documents import NamespaceDocument

app = new_app(help="The namespaces of an event store that have jobs.")
group(app)

COLUMNS: Final[tuple[Column[NamespaceDocument], ...]] = (
    Column("Name", lambda each: each.name),
    Column("Jobs", lambda each: each.jobs, right=True),
    Column("Live", lambda each: each.live, right=True),
)


@command(app, "list")
def list_namespaces(session: Session) -> None:
    """List the namespaces: how many jobs each has, and how many of them are not at rest."""
    session.out.many(session.service.namespaces(), COLUMNS, lambda each: each.name)
