"""`milepost diagnose`: whether all is well, and the evidence for what is not."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.interfaces import bootstrap
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.jobs.waiting import UNAVAILABLE
from milepost.interfaces.cli.output import Column, console, json_text
from milepost.interfaces.cli.session import Session
from milepost.interfaces.documents import to_json
from milepost.interfaces.error_mapping import SERVER_ERROR
from milepost.interfaces.observer_documents import DiagnosisDocument, FindingDocument
from milepost.interfaces.quantities import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

app = new_app()

LOOK_SECONDS: Final = 1.0
UNHEALTHY: Final = SERVER_ERROR
COLUMNS: Final[tuple[Column[FindingDocument], ...]] = (
    Column("Healthy", lambda each: str(each.healthy).lower()),
    Column("Area", lambda each: each.area),
    Column("Subject", lambda each: each.subject),
    Column("Message", lambda each: each.message),
    Column("Suggestion", lambda each: each.suggestion),
)
Known = Mapping[tuple[str, str], FindingDocument]


@command(app, "diagnose")
def diagnose(
    session: Session,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again; in a pipe a line for each change. Ctrl-C ends it.")
    ] = False,
) -> None:
    """Look whether event store, workers, observers and jobs are as they should be. Exit code: 0 healthy, 3 not."""
    if watch:
        _watch(session)
        return
    found = _looked(session)
    if session.quiet or session.format not in (Format.TABLE, Format.JSON, Format.JSON_COMPACT):
        session.out.many(found.findings, COLUMNS, lambda each: f"{each.area}/{each.subject}")
    elif session.format is Format.TABLE:
        session.out.render(_view(found))
    else:
        session.out.json(to_json(found))
    if not found.healthy:
        session.code = UNHEALTHY


def _looked(session: Session) -> DiagnosisDocument:
    """An event store that does not answer is a finding, too."""
    try:
        return session.service.diagnose()
    except (*UNAVAILABLE, bootstrap.CannotOpenDatabase) as error:
        name, now = session.settings.event_store.value, bootstrap.now().isoformat(timespec="seconds")
        suggestion = getattr(error, "advice", "") or "Look again with 'milepost event-stores check'"
        finding = FindingDocument("event-store", name, healthy=False, message=str(error), suggestion=suggestion)
        return DiagnosisDocument(healthy=False, checked=now, findings=[finding])


def _watch(session: Session) -> None:
    if session.given.output is None and session.format is Format.JSON:
        session.format = Format.PLAIN  # nobody asked for JSON: in a pipe, lines
    if session.format is Format.TABLE and not session.quiet:
        _paint(session)
        return
    known: Known = {}
    while True:
        found = _looked(session)
        now = {(each.area, each.subject): each for each in found.findings}
        if changes := _changes(known, now):
            _tell(session, found, changes)
        known = now
        time.sleep(LOOK_SECONDS)


def _paint(session: Session) -> None:
    from rich.live import Live

    with Live(console=console(), auto_refresh=False, screen=False) as live:
        while True:
            live.update(_view(_looked(session)), refresh=True)
            time.sleep(LOOK_SECONDS)


def _changes(known: Known, now: Known) -> list[FindingDocument]:
    """What has become so, or is not so any more. That what is healthy goes on is none."""
    become = [
        each
        for key, each in now.items()
        if (before := known.get(key)) is None
        or before.healthy != each.healthy
        or (not each.healthy and before.message != each.message)
    ]
    over = [
        FindingDocument(each.area, each.subject, healthy=True, message=f"no longer: {each.message}")
        for key, each in known.items()
        if key not in now and not each.healthy
    ]
    return become + over


def _tell(session: Session, found: DiagnosisDocument, changes: list[FindingDocument]) -> None:
    if session.quiet or not session.format.is_json:
        for each in changes:
            state = "healthy" if each.healthy else "UNHEALTHY"
            session.out.line(f"{found.checked} {state} {each.area} {clean(each.subject)}: {clean(each.message)}")
    else:
        session.out.line(json_text(to_json(found)))
    sys.stdout.flush()


def _wrong(number: int) -> str:
    return "One thing is not as it should be" if number == 1 else f"{number} things are not as they should be"


def _view(found: DiagnosisDocument) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    wrong = sum(not each.healthy for each in found.findings)
    head = Text("All is well", "bold green") if found.healthy else Text(_wrong(wrong), "bold red")
    grid = Table.grid(padding=(0, 2))
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for each in found.findings:
        mark = Text("✓", "green") if each.healthy else Text("✗", "red")
        said = Text(clean(each.message), "" if each.healthy else "red")
        if each.suggestion:
            said.append(f"\n→ {clean(each.suggestion)}", "default")
        grid.add_row(mark, each.area, Text(clean(each.subject), overflow="ellipsis"), said)
    return Group(head, grid)
