"""`milepost failed-partitions`: partitions that wait because an event of theirs could not be handled."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, group, new_app
from milepost.interfaces.cli.jobs.change import Reason
from milepost.interfaces.cli.jobs.wait import follow
from milepost.interfaces.cli.observer_columns import (
    ATTEMPT_COLUMNS,
    FAILED_COLUMNS,
    FAILED_FACTS,
    OBSERVER_RESULTS,
    facts,
)
from milepost.interfaces.cli.observers import Timeout, Wait
from milepost.interfaces.cli.output import table
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.observer_documents import FailedPartitionDocument, ObserverResult
from milepost.interfaces.quantities import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

app = new_app(help="Partitions that wait because an event of theirs could not be handled.")
group(app)

LIMIT: Final = 100
MOST: Final = 10_000  # at once; there are pages
PAGE: Final = 1_000
SHOWN: Final = 10

Observer = Annotated[str, typer.Argument(help="An observer.", metavar="OBSERVER", autocompletion=completion.observers)]
Partition = Annotated[
    str,
    typer.Argument(
        help="A failed partition: its key, or a beginning that no other has.",
        metavar="PARTITION",
        autocompletion=completion.failed_partitions,
    ),
]


@command(app, "list")
def list_failed(
    session: Session,
    observer: Annotated[
        str | None,
        typer.Option(
            "--observer", help="Only those of this observer.", metavar="NAME", autocompletion=completion.observers
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=MOST, help=f"How many at most. (default: {LIMIT})", metavar="N")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--after", help="Only those behind this one: OBSERVER/PARTITION, as -q prints it.", metavar="PARTITION"
        ),
    ] = None,
) -> None:
    """List partitions that wait: which event failed, how many wait behind it, attempts, error, when it is retried."""
    most = limit or LIMIT
    behind = None if after is None else _place(observer, after)
    found = session.service.failed_partitions(observer, limit=most + 1, after=behind)
    shown = found[:most]
    session.out.many(shown, FAILED_COLUMNS, lambda each: _name(observer, each))
    if len(found) > most:
        last = _name(observer, shown[-1])
        session.note(f"There are more than these {most}: see them with --after {last}, or give a higher --limit")


@command(app, "show")
def show_failed(session: Session, observer: Observer, partition: Partition) -> None:
    """Show a failed partition: its newest error whole, and its attempts."""
    found = session.service.failed_partition(observer, partition)
    session.out.one(found, FAILED_FACTS, lambda each: each.partition, lambda: _view(found))


@command(app, "retry")
def retry_failed(
    session: Session,
    observer: Observer,
    partitions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Failed partitions: their keys, or beginnings that no other has.",
            metavar="PARTITION",
            autocompletion=completion.failed_partitions,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All failed partitions of the observer.")] = False,
    reason: Reason = "",
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Try failed partitions again now, each from the event that failed; their attempts count anew."""
    if bool(partitions) == everything:
        raise Told(INVALID, "Name failed partitions, or give --all", "See 'milepost failed-partitions list'")
    if timeout is not None and not wait:
        raise Told(INVALID, "--timeout is for --wait", "Add --wait, or leave it out")
    service = session.service
    if everything:
        chosen = _all_of(session, observer)
        if not chosen:
            session.note(f"No partition of observer {observer} has failed")
    else:
        named = [session.attempt(partial(service.failed_partition, observer, each)) for each in partitions or ()]
        chosen = list(dict.fromkeys(each.partition for each in named if each))
    tried = [session.attempt(partial(service.change_partition, observer, each, "retry", reason)) for each in chosen]
    results = [each for each in tried if each]
    if results or not session.code:
        _say(session, results)
    jobs = [each.job for each in results if each.job]
    if wait and jobs:
        code = follow(session, jobs, timeout)
        raise typer.Exit(session.code or code)


@command(app, "skip")
def skip_event(
    session: Session,
    observer: Observer,
    partition: Partition,
    reason: Annotated[str, typer.Option("--reason", help="Why: kept in the history.", metavar="TEXT")],
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Never handle the event that failed, and let its partition go on behind it. Cannot be undone."""
    if not reason.strip():
        raise Told(INVALID, "An event is skipped for a reason", "Say why with --reason: it is kept in the history")
    if timeout is not None and not wait:
        raise Told(INVALID, "--timeout is for --wait", "Add --wait, or leave it out")
    found = session.service.failed_partition(observer, partition)
    told = f"{clean(found.error)}. " if found.error else ""
    session.confirm(f"{told}Never handle the event at {found.position} of partition {clean(found.partition)}?")
    result = session.service.change_partition(observer, found.partition, "skip", reason, if_position=found.position)
    _say(session, [result])
    if wait and result.job:
        raise typer.Exit(follow(session, [result.job], timeout))


def _place(observer: str | None, after: str) -> tuple[str, str]:
    """Where a page begins. Raises Told for what is no such place."""
    if observer is not None:
        return observer, after.removeprefix(f"{observer}/")
    name, slash, partition = after.partition("/")
    if not slash:
        raise Told(INVALID, f"'{after}' does not say of which observer", "Write OBSERVER/PARTITION, as -q prints it")
    return name, partition


def _name(observer: str | None, each: FailedPartitionDocument) -> str:
    return each.partition if observer is not None else f"{each.observer}/{each.partition}"


def _all_of(session: Session, observer: str) -> list[str]:
    """The keys of all that failed, when that is what was meant."""
    found: list[FailedPartitionDocument] = []
    after: tuple[str, str] | None = None
    while page := session.service.failed_partitions(observer, limit=PAGE, after=after):
        found += page
        after = page[-1].observer, page[-1].partition
    failed = [each for each in found if each.status != "Replaying"]
    if failed and not session.given.yes:
        if session.interactive:
            session.out.render(table(failed[:SHOWN], FAILED_COLUMNS))
        session.confirm(f"Retry {'this partition' if len(failed) == 1 else f'these {len(failed)} partitions'}?")
    return [each.partition for each in failed]


def _say(session: Session, results: list[ObserverResult]) -> None:
    session.out.said(
        results, OBSERVER_RESULTS, lambda each: each.job or each.partition or "", lambda each: each.message
    )


def _view(partition: FailedPartitionDocument) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [facts(partition, FAILED_FACTS)]
    if partition.history:
        newest = partition.history[0].error
        parts += ["", Text("Attempts", "bold"), table(partition.history, ATTEMPT_COLUMNS)]
        if newest.traceback:
            lines = "\n".join(clean(line) for line in newest.traceback.splitlines())
            parts += ["", Text("The newest error", "bold"), Text(lines, "dim")]
    return Group(*parts)
