"""The events that a webhook is to be told of, in the order of their commits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.envelope import RecordedEvent
from milepost.infrastructure.event_store.all_streams import mark, newest_key, position_column, position_of
from milepost.infrastructure.event_store.codec import decode
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.infrastructure.event_store.occasions import occasion_of, topics_of
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs, status_changes
from milepost.infrastructure.event_store.webhooks import Webhook

PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Announced:
    """An event as it was stored, what it is called, and what its job was when it had happened."""

    job_id: UUID
    version: int
    topic: str
    state: bytes
    occasion: str
    namespace: str
    job_type: str
    details: str
    tags: str  # JSON
    status: str

    @property
    def key(self) -> EventKey:
        return EventKey(self.job_id, self.version)

    def recorded(self) -> RecordedEvent:
        """Raises UnreadableEvent."""
        return decode(self.job_id, self.version, self.topic, self.state)


@dataclass(frozen=True, slots=True)
class _Row:
    job_id: UUID
    version: int
    topic: str
    state: bytes

    @property
    def place(self) -> tuple[str, int]:
        return (str(self.job_id), self.version)


class Announcements:
    """Found by the database, by the stored names of the events: those that nobody asked for are not even decoded."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> EventKey | None:
        """The newest event of all; None where there is none."""
        with self._database.read() as connection:
            return newest_key(connection)

    def between(self, place: EventKey | None, until: EventKey | None) -> int:
        """How many events at most lie between them. Raises PlaceGone."""
        with self._database.read() as connection:
            return position_of(connection, until) - position_of(connection, place)

    def after(self, place: EventKey | None, until: EventKey | None, webhook: Webhook) -> Iterator[Announced]:
        """Those that the webhook is to be told of behind `place`, up to `until`; read as they are asked for.

        None is the very start. Raises PlaceGone.
        """
        while True:
            with self._database.read() as connection:
                rows = self._page(connection, place, until, topics_of(webhook.occasions))
                told = list(_told(connection, rows, webhook))
            yield from told
            if len(rows) < PAGE:
                return
            place = EventKey(rows[-1].job_id, rows[-1].version)

    def _page(
        self, connection: sa.Connection, place: EventKey | None, until: EventKey | None, topics: Sequence[str]
    ) -> list[_Row]:
        at, sign = position_column(connection), mark(connection)
        values = (position_of(connection, place), position_of(connection, until), *topics)
        asked = (
            f"SELECT e.originator_id, e.originator_version, e.topic, e.state FROM {EVENTS_TABLE} e"
            f" WHERE {at} > {sign} AND {at} <= {sign} AND e.topic IN ({', '.join([sign] * len(topics))})"
            f" ORDER BY {at} LIMIT {PAGE}"
        )
        return [
            _Row(UUID(str(job_id)), version, topic, bytes(state))
            for job_id, version, topic, state in connection.exec_driver_sql(asked, values)
        ]


def _told(connection: sa.Connection, rows: Sequence[_Row], webhook: Webhook) -> Iterator[Announced]:
    ids = {str(row.job_id) for row in rows}
    of = {job.id: job for job in connection.execute(sa.select(*_KNOWN).where(jobs.c.id.in_(ids)))}
    places = sa.tuple_(status_changes.c.job_id, status_changes.c.version).in_([row.place for row in rows])
    statuses = {
        (job_id, version): status
        for job_id, version, status in connection.execute(
            sa.select(status_changes.c.job_id, status_changes.c.version, status_changes.c.status).where(places)
        )
    }
    for row in rows:
        job, status = of.get(str(row.job_id)), statuses.get(row.place, "")
        if job is None or not webhook.is_about(job.namespace, job.type):
            continue
        occasion = occasion_of(row.topic, status, webhook.occasions)
        if occasion is not None:
            yield Announced(
                row.job_id, row.version, row.topic, row.state,
                occasion, job.namespace, job.type, job.details, job.tags, status,
            )  # fmt: skip


_KNOWN: Final = (jobs.c.id, jobs.c.namespace, jobs.c.type, jobs.c.details, jobs.c.tags)
