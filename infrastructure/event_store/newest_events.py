"""Of one job's history the few events that may explain it, found from the end and by its changes of status."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.all_streams import mark
from milepost.infrastructure.event_store.codec import decode
from milepost.infrastructure.event_store.queries import Row
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, status_changes

MOST_CHANGES: Final = 200  # of status, the newest: a job that is taken over and over has many
MOST_BETWEEN: Final = 20  # events about the whole job between two changes of status
BEHIND_CHANGE: Final = 5_000  # versions: so far back from its end is looked for them
CLAIMS_LOOKED_AT: Final = 3  # the newest: what was interrupted before them
TAIL: Final = 200  # events
COMMIT: Final = 5_000  # versions: the events of one commit have one time

_MANY: Final = frozenset({JobStatus.PENDING, JobStatus.RUNNING})  # in which nothing about the whole job is left out
_WHOLE: Final = tuple(each.topic for each in (e.JobClaimed, e.JobReleased, e.StepInterrupted))
_OF_STEPS: Final = (e.StepStarted.topic, e.StepProgressed.topic, e.StepSucceeded.topic)
_ENDED_BADLY: Final = (e.StepInterrupted.topic, e.StepFailed.topic)


class NewestEvents:
    """One job's events up to a version, by their places. Each look reads few rows, by the primary key."""

    def __init__(self, connection: sa.Connection, row: Row) -> None:
        self._connection, self._job_id = connection, UUID(row["id"])
        self._newest = int(row["version"])  # what came since belongs to another row

    def story(self) -> tuple[RecordedEvent, ...]:
        """The events that changed the status, those about the whole job that did not, and what they interrupted."""
        changes = self._changes()
        found = {each.version: each for each in self._at([place for place, _ in changes])}
        ends = [place for place, _ in changes[1:]] + [self._newest + 1]
        for (place, status), end in zip(changes, ends, strict=True):
            if JobStatus(status) not in _MANY:
                begin = max(place, end - 1 - BEHIND_CHANGE)
                found |= {each.version: each for each in self._between(begin, end, _WHOLE, MOST_BETWEEN)}
        claims = [place for place in sorted(found) if isinstance(found[place].event, e.JobClaimed)]
        for place in claims[-CLAIMS_LOOKED_AT:]:
            first = max(0, place - 1 - MOST_BETWEEN)
            before = self._between(first, place, _ENDED_BADLY, MOST_BETWEEN)
            at = found[place].recorded_at  # of the same commit: others ended for reasons of their own
            found |= {each.version: each for each in before if each.recorded_at == at}
        return tuple(found[place] for place in sorted(found))

    def tail(self) -> tuple[RecordedEvent, ...]:
        """The newest events about steps that begin, go on or succeed."""
        signs = ", ".join([mark(self._connection)] * len(_OF_STEPS))
        upto = f"AND originator_version <= {mark(self._connection)} AND topic IN ({signs})"
        newest = self._rows(f"{upto} ORDER BY originator_version DESC LIMIT {TAIL}", (self._newest, *_OF_STEPS))
        return tuple(reversed(newest))

    def failure(self, step: int, at: datetime) -> RecordedEvent | None:
        """The event of a step that failed then: found by its time, as far as clocks went forward."""
        low, high = 1, self._newest
        while low < high:
            middle = (low + high) // 2
            if self._recorded_at(middle) < at:
                low = middle + 1
            else:
                high = middle
        failed = self._between(low - 1, low + COMMIT, (e.StepFailed.topic,), COMMIT)
        meant = (each for each in failed if getattr(each.event, "step", None) == step and each.recorded_at == at)
        return next(iter(meant), None)

    def _changes(self) -> list[tuple[int, str]]:
        chosen = (
            sa.select(status_changes.c.version, status_changes.c.status)
            .where(status_changes.c.job_id == str(self._job_id), status_changes.c.version <= self._newest)
            .order_by(status_changes.c.version.desc())
            .limit(MOST_CHANGES)
        )
        return [(version, status) for version, status in self._connection.execute(chosen)][::-1]

    def _at(self, versions: Sequence[int]) -> list[RecordedEvent]:
        if not versions:
            return []
        return self._rows(f"AND originator_version IN ({', '.join(map(str, versions))})")

    def _between(self, after: int, before: int, topics: Sequence[str], limit: int) -> list[RecordedEvent]:
        """The newest of them."""
        sign = mark(self._connection)
        signs = ", ".join([sign] * len(topics))
        asked = (
            f"AND originator_version > {sign} AND originator_version < {sign} AND topic IN ({signs})"
            f" ORDER BY originator_version DESC LIMIT {limit}"
        )
        return self._rows(asked, (after, before, *topics))

    def _rows(self, conditions: str, values: Sequence[object] = ()) -> list[RecordedEvent]:
        sign = mark(self._connection)
        asked = f"SELECT originator_version, topic, state FROM {EVENTS_TABLE} WHERE originator_id = {sign} {conditions}"
        rows = self._connection.exec_driver_sql(asked, (self._job_id.hex, *values)).fetchall()
        return [decode(self._job_id, version, topic, bytes(state)) for version, topic, state in rows]

    def _recorded_at(self, version: int) -> datetime:
        """Without reading the rest of it: a batch of a plan is large."""
        sign = mark(self._connection)
        asked = f"SELECT state FROM {EVENTS_TABLE} WHERE originator_id = {sign} AND originator_version = {sign}"
        state = self._connection.exec_driver_sql(asked, (self._job_id.hex, version)).scalar_one()
        meta: dict[str, Any] = json.loads(bytes(state))["meta"]
        return datetime.fromisoformat(meta["at"])
