"""`milepost webhooks`: programs elsewhere that are told what happens to jobs."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.infrastructure.settings import Chosen, check_name
from milepost.interfaces import bootstrap
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import local, local_short
from milepost.interfaces.error_mapping import CANNOT_CONNECT, INVALID, Told
from milepost.interfaces.webhook_documents import PingResult, WebhookDocument

if TYPE_CHECKING:
    from rich.console import RenderableType

    from milepost.interfaces.webhook_service import WebhookService

app = new_app(help="Programs elsewhere that are told what happens to jobs, by signed HTTP requests.")
group(app)

LONGEST_SECRET: Final = 200  # characters
Name = Annotated[str, typer.Argument(help="A webhook.", metavar="NAME", autocompletion=completion.webhooks)]

LIST_COLUMNS: Final[tuple[Column[WebhookDocument], ...]] = (
    Column("Name", lambda each: each.name, gives_way=True),
    Column("Url", lambda each: each.url, gives_way=True),
    Column("On", lambda each: ",".join(each.on), gives_way=True),
    Column("State", lambda each: each.state),
    Column("Waiting", lambda each: each.waiting, right=True),
    Column("Delivered", lambda each: each.delivered, right=True),
    Column("LastSuccess", lambda each: each.last_success, lambda each: _short(each.last_success)),
    Column("LastFailure", lambda each: each.last_failure, lambda each: _short(each.last_failure)),
)
FACTS: Final[tuple[Column[WebhookDocument], ...]] = (
    Column("Name", lambda each: each.name),
    Column("Url", lambda each: each.url),
    Column("On", lambda each: ",".join(each.on)),
    Column("Namespace", lambda each: each.namespace or "*"),
    Column("Types", lambda each: "*" if each.types is None else ",".join(each.types)),
    Column("State", lambda each: each.state),
    Column("Paused", lambda each: each.paused),
    Column("Waiting", lambda each: each.waiting),
    Column("Delivered", lambda each: each.delivered),
    Column("LastSuccess", lambda each: each.last_success, lambda each: _long(each.last_success)),
    Column("LastFailure", lambda each: each.last_failure, lambda each: _long(each.last_failure)),
    Column("LastFailureMessage", lambda each: each.last_failure_message),
    Column("Failures", lambda each: each.failures),
    Column("FailingSince", lambda each: each.failing_since, lambda each: _long(each.failing_since)),
    Column("NextTry", lambda each: each.next_try, lambda each: _long(each.next_try)),
    Column("Created", lambda each: each.created, lambda each: _long(each.created)),
    Column("CreatedBy", lambda each: each.created_by),
)
NEW_COLUMNS: Final[tuple[Column[WebhookDocument], ...]] = (
    Column("Name", lambda each: each.name),
    Column("Url", lambda each: each.url),
    Column("On", lambda each: ",".join(each.on)),
    Column("Secret", lambda each: each.secret),
)
PING_COLUMNS: Final[tuple[Column[PingResult], ...]] = (
    Column("Name", lambda each: each.name),
    Column("Accepted", lambda each: str(each.accepted).lower()),
    Column("Status", lambda each: each.status),
    Column("Message", lambda each: each.message),
    Column("Seconds", lambda each: each.seconds),
)


@command(app, "add")
def add_webhook(
    session: Session,
    url: Annotated[str, typer.Argument(help="Where to send to: https, or http on this machine.", metavar="URL")],
    on: Annotated[
        list[str],
        typer.Option(
            "--on",
            help="started, running, stopped, resumed, completed, completed-with-failures, failed, cancelled, removed;"
            " comma-separated or repeated.",
            metavar="EVENTS",
            autocompletion=completion.occasions,
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Its name; else that of the host.", metavar="NAME")] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="Only jobs of this type; may be repeated.",
            metavar="TYPE",
            autocompletion=completion.job_types,
        ),
    ] = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", help="Of jobs of all namespaces, not of --namespace alone.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Also of all that has happened; else of what happens from now on.")
    ] = False,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            "--secret-file", help="The secret to sign with; - is standard input. Else one is made.", metavar="FILE"
        ),
    ] = None,
    allow_http: Annotated[
        bool, typer.Option("--allow-http", help="Also to other machines without TLS, where anybody may read it.")
    ] = False,
) -> None:
    """Have a program told of what happens to jobs. Shows the secret once by which it knows who sends."""
    from milepost.infrastructure.webhooks.address import check_address

    host = check_address(url, allow_http=allow_http)
    chosen = name or re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-._") or "webhook"
    check_name("webhook", Chosen(chosen, "option --name" if name else "the URL"))
    if session.quiet and secret_file is None:
        raise Told(INVALID, "With --quiet nobody would see the secret", "Leave it out, or give --secret-file")
    wanted = tuple(dict.fromkeys(word.strip() for each in on for word in each.split(",") if word.strip()))
    if not wanted:
        raise Told(INVALID, "--on is empty", "Say which events: --on completed,failed")
    made = _service(session, makes_one=True).add(
        chosen,
        url,
        wanted,
        namespace=None if all_namespaces else session.namespace,
        types=tuple(sorted(set(types))) if types else None,
        from_start=from_start,
        secret=None if secret_file is None else _secret(secret_file),
    )
    session.out.said([made], NEW_COLUMNS, lambda each: each.name, _added)
    if file := bootstrap.open_to_others(session.settings.url.value):
        session.note(f"Warning: others on this machine may read {file}, and so the secret: chmod 600 {file}*")


@command(app, "list")
def list_webhooks(session: Session) -> None:
    """List the webhooks of all namespaces: what each is told of, how it goes, and how many events wait for it."""
    session.out.many(_service(session).all(), LIST_COLUMNS, lambda each: each.name)


@command(app, "show")
def show_webhook(session: Session, name: Name) -> None:
    """Show a webhook: what it is told of, how far it was told, and what went wrong last."""
    found = _service(session).show(name)
    session.out.one(found, FACTS, lambda each: each.name, lambda: _view(found))


@command(app, "test")
def test_webhook(session: Session, name: Name) -> None:
    """Send a signed ping from here, and say what the receiver answers."""
    result = _service(session).ping(name)
    session.out.said([result], PING_COLUMNS, lambda each: each.name, _pinged)
    if not result.accepted:
        session.code = CANNOT_CONNECT


@command(app, "pause")
def pause_webhook(session: Session, name: Name) -> None:
    """Tell it nothing until it is resumed; what happens meanwhile waits."""
    session.out.said([_service(session).pause(name)], LIST_COLUMNS, lambda each: each.name, _paused)


@command(app, "resume")
def resume_webhook(
    session: Session,
    name: Name,
    from_now: Annotated[bool, typer.Option("--from-now", help="Leave out all that waits.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Leave out the one event that it cannot be told of.")] = False,
) -> None:
    """Go on with a webhook that is paused, or try one that fails at once; nothing that waits is left out."""
    if from_now and skip:
        raise Told(INVALID, "--skip is for one event, --from-now for all that wait", "Give one of them")
    if from_now or skip:
        session.confirm(f"Leave out {'all events that wait' if from_now else 'an event'} for webhook {name}?")
    service = _service(session)
    resumed = service.skip(name) if skip else service.resume(name, from_now=from_now)
    session.out.said([resumed], LIST_COLUMNS, lambda each: each.name, _resumed)


@command(app, "remove")
def remove_webhook(session: Session, name: Name) -> None:
    """Remove a webhook, and with it how far it was told. What waits is not sent."""
    service = _service(session)
    waiting = service.show(name).waiting
    session.confirm(f"Remove webhook {name}? {waiting} events wait for it.")
    removed = service.remove(name)
    session.out.said([removed], LIST_COLUMNS, lambda each: each.name, lambda each: f"Removed webhook {each.name}")


def _service(session: Session, *, makes_one: bool = False) -> "WebhookService":
    from milepost.interfaces.webhook_service import WebhookService

    return WebhookService(session.app, makes_one=makes_one)


def _secret(file: Path) -> str:
    """Raises Told where the file cannot be read."""
    try:
        if str(file) == "-":
            return typer.get_text_stream("stdin").read(LONGEST_SECRET).strip()
        with file.open(encoding="ascii") as opened:
            return opened.read(LONGEST_SECRET).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Told(
            INVALID, f"The secret in {file} cannot be read: {error}", "Give a file with the secret alone"
        ) from error


def _view(webhook: WebhookDocument) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    drawn = Table.grid(padding=(0, 2))
    for column in FACTS:
        if told := column.people_text(webhook):
            drawn.add_row(Text(column.title, "bold"), Text(told))
    return drawn


def _added(webhook: WebhookDocument) -> str:
    where = f"namespace {webhook.namespace}" if webhook.namespace else "all namespaces"
    of = f"jobs of type {', '.join(webhook.types)}" if webhook.types else "jobs"
    told = f"Added webhook {webhook.name}: it is told when {of} in {where} are {', '.join(webhook.on)}."
    if webhook.secret is None:
        return told
    return f"{told} Its secret, which is not shown again: {webhook.secret}"


def _pinged(result: PingResult) -> str:
    done = "accepted" if result.accepted else "did not accept"
    return f"The receiver of webhook {result.name} {done} a ping: {result.message}, after {result.seconds:.1f} s"


def _paused(webhook: WebhookDocument) -> str:
    return f"Webhook {webhook.name} is paused ({webhook.paused})"


def _resumed(webhook: WebhookDocument) -> str:
    return f"Webhook {webhook.name} goes on: {webhook.waiting} events wait for it"


def _short(at: str | None) -> str:
    return local_short(at) if at else "-"


def _long(at: str | None) -> str:
    return local(at) if at else ""
