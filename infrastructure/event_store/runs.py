"""The events of a job that say when its steps ran, without those that only say how far they came."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from milepost.domain import events as e
from milepost.infrastructure.event_store.codec import decode
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE

_LEFT_OUT: Final = (
    e.StepProgressed.topic,
    e.StepsPlanned.topic,
)  # many, or large, and nothing begins or ends with them
PAGE: Final = 5_000  # events


@dataclass(slots=True)
class TurningPoint:
    """An event in short. `step` and `attempt`: 0 where it is about none."""

    version: int
    event: type[e.JobEvent]
    at: datetime
    actor: str
    reason: str
    step: int = 0
    attempt: int = 0


def turning_points(database: Database, job_id: UUID, after: int = 0) -> Iterator[TurningPoint]:
    """In order, the events behind a version, but for those; page by page. Raises UnreadableEvent."""
    asked = (
        f"SELECT originator_version, topic, state FROM {EVENTS_TABLE}"
        " WHERE originator_id=? AND originator_version>? AND topic NOT IN (?, ?) ORDER BY originator_version LIMIT ?"
    )
    while True:
        with database.read() as connection:  # not longer than a page: others may be waiting for the connection
            if connection.dialect.name == "postgresql":
                asked = asked.replace("?", "%s")
            rows = connection.exec_driver_sql(asked, (job_id.hex, after, *_LEFT_OUT, PAGE)).fetchall()
        for version, topic, state in rows:
            yield _turning_point(job_id, version, topic, bytes(state))
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _turning_point(job_id: UUID, version: int, topic: str, state: bytes) -> TurningPoint:
    """Without making the event itself, which takes four times as long: a job of 10,000 steps has 20,000 of them."""
    document: dict[str, Any] = json.loads(state)
    cls = e.EVENT_CLASSES.get(topic)
    if cls is None or document.get("class_version", 1) != cls.class_version:
        return _lifted(job_id, version, topic, state)
    meta, event = document["meta"], document["event"]
    return TurningPoint(
        version,
        cls,
        _at(meta["at"]),
        meta["actor"],
        meta.get("reason", ""),
        event.get("step", 0),
        event.get("attempt", 0),
    )


def _lifted(job_id: UUID, version: int, topic: str, state: bytes) -> TurningPoint:
    recorded = decode(job_id, version, topic, state)
    event, origin = recorded.event, recorded.origin
    step, attempt = getattr(event, "step", 0), getattr(event, "attempt", 0)
    return TurningPoint(version, type(event), recorded.recorded_at, origin.actor, origin.reason, step, attempt)


@lru_cache(maxsize=64)  # the events of one commit share theirs
def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
