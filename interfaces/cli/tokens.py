"""`milepost tokens`: who may ask a server, for what, until when."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from milepost.infrastructure.settings import Chosen, check_name
from milepost.interfaces import bootstrap
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import local, local_short, moment_to_come
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.result_documents import NewTokenDocument, TokenDocument

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Token

app = new_app(help="Tokens that programs and pages ask a server with.")
group(app)


COLUMNS: Final[tuple[Column[TokenDocument], ...]] = (
    Column("Name", lambda each: each.name, gives_way=True),
    Column("Role", lambda each: each.role),
    Column("Namespaces", lambda each: "*" if each.namespaces is None else ",".join(each.namespaces), gives_way=True),
    Column("Created", lambda each: each.created, lambda each: local_short(each.created)),
    Column("By", lambda each: each.created_by, gives_way=True),
    Column("Expires", lambda each: each.expires, lambda each: local_short(each.expires) if each.expires else "never"),
    Column("Revoked", lambda each: each.revoked, lambda each: local_short(each.revoked) if each.revoked else ""),
    Column("Holds", lambda each: str(each.holds).lower()),
)
NEW_COLUMNS: Final[tuple[Column[NewTokenDocument], ...]] = (
    Column("Name", lambda each: each.name),
    Column("Role", lambda each: each.role),
    Column("Namespaces", lambda each: "*" if each.namespaces is None else ",".join(each.namespaces)),
    Column("Expires", lambda each: each.expires),
    Column("Secret", lambda each: each.secret),
)
NewName = Annotated[str, typer.Argument(help="Its name, which histories will show as the actor.", metavar="NAME")]
Name = Annotated[str, typer.Argument(help="The name of a token, as 'milepost tokens list' shows it.", metavar="NAME")]


@command(app, "create")
def create_token(
    session: Session,
    name: NewName,
    role: Annotated[
        str, typer.Option("--role", metavar="ROLE", help="viewer sees; operator acts on jobs; admin may all.")
    ],
    namespaces: Annotated[
        list[str] | None,
        typer.Option(
            "--namespaces",
            help="Those that it is for, as -n is for one; comma-separated or repeated. Else all.",
            metavar="NAMES",
            autocompletion=completion.namespaces,
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", help="When it ends: in 12h, 30d, or at a date or a time. Else never.", metavar="WHEN"
        ),
    ] = None,
) -> None:
    """Make a token. Its secret is shown this once, and not kept; with -q nothing else is printed."""
    only = _only(session, namespaces)
    tokens, now = session.app.tokens, session.app.now()
    secret = tokens.create(
        name,
        bootstrap.role(role),
        created_by=bootstrap.user_at_host(),
        namespaces=only,
        expires_at=None if expires is None else _until(expires, now),
    )
    token = next(each for each in tokens.all() if each.name == name)
    made = NewTokenDocument(**_fields(token, now), secret=secret)
    session.out.said([made], NEW_COLUMNS, lambda each: each.secret, _told)
    session.note("Keep the secret where only its user can read it: it is not shown again.")


@command(app, "list")
def list_tokens(session: Session) -> None:
    """List all tokens, those that do not hold any more too: their names stand in histories."""
    now = session.app.now()
    documents = [TokenDocument(**_fields(each, now)) for each in session.app.tokens.all()]
    session.out.many(documents, COLUMNS, lambda each: each.name)


@command(app, "revoke")
def revoke_token(session: Session, name: Name) -> None:
    """Let a token open nothing any more: within two seconds, on all servers. Its name cannot be used again."""
    tokens = session.app.tokens
    changed = tokens.revoke(name)
    token = next(each for each in tokens.all() if each.name == name)
    document = TokenDocument(**_fields(token, session.app.now()))
    done = f"Revoked token {name}" if changed else f"Token {name} was revoked already: nothing changed"
    session.out.said([document], COLUMNS, lambda each: each.name, lambda _: done)


def _only(session: Session, namespaces: list[str] | None) -> frozenset[str] | None:
    """A namespace that stands on the command line is meant; what the environment or a context says is not."""
    names = {name.strip() for each in namespaces or () for name in each.split(",")}
    if "" in names:
        raise Told(INVALID, "--namespaces has an empty name", "Write --namespaces A,B, or leave it out for all")
    if session.given.namespace:
        names.add(session.given.namespace)
    for name in names:
        check_name("namespace", Chosen(name, "option"))
    return frozenset(names) or None


def _until(text: str, now: datetime) -> datetime:
    try:
        found = moment_to_come(text, now)
    except (ValueError, OverflowError):
        raise Told(
            INVALID, f"--expires: '{text}' is not a time", "Write 12h, 30d, 2027-01-31 or 2027-01-31T09:30"
        ) from None
    if found <= now:
        raise Told(INVALID, f"--expires: '{text}' is past", "Give a time that is to come")
    return found


def _fields(token: "Token", now: datetime) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role.name.lower(),
        "namespaces": None if token.namespaces is None else list(token.namespaces),
        "created": token.created_at,
        "created_by": token.created_by,
        "expires": token.expires_at,
        "revoked": token.revoked_at,
        "holds": token.holds(now),
    }


def _told(made: NewTokenDocument) -> str:
    where = "all namespaces" if made.namespaces is None else ", ".join(made.namespaces)
    until = f", until {local(made.expires)}" if made.expires else ""
    return f"Made token {made.name}: {made.role} of {where}{until}.\n{made.secret}"
