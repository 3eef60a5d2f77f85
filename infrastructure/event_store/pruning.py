"""Takes the histories of ended jobs out of an event store for good, a little at a time; a tombstone of each stays.

A batch holds the write lock for moments. What it needs to know beforehand is read before; an ended job that went on
meanwhile is left alone. A job of many events goes in parts, its newest events first, so that what is left of a prune
that was broken off is the beginning of a history, which nobody can append to: the next prune goes on with it. See
ADR/0021.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.envelope import Origin
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.all_streams import mark, position_column
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.infrastructure.event_store.schema import (
    EVENTS_TABLE,
    checkpoints,
    commands,
    jobs,
    leases,
    refusals,
    snapshots,
    status_changes,
    steps,
    tombstones,
)
from milepost.infrastructure.event_store.tombstones import Place, written

if TYPE_CHECKING:
    from milepost.infrastructure.audit.archiving import Archive

S = JobStatus
# Those that may be pruned: what is stopped may go on, and so is no history yet.
ENDED: Final = (S.CANCELLED, S.COMPLETED_SUCCESSFULLY, S.COMPLETED_WITH_FAILURES, S.FAILED, S.REMOVED)
JOBS_AT_ONCE: Final = 50
EVENTS_AT_ONCE: Final = 2_000  # with the steps
ARCHIVED_AT_ONCE: Final = 1_000  # jobs of one file: no lock is held meanwhile
ARCHIVED_EVENTS: Final = 100_000
PAUSE_SECONDS: Final = 0.02  # between two batches, for others who write
PLACES_MOST: Final = 1_000  # of a job among whose events stand more of others, the later ones share one

_WITH_JOB: Final = (jobs, status_changes, leases, refusals, commands, snapshots)
_IN_PARTS: Final = (steps, checkpoints)


@dataclass(frozen=True, slots=True)
class PruneRule:
    """Which jobs are to go: those that ended before a time, of these statuses and types (none: of all).

    `keep`: of each type, so many of the newest that are meant stay, however old. `namespace`: None for all.
    """

    namespace: str | None
    before: datetime
    statuses: tuple[JobStatus, ...] = ENDED
    types: tuple[str, ...] = ()
    keep: int = 0


@dataclass(frozen=True, slots=True)
class Prunable:
    """Jobs of one type and status that a rule means."""

    job_type: str
    status: str
    jobs: int
    events: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was taken out, and whether there is more that the rule means."""

    found: tuple[Prunable, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class _Candidate:
    job_id: str
    namespace: str
    job_type: str
    status: str
    version: int
    total: int
    created_at: str
    ended_at: str

    @property
    def rows(self) -> int:
        """That go with it: steps may be many that no event is about, where a job was cancelled before they ran."""
        return self.version + self.total


class Pruning:
    """Of one event store. All methods raise DatabaseUnavailable or CannotOpenDatabase."""

    def __init__(
        self, database: Database, surroundings: Surroundings, pause: Callable[[float], object] = time.sleep
    ) -> None:
        self._database = database
        self._surroundings = surroundings
        self._pause = pause

    def meant(self, rule: PruneRule) -> tuple[Prunable, ...]:
        """What would go."""
        found = _meant(rule).subquery()
        counted = sa.select(found.c.type, found.c.status, sa.func.count(), sa.func.sum(found.c.version))
        with self._database.read() as connection:
            rows = connection.execute(
                counted.group_by(found.c.type, found.c.status).order_by(found.c.type, found.c.status)
            ).all()
        return tuple(Prunable(job_type, status, number, int(events)) for job_type, status, number, events in rows)

    def ids(self, rule: PruneRule, limit: int) -> list[str]:
        """The oldest of those jobs."""
        return [each.job_id for each in self._candidates(rule, limit)]

    def prune(
        self,
        rule: PruneRule,
        origin: Origin,
        *,
        limit: int,
        within_seconds: float | None = None,
        archive: "Archive | None" = None,
    ) -> Pruned:
        """Take out the oldest that are meant: at most `limit` jobs, and none is begun after so many seconds.

        `archive`: what goes is in a file there before. Raises ArchiveFailed; what was not archived has stayed then.
        """
        began = self._surroundings.monotonic()
        self.finish()
        gone: list[_Candidate] = []
        found = self._candidates(rule, limit + 1)
        meant, looked_at = found[:limit], 0
        for part in _batches(meant, JOBS_AT_ONCE, EVENTS_AT_ONCE) if archive is None else _files(meant):
            gone += self._take_out(part, origin) if archive is None else self._archive(part, origin, archive)
            looked_at += len(part)
            self._pause(PAUSE_SECONDS)
            if within_seconds is not None and self._surroundings.monotonic() - began >= within_seconds:
                break
        return Pruned(_counted(gone), more=looked_at < len(found))

    def finish(self) -> None:
        """Go on with what a prune left half-way."""
        asked = sa.select(tombstones.c.job_id).where(tombstones.c.remaining > 0)
        with self._database.read() as connection:
            left = connection.scalars(asked).all()
        for job_id in left:
            self._finish(job_id)

    def _candidates(self, rule: PruneRule, limit: int) -> list[_Candidate]:
        with self._database.read() as connection:
            return [_Candidate(*row) for row in connection.execute(_meant(rule).limit(limit))]

    def _archive(self, part: Sequence[_Candidate], origin: Origin, archive: "Archive") -> list[_Candidate]:
        """Keep a part in one file, and then take out what that has, where it is still as it was written."""
        kept = archive.keep(part[0].namespace, {each.job_id: each.version for each in part})
        gone: list[_Candidate] = []
        if kept is not None:
            there = [each for each in part if each.job_id in kept.versions]
            for batch in _batches(there, JOBS_AT_ONCE, EVENTS_AT_ONCE):
                gone += self._take_out(batch, origin, kept.file.name)
                self._pause(PAUSE_SECONDS)
        return gone

    def _take_out(self, batch: Sequence[_Candidate], origin: Origin, file: str | None = None) -> list[_Candidate]:
        """Those of the batch that are still as they were seen."""
        with self._database.read() as connection:
            places = {each.job_id: written(_places(connection, each.job_id)) for each in batch}
        large: list[_Candidate] = []
        with self._database.write() as connection:
            there = _unchanged(connection, batch)
            if not there:
                return []
            ids = [each.job_id for each in there]
            # One that was imported again after a prune has a tombstone already, which says what is not so any more.
            connection.execute(tombstones.delete().where(tombstones.c.job_id.in_(ids)))
            connection.execute(
                tombstones.insert(), [self._tombstone(connection, each, places, origin, file) for each in there]
            )
            for table in _WITH_JOB:
                connection.execute(table.delete().where(_column(table).in_(ids)))
            large = [each for each in there if each.rows > EVENTS_AT_ONCE]
            small = [each.job_id for each in there if each.rows <= EVENTS_AT_ONCE]
            for table in _IN_PARTS:
                connection.execute(table.delete().where(_column(table).in_(small)))
            for job_id in small:
                _delete_events(connection, job_id, 0)
        for each in large:
            self._finish(each.job_id)
        return there

    def _tombstone(
        self,
        connection: sa.Connection,
        each: _Candidate,
        places: Mapping[str, str],
        origin: Origin,
        file: str | None,
    ) -> dict[str, Any]:
        return {
            "job_id": each.job_id,
            "namespace": each.namespace,
            "type": each.job_type,
            "status": each.status,
            "versions": each.version,
            "head": _head(connection, each.job_id, each.version),
            "created_at": each.created_at,
            "ended_at": each.ended_at,
            "pruned_at": self._surroundings.now().isoformat(timespec="microseconds"),
            "actor": origin.actor,
            "source": origin.source,
            "reason": origin.reason,
            "places": places[each.job_id],
            "remaining": each.version if each.rows > EVENTS_AT_ONCE else 0,
            "archive": file,
        }

    def _finish(self, job_id: str) -> None:
        """The rest of a large job, part by part."""
        more = True
        while more:
            self._pause(PAUSE_SECONDS)
            with self._database.write() as connection:
                more = _delete_rest(connection, job_id)


def _meant(rule: PruneRule) -> sa.Select[Any]:
    """The jobs that a rule means, oldest first."""
    statuses = [str(status) for status in rule.statuses]
    # One that was removed after it was stopped never ended.
    removed_at = (
        sa.select(sa.func.max(status_changes.c.occurred)).where(status_changes.c.job_id == jobs.c.id).scalar_subquery()
    )
    ended_at = sa.func.coalesce(jobs.c.ended_at, removed_at, jobs.c.created_at)
    wanted: list[sa.ColumnElement[bool]] = [jobs.c.status.in_(statuses), jobs.c.live.is_(sa.false())]
    if rule.namespace is not None:
        wanted.append(jobs.c.namespace == rule.namespace)
    if rule.types:
        wanted.append(jobs.c.type.in_(rule.types))
    newest_first = sa.func.row_number().over(partition_by=(jobs.c.namespace, jobs.c.type), order_by=jobs.c.id.desc())
    told = ("id", "namespace", "type", "status", "version", "total", "created_at")
    columns: list[sa.ColumnElement[Any]] = [*(jobs.c[name] for name in told), ended_at.label("ended_at")]
    before = rule.before.isoformat(timespec="microseconds")
    if not rule.keep:  # nothing to be counted: the index on ids answers
        return sa.select(*columns).where(*wanted, ended_at < before).order_by(jobs.c.id)
    found = sa.select(*columns, newest_first.label("place")).where(*wanted).subquery()
    seen: list[sa.ColumnElement[Any]] = [found.c[name] for name in (*told, "ended_at")]
    return sa.select(*seen).where(found.c.place > rule.keep, found.c.ended_at < before).order_by(found.c.id)


def _files(found: Sequence[_Candidate]) -> Iterator[list[_Candidate]]:
    """What is archived in one file, which is of one namespace."""
    by_namespace = attrgetter("namespace")
    for _, same in groupby(sorted(found, key=by_namespace), by_namespace):
        yield from _batches(list(same), ARCHIVED_AT_ONCE, ARCHIVED_EVENTS)


def _batches(found: Sequence[_Candidate], most_jobs: int, most_rows: int) -> Iterator[list[_Candidate]]:
    """So many jobs, with their events and steps, as go at once; a large job is alone."""
    batch: list[_Candidate] = []
    rows = 0
    for each in found:
        if batch and (len(batch) >= most_jobs or rows + each.rows > most_rows):
            yield batch
            batch, rows = [], 0
        batch.append(each)
        rows += each.rows
    if batch:
        yield batch


def _unchanged(connection: sa.Connection, batch: Sequence[_Candidate]) -> list[_Candidate]:
    asked = sa.select(jobs.c.id, jobs.c.version).where(jobs.c.id.in_([each.job_id for each in batch]))
    there = {(row.id, row.version) for row in connection.execute(asked)}
    return [each for each in batch if (each.job_id, each.version) in there]


def _counted(gone: Sequence[_Candidate]) -> tuple[Prunable, ...]:
    ordered = sorted(gone, key=lambda each: (each.job_type, each.status))
    grouped = groupby(ordered, key=lambda each: (each.job_type, each.status))
    parts = [(*kind, list(each)) for kind, each in grouped]
    return tuple(
        Prunable(job_type, status, len(each), sum(job.version for job in each)) for job_type, status, each in parts
    )


def _places(connection: sa.Connection, job_id: str) -> list[Place]:
    """Which event of another job stands before each of its own: one for all that follow each other."""
    at, sign = position_column(connection), mark(connection)
    asked = (
        f"SELECT e.originator_version, {at} FROM {EVENTS_TABLE} e WHERE e.originator_id = {sign}"
        " ORDER BY e.originator_version"
    )
    before = (
        f"SELECT e.originator_id, e.originator_version FROM {EVENTS_TABLE} e WHERE {at} < {sign}"
        f" ORDER BY {at} DESC LIMIT 1"
    )
    job, places, last = UUID(job_id), list[Place](), None
    for version, position in connection.exec_driver_sql(asked, (job.hex,)).all():
        if position - 1 != last and len(places) < PLACES_MOST:
            row = connection.exec_driver_sql(before, (position,)).one_or_none()
            found = None if row is None else EventKey(UUID(str(row[0])), row[1])
            if found is None or found.job_id != job:
                places.append((version, found))
        last = position
    return places


def _head(connection: sa.Connection, job_id: str, version: int) -> str | None:
    """The link of its newest event."""
    sign = mark(connection)
    asked = f"SELECT chain FROM {EVENTS_TABLE} WHERE originator_id = {sign} AND originator_version = {sign}"
    found: bytes | None = connection.exec_driver_sql(asked, (UUID(job_id).hex, version)).scalar()
    return None if found is None else bytes(found).hex()


def _delete_events(connection: sa.Connection, job_id: str, kept: int) -> None:
    """Those behind its first so many."""
    sign = mark(connection)
    statement = f"DELETE FROM {EVENTS_TABLE} WHERE originator_id = {sign} AND originator_version > {sign}"
    connection.exec_driver_sql(statement, (UUID(job_id).hex, kept))


def _delete_rest(connection: sa.Connection, job_id: str) -> bool:
    """A part of what is left of a job that is half gone; whether there is more.

    Its tombstone is asked anew: another one may have finished it meanwhile, and then it may have been imported again.
    """
    of_job = tombstones.c.job_id == job_id
    remaining: int = connection.scalar(sa.select(tombstones.c.remaining).where(of_job)) or 0
    if not remaining:
        return False
    if sum(_delete_part(connection, table, job_id) for table in _IN_PARTS):
        return True
    kept = max(0, remaining - EVENTS_AT_ONCE)  # its events last: until they are gone, whoever finds it finishes it
    _delete_events(connection, job_id, kept)
    connection.execute(tombstones.update().where(of_job).values(remaining=kept))
    return kept > 0


def _delete_part(connection: sa.Connection, table: sa.Table, job_id: str) -> int:
    """A part of its rows; how many those were."""
    last = sa.select(table.c.step).where(table.c.job_id == job_id).order_by(table.c.step.desc())
    first = connection.scalar(last.limit(1).offset(EVENTS_AT_ONCE - 1))
    of_job = [table.c.job_id == job_id, *([] if first is None else [table.c.step >= first])]
    return connection.execute(table.delete().where(*of_job)).rowcount


def _column(table: sa.Table) -> sa.Column[Any]:
    return table.c.id if table is jobs else table.c.job_id
