"""`milepost context`: a server or an event store, and a namespace, under one name, so that nobody has to type them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from milepost.infrastructure.contexts import Context, Contexts
from milepost.infrastructure.server_url import ServerUrl
from milepost.infrastructure.settings import Chosen, anchored, check_name, masked
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import INVALID, NOT_FOUND, Told
from milepost.interfaces.result_documents import ContextDocument

app = new_app(help="Server, event store and namespace under one name. Options and environment go before it.")
group(app)

Name = Annotated[str, typer.Argument(help="A context.", metavar="NAME", autocompletion=completion.contexts)]

COLUMNS: Final[tuple[Column[ContextDocument], ...]] = (
    Column("Name", lambda each: each.name, lambda each: f"{each.name}{' *' if each.in_use else ''}"),
    Column("EventStore", lambda each: each.event_store),
    Column("Namespace", lambda each: each.namespace),
    Column("Url", lambda each: each.url, gives_way=True),
    Column("Server", lambda each: each.server, gives_way=True),
)


@command(app, "list")
def list_contexts(session: Session) -> None:
    """List the contexts. * is in use."""
    contexts = Contexts.read()
    session.out.many([_document(contexts, name) for name in sorted(contexts.named)], COLUMNS, lambda each: each.name)


@command(app, "create")
def create_context(
    session: Session,
    name: Annotated[str, typer.Argument(help="Its name.", metavar="NAME")],
    url: Annotated[str | None, typer.Option("--url", help="The database of its event store.", metavar="URL")] = None,
    token_file: Annotated[
        str | None,
        typer.Option("--token-file", help="Where the token for its server is kept. Never the token.", metavar="PATH"),
    ] = None,
) -> None:
    """Create a context of --server or --url, --event-store and --namespace. The first one is in use at once."""
    contexts = Contexts.read()
    check_name("context", Chosen(name, "the command line"))
    if name in contexts.named:
        raise Told(INVALID, f"Context '{name}' is there already", "Delete it first, or choose another name")
    given = session.given
    for what, value in (("event store", given.event_store), ("namespace", given.namespace)):
        if value:
            check_name(what, Chosen(value, "the command line"))
    context = Context(
        given.event_store,
        given.namespace,
        anchored(url, Path.cwd()) if url else None,
        None if given.server is None else str(ServerUrl.parse(given.server)),
        str(Path.cwd() / Path(token_file).expanduser()) if token_file else None,
    )
    if url and context.server:
        raise Told(INVALID, "A context has a server or a database, not both", "Leave out --url or --server")
    if token_file and not context.server:
        raise Told(INVALID, "A token file is for a server", "Give --server URL, too")
    changed = contexts.with_context(name, context)
    changed.write()
    _say(session, changed, name, f"Created context {name}{'; it is in use' if changed.current == name else ''}")


@command(app, "use")
def use_context(session: Session, name: Name) -> None:
    """Use a context from now on."""
    contexts = Contexts.read().using(name)
    contexts.write()
    _say(session, contexts, name, f"Context {name} is in use")


@command(app, "show")
def show_context(
    session: Session,
    name: Annotated[
        str | None, typer.Argument(help="A context; none: the one in use.", autocompletion=completion.contexts)
    ] = None,
) -> None:
    """Show a context, or the one in use."""
    contexts = Contexts.read()
    meant = name or contexts.active_name(os.environ)
    if meant is None:
        raise Told(NOT_FOUND, "No context is in use", "Choose one with 'milepost context use NAME'")
    contexts.get(meant)
    document = _document(contexts, meant)
    session.out.many([document], COLUMNS, lambda each: each.name)


@command(app, "delete")
def delete_context(session: Session, name: Name) -> None:
    """Delete a context. Event stores and jobs are not touched."""
    contexts = Contexts.read()
    contexts.get(name)
    session.confirm(f"Delete context {name}?")
    document = replace(_document(contexts, name), in_use=False)
    contexts.without(name).write()
    session.out.said([document], COLUMNS, lambda each: each.name, lambda each: f"Deleted context {each.name}")


def _say(session: Session, contexts: Contexts, name: str, sentence: str) -> None:
    session.out.said([_document(contexts, name)], COLUMNS, lambda each: each.name, lambda _: sentence)


def _document(contexts: Contexts, name: str) -> ContextDocument:
    context = contexts.named[name]
    return ContextDocument(
        name=name,
        event_store=context.event_store,
        namespace=context.namespace,
        url=masked(context.url) if context.url else None,
        server=context.server,
        token_file=context.token_file,
        in_use=contexts.active_name(os.environ) == name,
    )
