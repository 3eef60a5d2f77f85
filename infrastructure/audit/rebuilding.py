"""Makes the rows that a list shows of a job what follows from its events, while others go on writing. See ADR/0022.

What differs is found outside of any lock. It is written in short transactions, each of which first folds what was
appended meanwhile: rows of events that come later are kept by whoever appends them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.state_machine import LIVE
from milepost.infrastructure.audit.differences import Differs
from milepost.infrastructure.audit.histories import Fold, folds_kept, snapshot_fault
from milepost.infrastructure.audit.owning import Bond, Bound
from milepost.infrastructure.audit.side_by_side import Stored, Values, bare, is_id
from milepost.infrastructure.event_store import tombstones
from milepost.infrastructure.event_store.all_streams import mark
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.read_models import job_row, status_row, step_values, upsert
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs, snapshots, status_changes, steps
from milepost.infrastructure.event_store.schema import tombstones as tombstones_kept

ROWS_AT_ONCE: Final = 500  # that one transaction writes

_TAIL: Final = (
    f"SELECT originator_id, originator_version, topic, state, chain FROM {EVENTS_TABLE}"
    " WHERE originator_id = ? AND originator_version > ? ORDER BY originator_version"
)

Key = tuple[sa.Table, Any]  # a table, and which of the job's rows in it


@dataclass(slots=True)
class Comparison:
    """A job's rows beside what follows from its events."""

    job_id: str
    fold: Fold | None  # None: there is no event of it
    wrong: list[Key] = field(default_factory=list[Key])
    changes: dict[Any, Values] = field(
        default_factory=dict[Any, Values]
    )  # by version: those that are due and not there
    snapshot_is_wrong: bool = False
    refused: str = ""  # why its rows are left as they are
    events: int = 0  # that were folded

    @property
    def mends(self) -> bool:
        """Whether there is something to be written."""
        return not self.refused and bool(self.wrong or self.snapshot_is_wrong)

    def follow(self, connection: sa.Connection) -> None:
        """Fold what was appended meanwhile. Raises Differs."""
        if self.fold is None:
            return
        asked = _TAIL.replace("?", mark(connection))
        rows = connection.exec_driver_sql(asked, (self.fold.job.id.hex, self.fold.job.version)).all()
        for recorded, before in self.fold.follow(tuple(row) for row in rows):
            if self.fold.job.status is not before:
                self.changes[recorded.version] = tuple(status_row(recorded, self.fold.job.status).values())

    def due(self, key: Key) -> Values | None:
        """The row that must be there; None: there must be none."""
        table, which = key
        if self.fold is None:
            return None
        job = self.fold.job
        if table is jobs:
            return tuple(job_row(job).values())
        if table is status_changes:
            return self.changes.get(which)
        step = job.steps.get(which) if isinstance(which, int) else None
        return None if step is None else step_values(self.job_id, step)


def compare(each: Bound, stored: Stored, *, trust_history: bool, live: bool = False) -> Comparison:
    """What is wrong. A history that is broken, or shorter than its rows know, is `refused`: its rows are evidence.

    `trust_history`: one that is shorter is taken for whole; `live`: also where a worker goes on with the job then.
    """
    if (tombstone := next(stored.tombstones.of(each.job_id), None)) is not None:
        return _pruned(each.job_id, stored, remaining=tombstone[3])
    events = stored.events.next
    if events is None or events[0] != bare(each.job_id):
        return _without_history(each, stored, trust_history=trust_history)
    found = Comparison(each.job_id, Fold(UUID(each.job_id)))
    try:
        shown = _compare(found, stored)
    except Differs as differs:
        told = f"{jobs.name} has a row of job {each.job_id} here, and no event says so"
        found.refused = told if each.bond is Bond.ROW_OF_ANOTHER else differs.difference.message
    else:
        found.refused = _too_short(found, shown, trust_history=trust_history, live=live)
    if not found.mends:
        found.fold = None  # of many jobs no more is kept than what is needed to write
    return found


def _too_short(found: Comparison, shown: Values | None, *, trust_history: bool, live: bool) -> str:
    """Why a history that is shorter than its row knows is not followed; empty where it is."""
    known = _later_version(found, shown)
    if known is None or found.fold is None:
        return ""
    if not trust_history:
        return (
            f"{jobs.name} knows of version {known} of job {found.job_id}, and there are {found.events} events: the"
            " newest were removed, or the row was changed"
        )
    status = found.fold.job.status
    if status in LIVE and not live:
        return f"The events that are left of job {found.job_id} say that it is {status}: a worker would go on with it"
    return ""


def _pruned(job_id: str, stored: Stored, remaining: Any) -> Comparison:
    """Nothing where a prune has yet to delete the rest: it begins with the row that a list shows."""
    if remaining and (stored.jobs.next is None or stored.jobs.next[0] != job_id):
        return Comparison(job_id, None)
    why = f"{tombstones_kept.name} says that job {job_id} was pruned, and more is there than a prune leaves"
    return Comparison(job_id, None, refused=why)


def _without_history(each: Bound, stored: Stored, *, trust_history: bool) -> Comparison:
    found = Comparison(each.job_id, None)
    for table, rows in ((jobs, stored.jobs), (status_changes, stored.status_changes), (steps, stored.steps)):
        found.wrong += [(table, None if table is jobs else row[1]) for row in rows.of(each.job_id)]
    if not trust_history:
        found.refused = f"{jobs.name} has a row of job {each.job_id}, of which there is no event"
    return found


def _compare(found: Comparison, stored: Stored) -> Values | None:
    """The row of the job that was found. Raises Differs."""
    assert found.fold is not None
    job_id, fold = found.job_id, found.fold
    shown = next(stored.jobs.of(job_id), None)
    changes = {row[1]: row for row in stored.status_changes.of(job_id)}
    kept = folds_kept(job_id, stored)
    for recorded, before in fold.follow(stored.events.of(bare(job_id))):
        version = found.events = recorded.version
        if fold.job.status is not before:
            due = tuple(status_row(recorded, fold.job.status).values())
            if changes.pop(version, None) != due:
                found.wrong.append((status_changes, version))
                found.changes[version] = due
        if version in kept:
            found.snapshot_is_wrong |= bool(snapshot_fault(fold.job, kept.pop(version)))
    found.snapshot_is_wrong |= bool(kept)
    found.wrong += [(status_changes, version) for version in changes]
    found.wrong += [(steps, index) for index in _wrong_steps(fold, stored.steps.of(job_id))]
    if shown != tuple(job_row(fold.job).values()):
        found.wrong.append((jobs, None))
    return shown


def _wrong_steps(fold: Fold, rows: Iterator[Values]) -> Iterator[Any]:
    missing, job_id = set(fold.job.steps), str(fold.job.id)
    for row in rows:
        index = row[1]
        step = fold.job.steps.get(index) if isinstance(index, int) else None
        missing.discard(index)
        if step is None or row != step_values(job_id, step):
            yield index
    yield from sorted(missing)


def _later_version(found: Comparison, shown: Values | None) -> int | None:
    """That of the row, where it is not the number alone that is wrong: see `histories`."""
    if shown is None or found.fold is None:
        return None
    at = jobs.c.keys().index("version")
    known, due = shown[at], tuple(job_row(found.fold.job).values())
    if not isinstance(known, int) or known <= found.fold.job.version:
        return None
    alone = len(found.wrong) == 1 and (*shown[:at], due[at], *shown[at + 1 :]) == due
    return None if alone else known


def mend(database: Database, found: Comparison) -> int:
    """Write what is wrong, a little at a time; how many rows that were. Raises Differs, DatabaseUnavailable."""
    rows = 0
    for first in range(0, max(1, len(found.wrong)), ROWS_AT_ONCE):
        keys = found.wrong[first : first + ROWS_AT_ONCE]
        with database.read() as connection:
            found.follow(connection)  # most of it without the lock
        with database.write() as connection:
            if tombstones.find(connection, found.job_id) is not None:
                return rows  # it was pruned meanwhile
            found.follow(connection)
            if found.fold is None and _has_events(connection, found.job_id):
                return rows
            if first == 0:
                connection.execute(snapshots.delete().where(snapshots.c.job_id == found.job_id))
            for table in (jobs, status_changes, steps):
                _write(connection, table, found, [key for key in keys if key[0] is table])
        rows += len(keys)
    return rows


def _has_events(connection: sa.Connection, job_id: str) -> bool:
    if not is_id(job_id):  # though it may look like one, as in capital letters
        return False
    asked = _TAIL.replace("?", mark(connection))
    return connection.exec_driver_sql(asked, (bare(job_id), 0)).first() is not None


def _write(connection: sa.Connection, table: sa.Table, found: Comparison, keys: Sequence[Key]) -> None:
    due = {key: found.due(key) for key in keys}
    if rows := [row for row in due.values() if row is not None]:
        connection.exec_driver_sql(upsert(table, connection.dialect.name), rows)
    job, *others = table.primary_key.columns.values()
    for _, which in (key for key, row in due.items() if row is None):
        connection.execute(table.delete().where(job == found.job_id, *(other == which for other in others)))
