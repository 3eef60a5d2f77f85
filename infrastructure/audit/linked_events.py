"""Events as an event store keeps them, with the links of their chains; page by page, so there may be any number."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.audit.chain import GENESIS
from milepost.infrastructure.audit.export_format import StoredEvent
from milepost.infrastructure.audit.side_by_side import BARE_ID
from milepost.infrastructure.event_store.all_streams import mark
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE

PAGE: Final = 1_000


def linked_events(database: Database, job_id: UUID, until: int | None = None) -> Iterator[StoredEvent]:
    """A job's events up to version `until`, in order, whatever they are. One without a link has that of none."""
    after = 0
    while True:
        with database.read() as connection:
            rows = _page(connection, job_id, after, 2**62 if until is None else until)
        for version, topic, state, chain in rows:
            yield StoredEvent(job_id, version, str(topic), _bytes(state), _bytes(chain or GENESIS))
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def link_of(connection: sa.Connection, job_id: UUID, version: int) -> bytes:
    """That of one event; that of none where it is not there."""
    sign = mark(connection)
    asked = f"SELECT chain FROM {EVENTS_TABLE} WHERE originator_id = {sign} AND originator_version = {sign}"
    return _bytes(connection.exec_driver_sql(asked, (job_id.hex, version)).scalar() or GENESIS)


def heads(connection: sa.Connection) -> Iterator[tuple[UUID, int, bytes]]:
    """The newest version and link of every job, by their ids; in one transaction, so as they were at one moment."""
    sign = mark(connection)
    asked = (
        "SELECT e.originator_id, e.originator_version, e.chain FROM ("
        f"SELECT originator_id, max(originator_version) AS newest FROM {EVENTS_TABLE} WHERE originator_id > {sign}"
        f" GROUP BY originator_id ORDER BY originator_id LIMIT {PAGE}) AS job"
        f" JOIN {EVENTS_TABLE} e ON e.originator_id = job.originator_id AND e.originator_version = job.newest"
        " ORDER BY e.originator_id"
    )
    after: Any = UUID(int=0).hex
    while rows := connection.exec_driver_sql(asked, (after,)).all():
        for job_id, version, chain in rows:
            if BARE_ID.fullmatch(found := str(job_id).replace("-", "")):  # what else there may be is no job's
                yield UUID(found), version, _bytes(chain or GENESIS)
        after = rows[-1][0]


def _bytes(value: Any) -> bytes:
    """SQLite lets anything stand anywhere."""
    return value if isinstance(value, bytes) else str(value or "").encode(errors="surrogateescape")


def _page(connection: sa.Connection, job_id: UUID, after: int, until: int) -> Sequence[Any]:
    sign = mark(connection)
    asked = (
        f"SELECT originator_version, topic, state, chain FROM {EVENTS_TABLE} WHERE originator_id = {sign}"
        f" AND originator_version > {sign} AND originator_version <= {sign} ORDER BY originator_version LIMIT {PAGE}"
    )
    return connection.exec_driver_sql(asked, (job_id.hex, after, until)).all()
