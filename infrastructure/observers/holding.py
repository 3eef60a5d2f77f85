"""What jobs and operators do to an observer as a whole or to a held partition: taken, released, paused, skipped.

The rule among rivals (ADR/0019): one job at a time works on an observer as a whole. A replay supersedes a catch-up,
whose work it would undo. Anything else waits its turn: it is refused, with the job that is in its way.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import reduce
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.commands import CancelJob
from milepost.domain.envelope import Origin
from milepost.domain.errors import IllegalTransition
from milepost.domain.observers import state
from milepost.domain.observers.errors import ObserverError, PartitionWentOn
from milepost.domain.observers.events import Held, ObserverEvent
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import jobs
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.observers.abilities import refuse_unable
from milepost.infrastructure.observers.handling import Handling
from milepost.infrastructure.observers.observer import Observer
from milepost.infrastructure.observers.rows import (
    ObserverMoved,
    ObserverRows,
    again_when_moved,
    effects_transaction,
    slice_of,
)

_OVER: Final = frozenset(
    {
        JobStatus.REMOVED,
        JobStatus.CANCELLED,
        JobStatus.COMPLETED_SUCCESSFULLY,
        JobStatus.COMPLETED_WITH_FAILURES,
        JobStatus.FAILED,
    }
)  # of a job that will not go on by itself, nor was it stopped to go on later


class ObserverNotHeld(ObserverError):
    """The job does not hold the observer any more: another one has begun, or an operator has ended it."""

    def __init__(self, observer: str, job: str, holder: str | None) -> None:
        self.observer, self.job, self.holder = observer, job, holder
        super().__init__(
            f"Job {job} holds observer '{observer}' no more; {f'job {holder}' if holder else 'nobody'} does."
        )


class Holding:
    """Changes of observers in one namespace. All raise ObserverUnknown and what `domain.observers.state` refuses."""

    def __init__(self, database: Database, namespace: str, surroundings: Surroundings, origin: Origin) -> None:
        self._database = database
        self._namespace = namespace
        self._surroundings = surroundings
        self._origin = origin

    # Operators

    def pause(self, name: str) -> bool:
        """No live events from now on; whether that is new."""
        return self._change(name, state.pause)

    def unpause(self, name: str) -> bool:
        """It goes on, also after a quarantine; whether that is new."""
        return self._change(name, state.unpause)

    def quarantine(self, name: str, why: str) -> bool:
        """It stands still until an operator acts; whether that is new."""
        return self._change(name, lambda observer: state.quarantine(observer, why))

    def retry(self, name: str, partition: str, if_position: int | None = None) -> int:
        """A failed partition is due now, and its attempts count anew: the position of the event that failed.

        `if_position`: only while that is still the one. Raises PartitionWentOn.
        """
        return self._change_partition(name, partition, if_position, skip=False)

    def skip(self, name: str, partition: str, if_position: int | None = None) -> int:
        """The event that failed is never handled, and the partition is due now: the same."""
        return self._change_partition(name, partition, if_position, skip=True)

    @again_when_moved
    def _change_partition(self, name: str, partition: str, if_position: int | None, *, skip: bool) -> int:
        with self._rows(name) as rows:
            seen = rows.observer()
            rows.slices(seen.generation, [slice_of(partition)], lock=True)
            observer = rows.observer(lock=True)
            held = rows.partition(observer.generation, partition)
            decide = state.skip if skip else state.retry
            events = decide(observer, partition, held, self._surroundings.now())
            assert held is not None, "what is not held was refused"
            if if_position is not None and if_position != held.position:
                raise PartitionWentOn(name, partition, if_position, held.position)
            if skip:
                rows.done_waiting(observer.generation, partition, held.position)
            self._record(rows, observer, events)
            return held.position

    # Jobs

    def refuse(self, declared: type[Observer], held: Held) -> None:
        """Raises what `take` would refuse a job that came now."""
        _refuse_unable(declared, held)
        with self._rows(declared.name) as rows:
            observer = rows.observer()
            events: list[ObserverEvent] = []
            if observer.job is not None and self._gives_way(rows.connection, observer, held):
                events = state.release(observer, observer.job, completed=False)
            _ = state.take(reduce(state.evolve, events, observer), "", held, 0)

    @again_when_moved
    def take(self, handling: Handling, job: UUID, held: Held) -> None:
        """The observer is this job's, with its generation made empty where it replays. Again does nothing."""
        name = handling.declared.name
        _refuse_unable(handling.declared, held)
        superseded: UUID | None = None
        until = handling.source.newest()
        with self._rows(name) as rows:
            observer = rows.locked()
            if observer.job == str(job):
                return
            free, events = observer, []
            if observer.job is not None and self._gives_way(rows.connection, observer, held):
                superseded = UUID(observer.job)
                events = state.release(observer, observer.job, completed=False)
                self._drop_beside(handling, rows, observer)
                free = reduce(state.evolve, events, observer)
            after = self._record(rows, observer, [*events, *state.take(free, str(job), held, until)])
            self._make_ready(handling, rows, after)
        if superseded is not None:
            self._cancel(superseded, job)

    @again_when_moved
    def release(self, handling: Handling, job: UUID) -> None:
        """The job was given up: live events are handled again, and go on where each slice is."""
        with self._rows(handling.declared.name) as rows:
            observer = rows.locked()
            events = state.release(observer, str(job), completed=False)
            if events:
                self._drop_beside(handling, rows, observer)
                self._record(rows, observer, events)

    def held_by(self, name: str, job: UUID) -> ObserverState:
        """The observer. Raises ObserverNotHeld."""
        with self._rows(name) as rows:
            observer = rows.observer()
        if observer.job != str(job):
            raise ObserverNotHeld(name, str(job), observer.job)
        return observer

    def complete(self, rows: ObserverRows, handling: Handling, observer: ObserverState, job: UUID) -> None:
        """The job has reached its end: in the caller's transaction, which holds the observer."""
        if observer.target is not None and observer.target != observer.generation:
            tables = handling.effects(rows.connection, observer, observer.target).generation
            tables.swap_in(rows.connection, handling.effects(rows.connection, observer, observer.generation).generation)
        self._record(rows, observer, state.release(observer, str(job), completed=True))

    @again_when_moved
    def replay_partition(self, handling: Handling, job: UUID, partition: str) -> None:
        """All events of the partition wait to be handled again, and its effects are undone. Again does nothing."""
        declared = handling.declared
        with self._rows(declared.name) as rows:
            index = slice_of(partition)
            generation = rows.observer().generation
            (seen,) = rows.slices(generation, [index])
        early = handling.positions_of(partition, 0, seen.position)
        with self._rows(declared.name) as rows:
            (reached,) = rows.slices(generation, [index], lock=True)
            observer = rows.observer(lock=True)
            if observer.generation != generation:
                raise ObserverMoved
            if self._began(rows, partition, job):
                return
            late = handling.positions_of(partition, seen.position, reached.position)
            positions = [*early, *late]
            held = rows.partition(generation, partition)
            events = state.replay_partition(
                observer, partition, held, str(job), positions[0] if positions else 0, len(positions)
            )
            declared().reset_partition(partition, handling.effects(rows.connection, observer, generation))
            rows.wait(generation, [(partition, position) for position in positions])
            self._record(rows, observer, events)

    def _began(self, rows: ObserverRows, partition: str, job: UUID) -> bool:
        return any(
            getattr(recorded.event, "job", None) == str(job)
            for recorded in rows.history(partition=partition, limit=100, newest_first=True)
        )

    def _gives_way(self, connection: sa.Connection, observer: ObserverState, wanted: Held) -> bool:
        """Whether the job that holds it lets another one in: see the rule."""
        status = connection.scalar(sa.select(jobs.c.status).where(jobs.c.id == observer.job))
        return status is None or JobStatus(status) in _OVER or (observer.held == "catch-up" and wanted != "catch-up")

    def _make_ready(self, handling: Handling, rows: ObserverRows, observer: ObserverState) -> None:
        """Empty where it is replayed; there where it is caught up, perhaps before it ever ran live."""
        if observer.held == "catch-up":
            handling.effects(rows.connection, observer, observer.generation).generation.ensure(rows.connection)
        elif observer.held == "replay":
            handling.declared().reset(handling.effects(rows.connection, observer, observer.generation))
        elif observer.held == "beside" and observer.target is not None:
            handling.effects(rows.connection, observer, observer.target).generation.recreate(rows.connection)

    def _drop_beside(self, handling: Handling, rows: ObserverRows, observer: ObserverState) -> None:
        if observer.target is not None and observer.target != observer.generation:
            handling.effects(rows.connection, observer, observer.target).generation.drop(rows.connection)

    def _cancel(self, superseded: UUID, by: UUID) -> None:
        store = JobStore(self._database, self._surroundings)
        origin = Origin(self._origin.actor, self._origin.source, reason=f"superseded by job {by}")
        with suppress(IllegalTransition):  # it has ended meanwhile
            store.execute(
                self._namespace,
                superseded,
                lambda situation: CancelJob(situation.worker_alive, situation.reached),
                origin,
            )

    @again_when_moved
    def _change(self, name: str, decide: Callable[[ObserverState], list[ObserverEvent]]) -> bool:
        with self._rows(name) as rows:
            observer = rows.locked()
            events = decide(observer)
            self._record(rows, observer, events)
        return bool(events)

    def _record(self, rows: ObserverRows, observer: ObserverState, events: Sequence[ObserverEvent]) -> ObserverState:
        return rows.record(observer, events, self._origin, self._surroundings)

    @contextmanager
    def _rows(self, name: str) -> Iterator[ObserverRows]:
        with effects_transaction(self._database) as connection:
            yield ObserverRows(connection, self._namespace, name)


def _refuse_unable(declared: type[Observer], held: Held) -> None:
    """Raises NotReplayable."""
    if held != "catch-up":
        refuse_unable(declared, "replay" if held == "replay" else "replay-beside")
