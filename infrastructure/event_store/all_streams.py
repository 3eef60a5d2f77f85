"""The events of all jobs in the order of their commits: what live views follow.

A place in that order is told by the event that stands there (`EventKey`), never by a number: the numbers of a database
tell how much others do, and SQLite's may change when it is vacuumed. Each read looks up the number of the event that it
goes on from by the primary key, in its own transaction. The tombstone of a pruned job knows what stands before each of
its events, so that whoever stood at one of them goes on there (ADR/0021).

One writer at a time commits, on SQLite by its lock and on PostgreSQL by ours (ADR/0015), so that events become visible
in their order, and none is missing for a moment.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.envelope import RecordedEvent
from milepost.infrastructure.event_store.codec import decode
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs, steps
from milepost.infrastructure.event_store.tombstones import namespace_of_pruned, place_before

_POSITION: Final = {"sqlite": "e.rowid", "postgresql": "e.notification_id"}
_MARK: Final = {"sqlite": "?", "postgresql": "%s"}
_STREAM_OF_JOB: Final = {"sqlite": "replace(j.id, '-', '')", "postgresql": "j.id::uuid"}
LOOKED_AT: Final = 1_000  # events at once, backwards
LOOKED_BACK: Final = 10_000  # events, before each job of a namespace is asked for its newest
ASKED_AT_ONCE: Final = 500  # ids in one query


class PlaceGone(Exception):
    """The event that was to be gone on from is not there: it was deleted, or the database is another one."""

    def __init__(self, key: EventKey) -> None:
        self.key = key
        super().__init__(f"Event {key.version} of job {key.job_id} is not there any more.")


def position_column(connection: sa.Connection) -> str:
    """The column of the table of events, called `e`, that counts them all."""
    return _POSITION[connection.dialect.name]


def newest_position(connection: sa.Connection) -> int:
    """Of the newest event of all; 0 where there is none."""
    asked = f"SELECT max({position_column(connection)}) FROM {EVENTS_TABLE} e"
    found: int | None = connection.exec_driver_sql(asked).scalar()
    return found or 0


def newest_key(connection: sa.Connection) -> EventKey | None:
    """Of the newest event of all; None where there is none."""
    return key_at(connection, newest_position(connection))


def position_of(connection: sa.Connection, key: EventKey | None) -> int:
    """Of an event (None: of the very start), which holds in this transaction alone. Raises PlaceGone."""
    return _stands(connection, key)[1]


def _stands(connection: sa.Connection, key: EventKey | None) -> tuple[EventKey | None, int]:
    """The event itself and its position; where it was pruned, those of the nearest one before it that was not."""
    at = key
    while at is not None:
        found = _found(connection, at)
        if found is not None:
            return at, found
        try:
            at = place_before(connection, at)
        except KeyError:
            break
    if at is not None and key is not None:
        raise PlaceGone(key)
    return None, 0


def key_at(connection: sa.Connection, position: int) -> EventKey | None:
    """The event at that position."""
    asked = (
        f"SELECT e.originator_id, e.originator_version FROM {EVENTS_TABLE} e"
        f" WHERE {position_column(connection)} = {mark(connection)}"
    )
    row = connection.exec_driver_sql(asked, (position,)).one_or_none()
    return None if row is None else EventKey(UUID(str(row[0])), row[1])


def mark(connection: sa.Connection) -> str:
    """Of a value in a statement that the driver is given as it is."""
    return _MARK[connection.dialect.name]


def _found(connection: sa.Connection, key: EventKey) -> int | None:
    sign = mark(connection)
    asked = (
        f"SELECT {position_column(connection)} FROM {EVENTS_TABLE} e"
        f" WHERE e.originator_id = {sign} AND e.originator_version = {sign}"
    )
    found: int | None = connection.exec_driver_sql(asked, (key.job_id.hex, key.version)).scalar()
    return found


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of any job as it is kept, to be decoded only for those who want it."""

    namespace: str
    job_id: UUID
    version: int
    topic: str
    state: bytes

    @property
    def key(self) -> EventKey:
        return EventKey(self.job_id, self.version)

    def decoded(self) -> RecordedEvent:
        """Raises UnreadableEvent."""
        return decode(self.job_id, self.version, self.topic, self.state)


class Page(NamedTuple):
    """Events that follow one another, the place behind the last one that was looked at, and whether there is more."""

    events: list[StoredEvent]
    last: EventKey | None
    more: bool


class AllStreams:
    """Reads them page by page. All methods raise DatabaseUnavailable or CannotOpenDatabase."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.engine.dialect.name
        self._mark = _MARK[dialect]
        self._position = _POSITION[dialect]
        self._stream_of_job = _STREAM_OF_JOB[dialect]

    def newest(self) -> EventKey | None:
        """The event store's newest event; None where there is none."""
        with self._database.read() as connection:
            return newest_key(connection)

    def newest_of(self, namespace: str, until: EventKey | None) -> EventKey | None:
        """The newest event of a namespace among those up to `until`, None of which is up to the very start.

        Quick where something happened there lately; else it asks each of its jobs. Raises PlaceGone.
        """
        with self._database.read() as connection:
            position = position_of(connection, until)
            return self._lately(connection, namespace, position) or self._asked_of_all(connection, namespace, position)

    def after(
        self, key: EventKey | None, limit: int, *, until: EventKey | None = None, namespace: str | None = None
    ) -> Page:
        """Of the next `limit` events behind `key` (None: from the very start) those of the namespace, or of all.

        Raises PlaceGone.
        """
        asked = f"SELECT e.originator_id, e.originator_version, e.topic, e.state FROM {EVENTS_TABLE} e WHERE "
        with self._database.read() as connection:
            key, position = _stands(connection, key)
            conditions, values = [f"{self._position} > {self._mark}"], [position]
            if until is not None:
                conditions.append(f"{self._position} <= {self._mark}")
                values.append(position_of(connection, until))
            asked += f"{' AND '.join(conditions)} ORDER BY {self._position} LIMIT {self._mark}"
            rows = [
                (UUID(str(stream)), version, topic, bytes(state))
                for stream, version, topic, state in connection.exec_driver_sql(asked, (*values, limit))
            ]
            of = _namespaces(connection, {str(job_id) for job_id, *_ in rows})
        found = [
            StoredEvent(of[str(job_id)], job_id, version, topic, state)
            for job_id, version, topic, state in rows
            if str(job_id) in of and namespace in (None, of[str(job_id)])
        ]
        return Page(found, EventKey(*rows[-1][:2]) if rows else key, len(rows) == limit)

    def of_job(self, key: EventKey, limit: int, *, until: int | None = None) -> Page:
        """The next `limit` events of one job behind one of its own (version 0: from its first)."""
        asked = (
            f"SELECT originator_version, topic, state FROM {EVENTS_TABLE} WHERE originator_id = {self._mark}"
            f" AND originator_version > {self._mark} AND originator_version <= {self._mark}"
            f" ORDER BY originator_version LIMIT {self._mark}"
        )
        values = (key.job_id.hex, key.version, 2**62 if until is None else until, limit)
        with self._database.read() as connection:
            rows = connection.exec_driver_sql(asked, values).all()
            namespace = _namespaces(connection, {str(key.job_id)}).get(str(key.job_id), "")
        found = [StoredEvent(namespace, key.job_id, version, topic, bytes(state)) for version, topic, state in rows]
        return Page(found, found[-1].key if found else key, len(found) == limit)

    def version_of(self, job_id: UUID, until: EventKey | None) -> int:
        """The version of the job's newest event among those up to `until`; 0 where there is none. Raises PlaceGone."""
        asked = f"{self._newest_up_to(self._mark)}"
        with self._database.read() as connection:
            position = position_of(connection, until)
            found = connection.exec_driver_sql(asked, (job_id.hex, position)).scalar()
            key = key_at(connection, found or 0)
        return 0 if key is None else key.version

    def namespace_of(self, key: EventKey) -> str | None:
        """The namespace of an event; None where there is no such event."""
        with self._database.read() as connection:
            if _found(connection, key) is None:
                return namespace_of_pruned(connection, key)
            return _namespaces(connection, {str(key.job_id)}).get(str(key.job_id))

    def step_names(self, wanted: Collection[tuple[UUID, int]]) -> dict[tuple[UUID, int], str]:
        """The names of steps by their jobs and indexes."""
        of_jobs: dict[UUID, set[int]] = {}
        for job_id, step in wanted:
            of_jobs.setdefault(job_id, set()).add(step)
        if not of_jobs:
            return {}
        with self._database.read() as connection:
            return {
                (job_id, index): name
                for job_id, indexes in of_jobs.items()
                for part in _parts(sorted(indexes))
                for index, name in connection.execute(
                    sa.select(steps.c.step, steps.c.name).where(steps.c.job_id == str(job_id), steps.c.step.in_(part))
                )
            }

    def _lately(self, connection: sa.Connection, namespace: str, position: int) -> EventKey | None:
        asked = (
            f"SELECT {self._position}, e.originator_id, e.originator_version FROM {EVENTS_TABLE} e"
            f" WHERE {self._position} <= {self._mark} ORDER BY {self._position} DESC LIMIT {self._mark}"
        )
        for _ in range(0, LOOKED_BACK, LOOKED_AT):
            rows: Any = connection.exec_driver_sql(asked, (position, LOOKED_AT)).all()
            keys = [EventKey(UUID(str(stream)), version) for _, stream, version in rows]
            of = _namespaces(connection, {str(key.job_id) for key in keys})
            found = next((key for key in keys if of.get(str(key.job_id)) == namespace), None)
            if found is not None or len(rows) < LOOKED_AT:
                return found
            position = rows[-1][0] - 1
        return None

    def _asked_of_all(self, connection: sa.Connection, namespace: str, position: int) -> EventKey | None:
        asked = (
            f"SELECT max(({self._newest_up_to(self._stream_of_job)})) FROM {jobs.name} j"
            f" WHERE j.namespace = {self._mark}"
        )
        found: int | None = connection.exec_driver_sql(asked, (position, namespace)).scalar()
        return key_at(connection, found or 0)

    def _newest_up_to(self, stream: str) -> str:
        """SQL for the position of a stream's newest event up to a position: from its end backwards, so few rows."""
        return (
            f"SELECT {self._position} FROM {EVENTS_TABLE} e WHERE e.originator_id = {stream}"
            f" AND {self._position} <= {self._mark} ORDER BY e.originator_version DESC LIMIT 1"
        )


def _namespaces(connection: sa.Connection, ids: Iterable[str]) -> dict[str, str]:
    return {
        job_id: namespace
        for part in _parts(list(ids))
        for job_id, namespace in connection.execute(sa.select(jobs.c.id, jobs.c.namespace).where(jobs.c.id.in_(part)))
    }


def _parts(values: list[Any]) -> Iterable[list[Any]]:
    return (values[first : first + ASKED_AT_ONCE] for first in range(0, len(values), ASKED_AT_ONCE))
