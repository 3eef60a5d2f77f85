"""The events of a job that say when its steps ran, without those that only say how far they came."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.infrastructure.event_store.codec import decode
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE

LEFT_OUT: Final = (e.StepProgressed.topic, e.StepsPlanned.topic)  # many, or large, and no beginning or end of anything


def turning_points(database: Database, job_id: UUID) -> Iterator[RecordedEvent]:
    """In order, all events but those. Raises UnreadableEvent."""
    asked = (
        f"SELECT originator_version, topic, state FROM {EVENTS_TABLE}"
        " WHERE originator_id=? AND topic NOT IN (?, ?) ORDER BY originator_version"
    )
    with database.read() as connection:
        if connection.dialect.name == "postgresql":
            asked = asked.replace("?", "%s")
        rows = connection.exec_driver_sql(asked, (job_id.hex, *LEFT_OUT)).fetchall()
    return (decode(job_id, version, topic, bytes(state)) for version, topic, state in rows)
