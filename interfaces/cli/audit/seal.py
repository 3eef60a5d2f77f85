"""`milepost audit seal`: the heads of all chains, to be kept where nobody who writes the event store can reach."""

from pathlib import Path
from typing import Annotated, Final

import typer

from milepost.interfaces.audit_documents import SealResult
from milepost.interfaces.cli.audit.files import Force
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session

app = new_app()

COLUMNS: Final[tuple[Column[SealResult], ...]] = (
    Column("File", lambda each: each.file),
    Column("Jobs", lambda each: each.jobs, right=True),
    Column("Pruned", lambda each: each.pruned, right=True),
    Column("Root", lambda each: each.root),
    Column("SealedAt", lambda each: each.sealed_at),
)


@command(app, "seal")
def seal_event_store(
    session: Session,
    file: Annotated[
        Path | None, typer.Argument(help="The file to write; none: standard output.", metavar="FILE")
    ] = None,
    force: Force = False,
) -> None:
    """Write the newest link of every job's chain, in all namespaces, and the Merkle root over them."""
    from milepost.interfaces.audit_service import AuditService

    done = AuditService(session.app).seal(file, replace=force)
    if file is None:
        session.note(_said(done))
    else:
        session.out.said([done], COLUMNS, lambda each: each.file, _said)


def _said(done: SealResult) -> str:
    into = "" if done.file == "-" else f" in {done.file}"
    pruned = f", {done.pruned} of them by their tombstones," if done.pruned else ""
    return f"Sealed {done.jobs} jobs{pruned}{into}. Merkle root {done.root}"
