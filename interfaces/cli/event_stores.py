"""`milepost event-stores`: the event stores that have a name here."""

from typing import Final

from milepost.infrastructure.settings import masked
from milepost.interfaces import bootstrap
from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.result_documents import EventStoreDocument

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
    chosen = session.settings
    documents = [
        EventStoreDocument(
            name,
            masked(url.value),
            url.source,
            name == chosen.event_store.value,
            bootstrap.event_store_exists(url.value),
        )
        for name, url in sorted(chosen.event_stores.items())
    ]
    session.out.many(documents, COLUMNS, lambda each: each.name)
