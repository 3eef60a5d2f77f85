"""From rows and events of observers to documents."""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from milepost.domain.events import ErrorDetail
from milepost.domain.observers.events import PartitionFailed
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.observers.state import ObserverStatus, PartitionStatus
from milepost.infrastructure.observers.abilities import able
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.observer import Observer
from milepost.infrastructure.observers.row_values import LaterEvent, RecordedObserverEvent, observer_of_row
from milepost.interfaces.documents import Json, camel
from milepost.interfaces.observer_documents import (
    AttemptDocument,
    FailedPartitionDocument,
    ObserverDocument,
    ObserverEventDocument,
    PartitionErrorDocument,
)

Row = Mapping[str, Any]
_NEVER_SEEN: Final[Row] = {
    "run": False,
    "holder": None,
    "position": 0,
    "newest": None,
    "handled": 0,
    "rate": None,
    "advanced_at": None,
    "partitions": None,
    "failed": 0,
    "given_up": 0,
    "waiting": 0,
    "trouble": None,
    "job_position": None,
    "job_worker": None,
}


def observer_document(row: Row | None, declared: type[Observer] | None, name: str, namespace: str) -> ObserverDocument:
    """Of its row, which one that was never seen has not, and its class, which one that is not known here has not."""
    state = ObserverState(namespace, name) if row is None else observer_of_row(row)
    told = _NEVER_SEEN if row is None else row
    position, newest = int(told["position"] or 0), told["newest"]
    return ObserverDocument(
        name=name,
        description="" if declared is None else inspect.cleandoc(declared.__doc__ or "").partition("\n")[0],
        declared=declared is not None,
        status=str(shown_status(state, run=bool(told["run"]), worked_on=told["job_worker"] is not None)),
        version=state.version,
        generation=state.generation,
        position=position,
        newest=newest,
        lag=None if newest is None else max(0, newest - position),
        handled=int(told["handled"] or 0),
        rate=told["rate"],
        advanced=told["advanced_at"],
        partitions=told.get("partitions"),
        failed_partitions=told["failed"],
        quarantined_partitions=told["given_up"],
        waiting=told["waiting"],
        job=state.job,
        doing=state.held,
        job_position=None if state.job is None else int(told["job_position"] or 0),
        job_until=state.to,
        worker=told["holder"] if told["run"] else None,
        why=state.quarantined,
        trouble=told["trouble"],
        tables=[] if declared is None else _tables(declared, namespace),
        can_replay=declared is not None and able(declared, "replay"),
        can_replay_beside=declared is not None and able(declared, "replay-beside"),
        can_replay_partition=declared is not None and able(declared, "replay-partition"),
        can_rebuild=declared is not None and able(declared, "rebuild"),
    )


def shown_status(observer: ObserverState, *, run: bool, worked_on: bool) -> ObserverStatus:
    """Disconnected where nobody hands it events: no process runs it live, and none works on a job that catches it up.

    What stands in its history stays as it is said there: paused, quarantined, being replayed.
    """
    status = observer.status
    if run or status not in (ObserverStatus.ACTIVE, ObserverStatus.CATCHING_UP):
        return status
    return status if status is ObserverStatus.CATCHING_UP and worked_on else ObserverStatus.DISCONNECTED


def failed_partition_document(row: Row, history: Sequence[RecordedObserverEvent] = ()) -> FailedPartitionDocument:
    error = json.loads(row["error"]) if row["error"] else None
    held_up = _held_up(row)
    return FailedPartitionDocument(
        observer=row["observer"],
        partition=row["partition"],
        status=row["status"],
        position=row["position"],
        waiting=row["waiting"],
        attempts=row["attempts"],
        since=row["since"],
        retry_at=None if held_up else row["retry_at"],
        job=row["job"],
        error="" if error is None else _in_a_line(error["type"], error["message"]),
        held_up=held_up,
        history=[_attempt(each, each.event) for each in history if isinstance(each.event, PartitionFailed)],
    )


def _held_up(row: Row) -> str | None:
    """Whoever runs an observer tries its partitions again, and only while nothing has it stand still."""
    if row["job"] is not None or row["status"] == PartitionStatus.QUARANTINED:
        return None
    if row["quarantined"] is not None:
        return "its observer is quarantined"
    if row["paused"]:
        return "its observer is paused"
    return None if row["run"] else "no process runs its observer"


def observer_event_document(recorded: RecordedObserverEvent) -> ObserverEventDocument:
    origin, event = recorded.origin, recorded.event
    return ObserverEventDocument(
        observer=recorded.observer,
        version=recorded.version,
        id=str(recorded.event_id),
        event=event.topic,
        occurred=recorded.recorded_at.isoformat(timespec="microseconds"),
        actor=origin.actor,
        source=origin.source,
        reason=origin.reason,
        correlation_id=origin.correlation_id,
        partition=getattr(event, "partition", None),
        data=event.data if isinstance(event, LaterEvent) else _camel(event.model_dump(mode="json")),
    )


def _tables(declared: type[Observer], namespace: str) -> list[str]:
    if declared.tables is None:
        return []
    served = Generation(declared.tables, namespace)
    return sorted(served.table(table).name for table in declared.tables.sorted_tables)


def _attempt(recorded: RecordedObserverEvent, failed: PartitionFailed) -> AttemptDocument:
    return AttemptDocument(
        version=recorded.version,
        attempt=failed.attempt,
        position=failed.position,
        occurred=recorded.recorded_at.isoformat(timespec="microseconds"),
        actor=recorded.origin.actor,
        error=_error(failed.error),
        retry_at=None if failed.retry_at is None else failed.retry_at.isoformat(timespec="microseconds"),
    )


def _error(error: ErrorDetail) -> PartitionErrorDocument:
    return PartitionErrorDocument(error.type, error.message, error.traceback, list(error.causes), error.cut)


def _in_a_line(kind: str, message: str) -> str:
    return " ".join(f"{kind.rpartition('.')[2]}: {message}".split())


def _camel(data: dict[str, Json]) -> dict[str, Json]:
    return {camel(name): value for name, value in data.items()}
