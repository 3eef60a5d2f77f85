"""Whether what is left of a pruned job is what a prune leaves: a tombstone, and until it is finished a beginning."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.audit.chain import GENESIS
from milepost.infrastructure.audit.differences import Difference, Differs, Kind
from milepost.infrastructure.audit.histories import missing, recorded_events
from milepost.infrastructure.audit.side_by_side import Rows, Stored, Values, is_id
from milepost.infrastructure.audit.tombstone_rows import TombstoneRow
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs, status_changes, steps, tombstones


def check_pruned(tombstone: Values, stored: Stored) -> int:
    """How many of its events are still there. Raises Differs."""
    job_id, versions, head, remaining = tombstone
    row = TombstoneRow(job_id, versions, head, remaining, digest="")
    if row.fault is not None:
        column, why = row.fault
        kind = Kind.TOMBSTONE_FALSE if is_id(row.job_id) else Kind.ID_INVALID
        raise _differs(row, column, getattr(row, column), None, f"cannot be a prune's: {why}", kind)
    _refuse_rows(row, jobs, stored.jobs)
    _refuse_rows(row, status_changes, stored.status_changes)
    if not row.remaining:  # its steps go before its events do
        _refuse_rows(row, steps, stored.steps)
    return _beginning(row, stored)


def _beginning(row: TombstoneRow, stored: Stored) -> int:
    """What a prune has left so far."""
    job_id, newest, found = UUID(row.job_id), GENESIS, 0

    for recorded, newest in recorded_events(job_id, stored.events.of(job_id.hex)):  # noqa: B007 - of the last one
        found = recorded.version
        if found > row.remaining:
            said = f"says that {row.remaining} of its events are left, and {EVENTS_TABLE} has more"
            raise _differs(row, "remaining", row.remaining, found, said)
    if found < row.remaining:
        raise missing(job_id, found + 1, f"its prune has come to version {row.remaining}")
    if found == row.versions and newest.hex() != row.head:
        raise _differs(row, "head", row.head, newest.hex(), "says another head than its events have")
    return found


def _refuse_rows(row: TombstoneRow, table: sa.Table, rows: Rows) -> None:
    if rows.next is not None and rows.next[0] == row.job_id:
        raise _differs(row, "job_id", row.job_id, None, f"says that it was pruned, and {table.name} has rows of it")


def _differs(
    row: TombstoneRow, column: str, found: Any, expected: Any, what: str, kind: Kind = Kind.TOMBSTONE_FALSE
) -> Differs:
    told = found if isinstance(found, (str, int, float, type(None))) else repr(found)
    message = f"{tombstones.name}: the row of job {row.job_id} {what}"
    return Differs(
        Difference(str(row.job_id), 0, kind, tombstones.name, str(row.job_id), column, told, expected, message)
    )
