"""Which jobs are a namespace's: by their histories where these can say so, else by the rows that a list shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from uuid import UUID

from milepost.domain.events import JobStarted
from milepost.infrastructure.audit.chain import GENESIS, link
from milepost.infrastructure.audit.side_by_side import Cursors, Rows, Values, bare, dashed, within
from milepost.infrastructure.event_store.codec import UnreadableEvent, decode
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs


class Bond(Enum):
    """What ties a job to the namespace."""

    HISTORY = auto()  # its first event, which is as it was recorded
    ROW = auto()  # its row alone: its first event is not there, or is not as it was recorded
    ROW_OF_ANOTHER = auto()  # its row, and its first event is another namespace's
    NONE = auto()


@dataclass(frozen=True, slots=True)
class Bound:
    """A job, and whether it is the namespace's."""

    job_id: str
    bond: Bond


def bound(
    cursors: Cursors, namespace: str, *, after: str = "", until: str | None = None, only: str | None = None
) -> Iterator[Bound]:
    """All jobs of that range that have a first event or a row, in the order of their ids, those of others too."""
    firsts = Rows(_firsts(cursors, after, until, only))
    shown = cursors.rows(*_asked(f"SELECT id, namespace FROM {jobs.name}", "id", "", after, until, only))
    rows = Rows(row for row in shown if isinstance(row[0], str))  # SQLite lets it be anything
    while heads := [each.next[0] for each in (firsts, rows) if each.next is not None]:
        job_id = min(heads)
        first, row = next(firsts.of(job_id), None), next(rows.of(job_id), None)
        yield Bound(job_id, _bond(namespace, first, None if row is None else row[1]))


def _firsts(cursors: Cursors, after: str, until: str | None, only: str | None) -> Iterator[Values]:
    which = [None if value is None else bare(value) for value in (after, until, only)]
    selected = f"SELECT originator_id, topic, state, chain FROM {EVENTS_TABLE}"
    asked, values = _asked(selected, "originator_id", "originator_version = 1", *which)
    for job_id, *event in cursors.rows(asked, values):
        yield (dashed(bare(str(job_id))), *event)


def _asked(
    selected: str, job: str, also: str, after: str | None, until: str | None, only: str | None
) -> tuple[str, Values]:
    where, values = within(job, after=after, until=until, only=only)
    if also:
        where = f"{where} AND {also}" if where else f" WHERE {also}"
    return f"{selected}{where} ORDER BY {job}", values


def _bond(namespace: str, first: Values | None, shown: object) -> Bond:
    said = None if first is None else _said(*first)
    if said is None:
        return Bond.ROW if shown == namespace else Bond.NONE
    if said == namespace:
        return Bond.HISTORY
    return Bond.ROW_OF_ANOTHER if shown == namespace else Bond.NONE


def _said(job_id: str, topic: Any, state: Any, chain: Any) -> str | None:
    """The namespace that a first event names; None where the event is not as it was recorded, or is none."""
    try:
        of = UUID(job_id)
        if not isinstance(state, bytes) or link(GENESIS, of, 1, topic, state) != chain:
            return None
        event = decode(of, 1, topic, state).event
    except (UnreadableEvent, ValueError, TypeError, AttributeError):
        return None
    return event.namespace if isinstance(event, JobStarted) else None
