"""How an observer, a held partition and an event of the history stand in their rows, and what they are read as."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import ValidationError

from milepost.domain.envelope import Origin
from milepost.domain.events import ErrorDetail
from milepost.domain.observers.events import OBSERVER_EVENTS, ObserverEvent
from milepost.domain.observers.state import Observer, Partition, PartitionStatus


@dataclass(frozen=True, slots=True)
class LaterEvent:
    """An event that only a newer Milepost understands: its name, and what it says as it is kept."""

    topic: str
    partition: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecordedObserverEvent:
    """An event of an observer as it stands in its history at `version`."""

    namespace: str
    observer: str
    version: int
    event_id: UUID
    recorded_at: datetime
    origin: Origin
    event: ObserverEvent | LaterEvent


def recorded_event(row: sa.RowMapping) -> RecordedObserverEvent:
    """A row of the history."""
    origin = Origin(row["actor"], row["source"], row["reason"], row["correlation_id"])
    return RecordedObserverEvent(
        row["namespace"],
        row["observer"],
        row["version"],
        UUID(row["event_id"]),
        datetime.fromisoformat(row["recorded_at"]),
        origin,
        _event(row),
    )


def _event(row: sa.RowMapping) -> Any:
    try:
        return OBSERVER_EVENTS[row["topic"]].model_validate_json(row["state"])
    except (KeyError, ValidationError):
        return LaterEvent(row["topic"], row["partition"], json.loads(row["state"]))


def partition_of_row(row: sa.RowMapping) -> Partition:
    """A held partition."""
    return Partition(
        row["partition"],
        row["generation"],
        PartitionStatus(row["status"]),
        row["position"],
        row["attempts"],
        None if row["error"] is None else ErrorDetail.model_validate(json.loads(row["error"])),
        _moment(row["retry_at"]),
        _moment(row["since"]),
    )


def observer_of_row(row: Mapping[Any, Any]) -> Observer:
    """The state that follows from its events, as it stands in its row."""
    return Observer(
        row["namespace"],
        row["name"],
        row["version"],
        row["generation"],
        row["paused"],
        row["quarantined"],
        row["job"],
        row["held"],
        row["target"],
        row["until"],
    )


def row_of_observer(observer: Observer) -> dict[str, Any]:
    return {
        "namespace": observer.namespace,
        "name": observer.name,
        "version": observer.version,
        "generation": observer.generation,
        "paused": observer.paused,
        "quarantined": observer.quarantined,
        "job": observer.job,
        "held": observer.held,
        "target": observer.target,
        "until": observer.to,
    }


def row_of_partition(partition: Partition | None) -> dict[str, Any]:
    """Without its key. None: of one that goes on with the others."""
    if partition is None:
        return dict.fromkeys(("status", "position", "attempts", "error", "retry_at", "since"))
    return {
        "status": str(partition.status),
        "position": partition.position,
        "attempts": partition.attempts,
        "error": partition.error.model_dump_json() if partition.error else None,
        "retry_at": partition.retry_at.isoformat() if partition.retry_at else None,
        "since": partition.since.isoformat() if partition.since else None,
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
