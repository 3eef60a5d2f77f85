"""`milepost observers`: what hands an application's events on, how far each is, and what is done with it as a whole."""

from typing import Annotated

import typer

from milepost.domain.observers.slices import SLICES
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.jobs.change import Reason
from milepost.interfaces.cli.jobs.start import CommandId
from milepost.interfaces.cli.jobs.wait import follow
from milepost.interfaces.cli.observer_columns import (
    OBSERVER_COLUMNS,
    OBSERVER_EVENTS,
    OBSERVER_FACTS,
    OBSERVER_RESULTS,
    facts,
)
from milepost.interfaces.cli.result_columns import RESULT_COLUMNS
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import LARGEST
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.service import ObserverCommand, ObserverJobAsked, ObserverJobKind

app = new_app(help="Observers of an application's events: projections and reactors.")
group(app)

Name = Annotated[str, typer.Argument(help="An observer.", metavar="NAME", autocompletion=completion.observers)]
Parallel = Annotated[
    int | None,
    typer.Option("--parallel", min=1, max=SLICES, help="Into how many steps its partitions are divided.", metavar="N"),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job ends; exit as 'jobs wait' does.")]
Timeout = Annotated[float | None, typer.Option("--timeout", min=0, help="Seconds to wait at most.", metavar="SECONDS")]


@command(app, "list")
def list_observers(session: Session) -> None:
    """List observers: how each does, how far it is and how far behind, what failed, what it has handled."""
    tell_problems(session)
    session.out.many(session.service.observers(), OBSERVER_COLUMNS, lambda each: each.name)


@command(app, "show")
def show_observer(session: Session, name: Name) -> None:
    """Show an observer: everything that is known of it."""
    found = session.service.observer(name)
    session.out.one(found, OBSERVER_FACTS, lambda each: each.name, lambda: facts(found, OBSERVER_FACTS))


@command(app, "history")
def observer_history(
    session: Session,
    name: Name,
    after: Annotated[
        int, typer.Option("--after", min=0, max=LARGEST, help="Only events behind this one.", metavar="VERSION")
    ] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=LARGEST, help="How many at most.", metavar="N")
    ] = None,
) -> None:
    """Show what happened to an observer and its partitions: version, time, event, who, why, and what exactly."""
    events = session.service.observer_history(name, after=after, limit=limit)
    session.out.many(events, OBSERVER_EVENTS, lambda each: each.id)


@command(app, "replay")
def replay_observer(
    session: Session,
    name: Name,
    beside: Annotated[
        bool, typer.Option("--beside", help="Build a second generation beside the one that serves, and swap it in.")
    ] = False,
    partition: Annotated[
        str | None,
        typer.Option(
            "--partition", help="One partition alone: its key, or a beginning that no other has.", metavar="PARTITION"
        ),
    ] = None,
    parallel: Parallel = None,
    reason: Reason = "",
    command_id: CommandId = None,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Handle all events again: from an empty read model on, beside the one that serves, or of one partition."""
    if partition is not None and (beside or parallel is not None):
        raise Told(INVALID, "--partition is for one partition, which is replayed in place by one step", "Leave one out")
    kind: ObserverJobKind = "replay-beside" if beside else "replay"
    if partition is not None:
        kind = "replay-partition"
    _start(session, name, ObserverJobAsked(kind, partition, parallel, reason, command_id), timeout, wait=wait)


@command(app, "catch-up")
def catch_up_observer(
    session: Session,
    name: Name,
    parallel: Parallel = None,
    reason: Reason = "",
    command_id: CommandId = None,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Handle what an observer is behind on, up to what is the newest event now."""
    _start(session, name, ObserverJobAsked("catch-up", None, parallel, reason, command_id), timeout, wait=wait)


@command(app, "rebuild-index")
def rebuild_index(
    session: Session,
    name: Name,
    reason: Reason = "",
    command_id: CommandId = None,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Build an observer's tables beside those that serve, verify them against the events, and swap them in."""
    _start(session, name, ObserverJobAsked("rebuild", None, None, reason, command_id), timeout, wait=wait)


@command(app, "pause")
def pause_observer(session: Session, name: Name, reason: Reason = "") -> None:
    """Hand no live events to an observer until it is unpaused. Jobs on it go on."""
    _change(session, name, "pause", reason)


@command(app, "unpause")
def unpause_observer(session: Session, name: Name, reason: Reason = "") -> None:
    """Let an observer go on where it is: one that was paused, or one that is quarantined."""
    _change(session, name, "unpause", reason)


def tell_problems(session: Session) -> None:
    for problem in session.service.type_problems():
        session.note(f"Warning: {problem}")


def _start(session: Session, name: str, asked: ObserverJobAsked, timeout: float | None, *, wait: bool) -> None:
    if timeout is not None and not wait:
        raise Told(INVALID, "--timeout is for --wait", "Add --wait, or leave it out")
    tell_problems(session)
    result = session.service.start_on_observer(name, asked)
    if result.differs:
        session.note(f"Warning: that job was started with another request. See 'milepost jobs get {result.id}'")
    session.out.said([result], RESULT_COLUMNS, lambda each: each.id, lambda each: each.message)
    if wait:
        raise typer.Exit(follow(session, [result.id], timeout))


def _change(session: Session, name: str, wanted: ObserverCommand, reason: str) -> None:
    result = session.service.change_observer(name, wanted, reason)
    session.out.said([result], OBSERVER_RESULTS, lambda each: each.observer, lambda each: each.message)
