"""`milepost audit replay`: what exported jobs were after each event, from the file alone."""

from typing import Annotated, Final

import typer

from milepost.interfaces.audit_documents import ReplayedEvent
from milepost.interfaces.cli.audit.files import ExportedFile
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.result_columns import details
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import STATUS_STYLE, local
from milepost.interfaces.quantities import of_total

app = new_app()

COLUMNS: Final[tuple[Column[ReplayedEvent], ...]] = (
    Column("Id", lambda each: each.job.id, gives_way=True),
    Column("Version", lambda each: each.event.version, right=True),
    Column("Time", lambda each: each.event.occurred, lambda each: local(each.event.occurred)),
    Column("Event", lambda each: each.event.event),
    Column("Status", lambda each: each.job.status, style=lambda each: STATUS_STYLE.get(each.job.status, "")),
    Column("Steps", lambda each: _steps(each), right=True),
    Column("Items", lambda each: of_total(each.job.progress.items_done, None, each.job.progress.unit), right=True),
    Column("Actor", lambda each: each.event.actor, gives_way=True),
    Column("Reason", lambda each: each.event.reason, gives_way=True),
    Column("Details", lambda each: details(each.event), gives_way=True),
)


@command(app, "replay")
def replay_histories(
    session: Session,
    file: ExportedFile,
    job: Annotated[
        str | None, typer.Argument(help="Only this job: its id, or the beginning of it.", metavar="ID")
    ] = None,
) -> None:
    """Fold exported histories without an event store, and show the job after each event."""
    from milepost.interfaces.audit_service import replay

    session.out.many(replay(file, job), COLUMNS, lambda each: each.event.id)


def _steps(each: ReplayedEvent) -> str:
    """Those that have ended, of all."""
    progress = each.job.progress
    return f"{progress.successful_steps + progress.failed_steps}/{progress.total_steps}"
