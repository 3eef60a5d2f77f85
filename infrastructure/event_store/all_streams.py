"""The events of all jobs in the order of their commits, from a position on: what live views follow."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.envelope import RecordedEvent
from milepost.infrastructure.event_store.codec import decode
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs

# One writer at a time commits, so positions become visible in their order and none is missing for a moment.
_POSITION: Final = {"sqlite": "e.rowid", "postgresql": "e.notification_id"}


def position_column(connection: sa.Connection) -> str:
    """The column of the table of events, called `e`, that counts them all."""
    return _POSITION[connection.dialect.name]


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """An event of any job, and its place among all of the event store."""

    position: int
    namespace: str
    recorded: RecordedEvent


class AllStreams:
    """Reads them page by page."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._position = _POSITION[database.engine.dialect.name]
        self._mark = "?" if database.engine.dialect.name == "sqlite" else "%s"

    def last_position(self) -> int:
        """Of the newest event; 0 where there is none."""
        with self._database.read() as connection:
            found: int | None = connection.exec_driver_sql(
                f"SELECT max({self._position}) FROM {EVENTS_TABLE} e"
            ).scalar()
        return found or 0

    def after(self, position: int, limit: int) -> list[PlacedEvent]:
        """The next events behind that position. Raises UnreadableEvent."""
        asked = (
            f"SELECT {self._position}, e.originator_id, e.originator_version, e.topic, e.state FROM {EVENTS_TABLE} e"
            f" WHERE {self._position} > {self._mark} ORDER BY {self._position} LIMIT {self._mark}"
        )
        with self._database.read() as connection:
            rows = [
                (position, UUID(str(job_id)), version, topic, bytes(state))
                for position, job_id, version, topic, state in connection.exec_driver_sql(asked, (position, limit))
            ]
            of = self._namespaces(connection, {str(job_id) for _, job_id, *_ in rows})
        return [
            PlacedEvent(position, of[str(job_id)], decode(job_id, version, topic, state))
            for position, job_id, version, topic, state in rows
            if str(job_id) in of
        ]

    @staticmethod
    def _namespaces(connection: sa.Connection, ids: Collection[str]) -> dict[str, str]:
        found = sa.select(jobs.c.id, jobs.c.namespace).where(jobs.c.id.in_(ids))
        return dict(connection.execute(found).all())
