"""`milepost event-stores`: the event stores that have a name here."""

from typing import Final

from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.result_documents import EventStoreDocument, EventStoreState

app = new_app(help="The event stores that have a name here.")
group(app)

COLUMNS: Final[tuple[Column[EventStoreDocument], ...]] = (
    Column("Name", lambda each: each.name, lambda each: f"{each.name}{' *' if each.in_use else ''}"),
    Column("Exists", lambda each: None if each.exists is None else str(each.exists).lower()),
    Column("Url", lambda each: each.url, gives_way=True),
    Column("Source", lambda each: each.source, gives_way=True),
)


@command(app, "list")
def list_event_stores(session: Session) -> None:
    """List the event stores: name, whether it exists, database, where it was named. * is in use."""
    session.out.many(session.service.event_stores(), COLUMNS, lambda each: each.name)


STATE_COLUMNS: Final[tuple[Column[EventStoreState], ...]] = (
    Column("Name", lambda each: each.name),
    Column("Url", lambda each: each.url),
    Column("Created", lambda each: str(each.created).lower()),
    Column("Database", lambda each: each.database),
    Column("Schema", lambda each: each.schema_version),
    Column("Answered", lambda each: each.answered_in_seconds),
    Column("Jobs", lambda each: each.jobs),
    Column("Live", lambda each: each.live),
    Column("Workers", lambda each: each.workers),
)


@command(app, "create")
def create_event_store(session: Session) -> None:
    """Make the event store, or bring it up to date: what its first user would do otherwise."""
    state = session.local.create()
    done = "Made" if state.created else "It was there already:"
    session.out.said([state], STATE_COLUMNS, lambda each: each.name, lambda each: f"{done} {_told(each)}")


@command(app, "check")
def check_event_store(session: Session) -> None:
    """Ask whether the event store answers and can be written, which version it has, and what is in it."""
    state = session.service.check()
    session.out.said([state], STATE_COLUMNS, lambda each: each.name, _told)


def _told(state: EventStoreState) -> str:
    at = f" ({state.url})" if state.url else ""
    return (
        f"event store {state.name}{at}, {state.database}, tables of version {state.schema_version}. "
        f"It answers in {1000 * state.answered_in_seconds:.1f} ms. "
        f"{state.jobs} jobs, {state.live} of them not at rest, {state.workers} workers."
    )
