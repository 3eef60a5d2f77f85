"""Whether one job's history is whole, unchanged and possible, and all that is shown of the job follows from it."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.envelope import RecordedEvent
from milepost.domain.errors import JobError
from milepost.domain.events import EVENT_CLASSES
from milepost.domain.job import Job, evolve
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.audit.chain import GENESIS, link
from milepost.infrastructure.audit.differences import Difference, Differs, Kind, ahead, brief
from milepost.infrastructure.audit.side_by_side import Stored, Values
from milepost.infrastructure.event_store.codec import UnreadableEvent, decode
from milepost.infrastructure.event_store.read_models import job_row, status_row, step_values
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs, snapshots, status_changes, steps
from milepost.infrastructure.event_store.snapshots import FORMAT, unpacked

LOOKED_AHEAD: Final = 1_000  # events, for the one that should stand where another one does

WHAT_A_FOLD_CANNOT_TAKE: Final = (JobError, ValueError, TypeError, KeyError, OverflowError)


def check(job_id: str, stored: Stored) -> int:
    """How many events the job has. Raises Differs at its first difference."""
    fold = Fold(UUID(job_id))
    shown = next(stored.jobs.of(job_id), None)
    changes = stored.status_changes.of(job_id)
    kept = folds_kept(job_id, stored)
    for recorded, before in fold.follow(stored.events.of(fold.job.id.hex)):
        job = fold.job
        if job.status is not before:
            _same(status_changes, job, next(changes, None), tuple(status_row(recorded, job.status).values()))
        if recorded.version in kept and (wrong := snapshot_fault(job, kept.pop(recorded.version))):
            raise _snapshot(job, recorded.version, Kind.ROW_CHANGED, wrong)
    job = fold.job
    try:
        _nothing_more(status_changes, job, changes)
        _same_steps(job, stored.steps.of(job_id))
        _same(jobs, job, shown, tuple(job_row(job).values()))
        for version in kept:
            raise _snapshot(job, version, Kind.ROW_UNFOUNDED, "is of a version that its history does not have")
    except Differs as differs:
        _tell_if_cut_off(job, shown, differs)
        raise
    return job.version


def unfounded(job_id: str, stored: Stored) -> Difference:
    """Rows of which there is no event."""
    tables = {
        jobs: stored.jobs, steps: stored.steps, status_changes: stored.status_changes, snapshots: stored.snapshots
    }  # fmt: skip
    table, row = next((t, rows.next) for t, rows in tables.items() if rows.next is not None and rows.next[0] == job_id)
    key, column = _key_of(table, row), next(iter(table.primary_key.columns)).name
    message = f"{table.name} has a row of job {job_id}, of which there is no event"
    return Difference(job_id, 0, Kind.ROW_UNFOUNDED, table.name, key, column, job_id, None, message)


# The history


class Fold:
    """A history that is read from its stored bytes, proved, and folded."""

    def __init__(self, job_id: UUID) -> None:
        self.job = Job(job_id)
        self.link = GENESIS  # of the newest event

    def follow(self, rows: Iterator[Values]) -> Iterator[tuple[RecordedEvent, JobStatus | None]]:
        """Each further event when it is folded, and the status before it. Raises Differs."""
        for recorded, link_of_it in recorded_events(self.job.id, rows, self.link, self.job.version):
            before = self.job.status
            try:
                self.job = evolve(self.job, recorded)
            except WHAT_A_FOLD_CANNOT_TAKE as error:
                name = type(recorded.event).__name__
                raise _in_event(
                    self.job.id, recorded.version, Kind.EVENT_IMPOSSIBLE, "topic", recorded.event.topic, None,
                    f"cannot have happened then: {name} to a job that is {before or 'not started'} ({error})",
                ) from error  # fmt: skip
            self.link = link_of_it
            yield recorded, before


def recorded_events(
    job_id: UUID, rows: Iterator[Values], previous: bytes = GENESIS, version_before: int = 0
) -> Iterator[tuple[RecordedEvent, bytes]]:
    """The events, each of which follows the one before it and is chained to it, with its link. Raises Differs."""
    expected = version_before + 1
    for row in rows:
        _, version, topic, state, chain = row
        if version != expected:
            raise missing(job_id, expected, f"behind it comes event {version}", found=version)
        state = state if isinstance(state, bytes) else str(state or "").encode(errors="surrogateescape")
        topic = topic if isinstance(topic, str) else str(topic)
        try:
            computed = link(previous, job_id, version, topic, state)
        except UnicodeEncodeError:  # bytes that are no text
            computed = b""
        if chain != computed:
            raise _changed(job_id, previous, ahead((job_id, version, topic, state, chain), rows, LOOKED_AHEAD))
        if not isinstance(row[3], bytes):  # the product cannot read it
            raise _in_event(
                job_id, version, Kind.EVENT_CHANGED, "state", type(row[3]).__name__, "bytes",
                "is stored as text, and was recorded as bytes",
            )  # fmt: skip
        try:
            recorded = decode(job_id, version, topic, state)
        except UnreadableEvent as error:
            raise _in_event(
                job_id, version, Kind.EVENT_UNREADABLE, "state", _text(state), None, f"cannot be read: {error.cause}"
            ) from error
        yield recorded, computed
        previous, expected = computed, expected + 1


def _changed(job_id: UUID, previous: bytes, found: list[Any]) -> Differs:
    """What has become of an event whose link is not that of its bytes."""
    _, version, topic, state, chain = found[0]
    if (was := _topic_of(job_id, previous, found[0])) is not None:
        return _in_event(
            job_id, version, Kind.EVENT_CHANGED, "topic", topic, was, f"was recorded as {was}, and is {topic}"
        )
    if chain is None:
        made = _link(job_id, previous, found[0])
        return _in_event(job_id, version, Kind.LINK_CHANGED, "chain", None, made, "is chained to nothing")
    for other in found[1:]:
        here = _link(job_id, previous, (job_id, version, *other[2:4]))
        if here and here in (chain, other[4]):
            return _in_event(
                job_id, version, Kind.EVENT_MOVED, "originator_version", other[1], version,
                f"stands at version {other[1]}; another one is in its place",
            )  # fmt: skip
    computed = _link(job_id, previous, found[0])
    if len(found) > 1 and computed and _link(job_id, computed, found[1]) == found[1][4]:
        return _in_event(
            job_id, version, Kind.LINK_CHANGED, "chain", chain, computed, "is as it was recorded, but not its link"
        )
    return _in_event(
        job_id,
        version,
        Kind.EVENT_CHANGED,
        "state",
        computed,
        chain,
        f"is not what was recorded. It is: {_text(state)}",
    )


def _topic_of(job_id: UUID, previous: bytes, row: Any) -> str | None:
    """The topic with which the rest of the event would be right."""
    _, version, topic, state, chain = row
    return next(
        (each for each in EVENT_CLASSES if each != topic and link(previous, job_id, version, each, state) == chain),
        None,
    )


def _link(job_id: UUID, previous: bytes, row: Any) -> bytes:
    version, topic, state = row[1:4]
    try:
        return link(previous, job_id, version, topic, state)
    except (UnicodeEncodeError, AttributeError, TypeError, OverflowError):  # what is there is no event at all
        return b""


def missing(job_id: UUID, version: int, why: str, found: Any = None) -> Differs:
    return _in_event(job_id, version, Kind.EVENT_MISSING, "originator_version", found, version, f"is missing: {why}")


def _in_event(job_id: UUID, version: int, kind: Kind, column: str, found: Any, expected: Any, what: str) -> Differs:
    told = brief(found, expected)
    message = f"Event {version} of job {job_id} {what}"
    return Differs(Difference(str(job_id), version, kind, EVENTS_TABLE, str(version), column, *told, message))


def _text(state: bytes) -> str:
    return state.decode(errors="backslashreplace")


# What is shown


def folds_kept(job_id: str, stored: Stored) -> dict[Any, Any]:
    """The snapshots of the job by their versions, without those of other formats, which nobody reads."""
    return {version: state for _, version, form, state in stored.snapshots.of(job_id) if form == FORMAT}


def snapshot_fault(job: Job, state: Any) -> str:
    """What is wrong with the fold that is kept of the job at this version; empty: nothing."""
    try:
        same = unpacked(job.id, job.version, state) == job
    except (zlib.error, ValueError, TypeError, IndexError):
        return "cannot be read"
    return "" if same else "is not what its events make of it"


def _snapshot(job: Job, version: Any, kind: Kind, wrong: str) -> Differs:
    message = f"{snapshots.name}: what is kept of job {job.id} at version {version} {wrong}"
    return Differs(_in_row(snapshots, job, str(version), kind, "state", None, None, message))


def _same_steps(job: Job, rows: Iterator[Values]) -> None:
    job_id, planned = str(job.id), job.steps
    for index in sorted(planned):
        _same(steps, job, next(rows, None), step_values(job_id, planned[index]))
    _nothing_more(steps, job, rows)


def _same(table: sa.Table, job: Job, found: Values | None, expected: Values) -> None:
    if found == expected:
        return
    own = _own(table)
    at = next(iter(_differing(found, expected)), 0) if found is not None else 0
    if found is not None and at in own:  # the row of another step, or of another change
        there, due = found[own[-1]], expected[own[-1]]
        if not isinstance(there, int) or there < due:
            raise _unfounded_row(table, job, found)
        found = None
    key = _key_of(table, expected)
    if found is None:
        column = table.primary_key.columns.values()[-1].name
        value = expected[own[-1]] if own else expected[0]
        message = f"{_named(table, job, key)} is missing"
        raise Differs(_in_row(table, job, key, Kind.ROW_MISSING, column, None, value, message))
    column = table.c.values()[at].name
    told = brief(found[at], expected[at])
    message = f"{_named(table, job, key)} says {column} = {told[0]!r}, and the events say {told[1]!r}"
    raise Differs(_in_row(table, job, key, Kind.ROW_CHANGED, column, *told, message))


def _nothing_more(table: sa.Table, job: Job, rows: Iterator[Values]) -> None:
    if (row := next(rows, None)) is not None:
        raise _unfounded_row(table, job, row)


def _unfounded_row(table: sa.Table, job: Job, row: Values) -> Differs:
    key, column = _key_of(table, row), table.primary_key.columns.values()[-1].name
    message = f"{_named(table, job, key)} is there, and no event says so"
    return Differs(_in_row(table, job, key, Kind.ROW_UNFOUNDED, column, row[_own(table)[-1]], None, message))


def _tell_if_cut_off(job: Job, shown: Values | None, differs: Differs) -> None:
    """Where the list knows of a later version and more than its number differs, the newest events are gone."""
    at = jobs.c.keys().index("version")
    if shown is None or not isinstance(shown[at], int) or shown[at] <= job.version:
        return
    if differs.difference.table == jobs.name and [*_differing(shown, tuple(job_row(job).values()))] == [at]:
        return
    raise missing(job.id, job.version + 1, f"{jobs.name} knows of version {shown[at]}") from differs


def _differing(found: Iterable[Any], expected: Iterable[Any]) -> Iterator[int]:
    return (at for at, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other)


def _own(table: sa.Table) -> list[int]:
    """Where in a row the rest of its key is, beside the job's id."""
    columns = table.c.values()
    return [columns.index(column) for column in table.primary_key.columns.values()[1:]]


def _key_of(table: sa.Table, row: Values) -> str:
    return ",".join(str(row[at]) for at in _own(table)) or str(row[0])


def _named(table: sa.Table, job: Job, key: str) -> str:
    which = {steps.name: f"step {key} of ", status_changes.name: f"change {key} of "}.get(table.name, "")
    return f"{table.name}: the row of {which}job {job.id}"


def _in_row(
    table: sa.Table, job: Job, key: str, kind: Kind, column: str, found: Any, expected: Any, message: str
) -> Difference:
    return Difference(str(job.id), job.version, kind, table.name, key, column, found, expected, message)
