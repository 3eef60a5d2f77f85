"""`milepost audit verify`: whether what is shown is what happened, from the stored bytes on."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer

from milepost.interfaces.audit_documents import DifferenceDocument, SealCompared, VerificationDocument
from milepost.interfaces.cli.audit import against_seal
from milepost.interfaces.cli.audit.progress_line import ProgressLine
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.formats import Format
from milepost.interfaces.cli.jobs.filters import JobIds, moment_given
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.documents import to_json
from milepost.interfaces.error_mapping import INVALID, SERVER_ERROR, Told
from milepost.interfaces.quantities import clean, counted, differing

if TYPE_CHECKING:
    from milepost.infrastructure.audit.comparing import Comparison
    from milepost.infrastructure.audit.differences import Difference
    from milepost.infrastructure.audit.verifying import Tally, Verifier

app = new_app()

DIFFERENT: Final = SERVER_ERROR
COLUMNS: Final[tuple[Column[DifferenceDocument], ...]] = (
    Column("Job", lambda each: each.job_id),
    Column("Version", lambda each: each.version, right=True),
    Column("LastVersion", lambda each: each.last_version, right=True),
    Column("Kind", lambda each: each.kind),
    Column("Table", lambda each: each.table),
    Column("Row", lambda each: each.row),
    Column("Column", lambda each: each.column),
    Column("Found", lambda each: each.found),
    Column("Expected", lambda each: each.expected),
    Column("Message", lambda each: each.message),
)


@command(app, "verify")
def verify(
    session: Session,
    jobs: JobIds = None,
    every: Annotated[bool, typer.Option("--all", help="All jobs of the event store, of all namespaces.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            help="All jobs in whose history something was recorded since: 2h, 7d, a date or a time.",
            metavar="WHEN",
        ),
    ] = None,
    seal: Annotated[
        Path | None,
        typer.Option(
            "--seal",
            help="A seal: whether anything that was sealed is gone or changed. Alone, or with --all.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Fold histories anew from the stored bytes, and compare all that is shown. Exit code: 0 the same, 3 not."""
    asked = bool(jobs) + every + (since is not None)
    if seal is not None and (jobs or since is not None):
        raise Told(INVALID, "A seal is of the whole event store", "Give --seal alone, or with --all")
    if asked > 1:
        raise Told(INVALID, "Ids, --all and --since do not go together", "Give one of them")
    if not asked and seal is None:
        raise Told(INVALID, "Which jobs are to be verified?", "Give ids, or --all, or --since, or --seal")
    began = time.monotonic()
    with ProgressLine(session) as line:

        def show(tally: "Tally") -> None:
            line.show(lambda: _so_far(tally))

        comparison = None if seal is None else _comparison(session, seal, show)  # before anything: is it whole?
        verifier = session.app.verifier(show)
        found = _told(session, _verified(session, verifier, jobs or [], since)) if asked else []
        altered = _told(session, against_seal.differences(comparison)) if comparison else []
    tally = verifier.tally if asked or comparison is None else comparison.tally
    compared = against_seal.document(seal, comparison) if seal and comparison else None
    _show(session, tally, [*found, *altered], time.monotonic() - began, compared)
    if asked:
        session.note(_sum(tally, len(found)))
    if comparison:
        session.note(against_seal.told(comparison, len(altered)))
    if found or altered:
        session.code = DIFFERENT


def _show(
    session: Session, tally: "Tally", found: list[DifferenceDocument], seconds: float, seal: SealCompared | None
) -> None:
    """For programs: people were told while it went on."""
    if session.format in (Format.JSON, Format.JSON_COMPACT) and not session.quiet:
        counts = (tally.jobs, tally.events, tally.pruned, len(found), round(seconds, 3))
        session.out.json(to_json(VerificationDocument(not found, *counts, found, seal)))
    elif session.format is not Format.TABLE or session.quiet:
        session.out.many(found, COLUMNS, lambda each: each.job_id)


def _comparison(session: Session, seal: Path, progress: "Callable[[Tally], None]") -> "Comparison":
    from milepost.interfaces.audit_service import AuditService

    comparison = AuditService(session.app).comparison(seal, progress)
    against_seal.warn_of_another_event_store(session, comparison)
    return comparison


def _told(session: Session, differences: Iterable[DifferenceDocument]) -> list[DifferenceDocument]:
    """All of them; people are told each when it is found."""
    found: list[DifferenceDocument] = []
    for each in differences:
        found.append(each)
        if session.format is Format.TABLE and not session.quiet:
            session.out.line(clean(each.message))
    return found


def _verified(
    session: Session, verifier: "Verifier", jobs: list[str], since: str | None
) -> Iterator[DifferenceDocument]:
    for each in _differences(session, verifier, jobs, since):
        place = (each.table, each.row, each.column, each.found, each.expected)
        yield DifferenceDocument(each.job_id, each.version, each.version, each.kind.value, *place, each.message)


def _differences(session: Session, verifier: "Verifier", jobs: list[str], since: str | None) -> "Iterator[Difference]":
    if jobs:
        return verifier.jobs([_id_of(session, each) for each in jobs])
    at = moment_given("--since", since)
    return verifier.all() if at is None else verifier.since(at)


def _id_of(session: Session, text: str) -> UUID:
    """A whole id is taken as it is: whoever hid the job's row must not hide its history with it."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(session.local.resolve(text))


def _sum(tally: "Tally", different: int) -> str:
    pruned = f", and {counted(tally.pruned, 'tombstone')}" if tally.pruned else ""
    looked_at = f"Verified {counted(tally.jobs, 'job')} with {counted(tally.events, 'event')}{pruned}"
    return f"{looked_at}: {'nothing differs' if not different else differing(different)}"


def _so_far(tally: "Tally") -> str:
    return f"{counted(tally.jobs, 'job')}, {counted(tally.events, 'event')}, {differing(tally.different)}"
