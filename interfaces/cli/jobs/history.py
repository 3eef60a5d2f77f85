"""`milepost jobs history`: every event of a job, as it was recorded."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.filters import JobId
from milepost.interfaces.cli.result_columns import EVENT_COLUMNS
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import LARGEST
from milepost.interfaces.documents import Json, camel
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
    names = session.app.queries.step_names(job_id)
    events = [event_document(each, names) for each in islice(wanted, limit)]
    session.out.many(events, EVENT_COLUMNS, lambda each: each.id)


def event_document(recorded: "RecordedEvent", names: Mapping[int, str]) -> EventDocument:
    origin = recorded.origin
    step: int | None = getattr(recorded.event, "step", None)
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
        step=None if step is None else names.get(step),
        data=_camel(recorded.event.model_dump(mode="json")),
    )


def _camel(data: dict[str, Json]) -> dict[str, Json]:
    """Our own names as in all documents; what users have put in keeps its own."""
    return {camel(name): _camel(value) if name == "policy" else value for name, value in data.items()}
