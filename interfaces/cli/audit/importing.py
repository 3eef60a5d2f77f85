"""`milepost audit import`: exported histories into another event store, as they were."""

from typing import Annotated, Final

import typer

from milepost.interfaces.audit_documents import ImportResult
from milepost.interfaces.cli.audit.files import ExportedFile
from milepost.interfaces.cli.audit.progress_line import ProgressLine
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import INTERRUPTED, REFUSED, Problem
from milepost.interfaces.quantities import counted

app = new_app()

TOLD: Final = 20  # jobs that were there already, one by one
ADVICE: Final = {
    "not at rest": "Give --live where that is meant",
    "was pruned here": "Import it into an event store of its own, or read the file by 'milepost audit replay'",
}
COLUMNS: Final[tuple[Column[ImportResult], ...]] = (
    Column("File", lambda each: each.file),
    Column("Namespace", lambda each: each.namespace),
    Column("Imported", lambda each: each.imported, right=True),
    Column("Events", lambda each: each.events, right=True),
    Column("There", lambda each: each.there, right=True),
    Column("Refused", lambda each: len(each.refused), right=True),
)


@command(app, "import")
def import_histories(
    session: Session,
    file: ExportedFile,
    live: Annotated[
        bool,
        typer.Option("--live", help="Also jobs that are not at rest: workers of this event store go on with them."),
    ] = False,
) -> None:
    """Bring exported histories into this event store: the same events, ids, versions, times and actors."""
    from milepost.interfaces.audit_service import AuditService

    there = 0

    def tell(job_id: str, why: str) -> None:
        nonlocal there
        there += 1
        if there <= TOLD:
            session.note(f"Skipped job {job_id}: {why}")

    line = ProgressLine(session)
    checking, importing = line.counting("Checked"), line.counting("Imported")
    try:
        with line:
            done = AuditService(session.app).import_(file, live=live, told=tell, checking=checking, importing=importing)
    except KeyboardInterrupt:
        session.fail(_interrupted(importing.events > 0))
        return
    if there > TOLD:
        session.note(f"and {there - TOLD} more")
    session.out.said([done], COLUMNS, lambda each: each.file, _said)
    for each in done.refused:
        advice = next((advice for said, advice in ADVICE.items() if said in each.message), "")
        session.fail(Problem(REFUSED, f"Job {each.id} was not imported: {each.message}", advice))


def _interrupted(begun: bool) -> Problem:
    if not begun:
        return Problem(INTERRUPTED, "Interrupted: nothing was imported", "")
    again = "Import the file again: it goes on behind them"
    return Problem(INTERRUPTED, "Interrupted: jobs that were imported whole are here to stay", again)


def _said(done: ImportResult) -> str:
    already = f"; {done.there:,} {_were(done.there)} here already" if done.there else ""
    out = f"; {len(done.refused):,} {_were(len(done.refused))} refused" if done.refused else ""
    return f"Imported {counted(done.imported, 'job')} with {counted(done.events, 'event')}{already}{out}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
