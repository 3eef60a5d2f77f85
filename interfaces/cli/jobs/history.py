"""`milepost jobs history`: every event of a job, as it was recorded."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.filters import JobId
from milepost.interfaces.cli.result_columns import EVENT_COLUMNS
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import LARGEST
from milepost.interfaces.result_documents import EventDocument

if TYPE_CHECKING:
    from milepost.domain.envelope import RecordedEvent

app = new_app()


@command(app, "history")
def job_history(
    session: Session,
    job: JobId,
    after: Annotated[
        int, typer.Option("--after", min=0, max=LARGEST, help="Only events behind this one.", metavar="VERSION")
    ] = 0,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=LARGEST, help="How many at most.", metavar="N")
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option("--event", help="Only events of this name; may be repeated.", metavar="NAME")
    ] = None,
) -> None:
    """Show what happened to a job: version, time, event, who, from where, why, and what exactly."""
    from itertools import islice

    job_id = session.app.queries.resolve(session.namespace, job)
    recorded = session.app.store.history(UUID(job_id), after)
    wanted = (each for each in recorded if not event or type(each.event).__name__ in event)
    events = [event_document(each) for each in islice(wanted, limit)]
    session.out.many(events, EVENT_COLUMNS, lambda each: each.id)


def event_document(recorded: "RecordedEvent") -> EventDocument:
    origin = recorded.origin
    return EventDocument(
        job_id=str(recorded.job_id),
        version=recorded.version,
        id=str(recorded.event_id),
        event=type(recorded.event).__name__,
        occurred=recorded.recorded_at.isoformat(timespec="microseconds"),
        actor=origin.actor,
        source=origin.source,
        reason=origin.reason,
        correlation_id=origin.correlation_id,
        data=recorded.event.model_dump(mode="json"),
    )
