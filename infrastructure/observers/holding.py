"""What jobs and operators do to an observer as a whole or to a held partition: taken, released, paused, skipped.

The rule among rivals (ADR/0019): one job at a time works on an observer as a whole. A replay supersedes a catch-up,
whose work it would undo. Anything else waits its turn: it is refused, with the job that is in its way.
"""

from collections.abc import Callable, Generator, Sequence
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
from milepost.infrastructure.event_store.database import NOTHING_WRITTEN, Database, LockKept
from milepost.infrastructure.event_store.job_not_found import JobNotFound
from milepost.infrastructure.event_store.schema import jobs
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.observers.abilities import refuse_unable
from milepost.infrastructure.observers.handling import Handling
from milepost.infrastructure.observers.observer import Observer
from milepost.infrastructure.observers.rows import (
    TRIES,
    ObserverMoved,
    ObserverRows,
    again_when_moved,
    at_home,
    effects_transaction,
    slice_of,
)
from milepost.infrastructure.observers.sources import PAGE_EVENTS

_OVER: Final = frozenset(
    {
        JobStatus.REMOVED,
        JobStatus.CANCELLED,
        JobStatus.COMPLETED_SUCCESSFULLY,
        JobStatus.COMPLETED_WITH_FAILURES,
        JobStatus.FAILED,
    }
)  # of a job that will not go on by itself, nor was it stopped to go on later
OPERATORS_WAIT_SECONDS: Final = 10.0  # for those who handle events
SWAP_SECONDS: Final = 1.0  # for readers: then it lets go, so that new ones need not wait for the old, and tries again
_GONE: Final = frozenset({JobStatus.REMOVED, JobStatus.CANCELLED, JobStatus.COMPLETED_SUCCESSFULLY})  # nor be resumed


class ObserverNotHeld(ObserverError):
    """The job does not hold the observer any more: another one has begun, or an operator has ended it."""

    def __init__(self, observer: str, job: str, holder: str | None) -> None:
        self.observer, self.job, self.holder = observer, job, holder
        super().__init__(
            f"Job {job} holds observer '{observer}' no more; {f'job {holder}' if holder else 'nobody'} does."
        )


class JobOver(ObserverError):
    """Somebody else has brought the job to its end while this process stood still: it must not begin again."""

    def __init__(self, observer: str, job: str) -> None:
        self.observer, self.job = observer, job
        super().__init__(f"Job {job} is over: it cannot begin to work on observer '{observer}'.")


class StillHandled(LockKept):
    """Somebody handles events of the observer, and does not come to the end of a batch."""

    def __init__(self, url: str, observer: str, seconds: float) -> None:
        cause = f"a batch of observer '{observer}' is still being handled after {seconds:g} s"
        advice = (
            "Try again; where its handler does not return, end the worker that runs it, which"
            f" 'milepost observers show {observer}' names."
        )
        super().__init__(url, cause, advice, NOTHING_WRITTEN)
        self.observer = observer
        self.told = f"{cause[0].upper()}{cause[1:]}. {NOTHING_WRITTEN}"

    def __str__(self) -> str:
        return f"{self.told} {self.advice}"


class Holding:
    """Changes of observers in one namespace. All raise ObserverUnknown and what `domain.observers.state` refuses.

    `lock_seconds`: how long it waits for those who handle events, None: for as long as that takes. Raises StillHandled.
    """

    def __init__(
        self,
        database: Database,
        namespace: str,
        surroundings: Surroundings,
        origin: Origin,
        lock_seconds: float | None = OPERATORS_WAIT_SECONDS,
    ) -> None:
        self._lock_seconds = lock_seconds
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
    def give_back(self, name: str, partition: str) -> None:
        """The job that replayed it is over: the partition is due, to go on from where it is."""
        with self._rows(name) as rows:
            generation = rows.observer().generation
            rows.locked_slice(generation, partition)
            observer = rows.observer(lock=True)
            if observer.generation != generation:
                raise ObserverMoved
            held = rows.partition(generation, partition)
            self._record(rows, observer, state.give_back(observer, partition, held, self._surroundings.now()))

    @again_when_moved
    def _change_partition(self, name: str, partition: str, if_position: int | None, *, skip: bool) -> int:
        with self._rows(name) as rows:
            seen = rows.observer()
            rows.locked_slice(seen.generation, partition)
            observer = rows.observer(lock=True)
            if observer.generation != seen.generation:
                raise ObserverMoved
            held = rows.partition(observer.generation, partition)
            if held is not None and if_position not in (None, held.position):
                raise PartitionWentOn(name, partition, if_position, held.position)
            now = self._surroundings.now()
            if skip:
                waiting = rows.waiting(observer.generation, partition, 2)
                behind = (each for each in waiting if held is not None and each > held.position)
                events = state.skip(observer, partition, held, now, next(behind, None))
            else:
                events = state.retry(observer, partition, held, now)
            assert held is not None, "what is not held was refused"
            if skip:
                rows.done_waiting(observer.generation, partition, held.position)
            self._record(rows, observer, events)
            return held.position

    # Jobs

    def refuse(self, declared: type[Observer], held: Held) -> None:
        """Raises what `take` would refuse a job that came now."""
        _refuse_unable(declared, held)
        with self._reading(declared.name) as rows:
            observer = rows.observer()
            events: list[ObserverEvent] = []
            if observer.job is not None and self._gives_way(rows.connection, observer, held):
                events = state.release(observer, observer.job, completed=False)
            _ = state.take(reduce(state.evolve, events, observer), "", held, 0)

    @again_when_moved
    def take(self, handling: Handling, job: UUID, held: Held) -> None:
        """The observer is this job's, with its generation made empty where it replays. Again does nothing.

        An observer that was never run here is registered: its tables are made. Raises JobOver for the belated hook of
        a job that others have brought to its end.
        """
        name = handling.declared.name
        _refuse_unable(handling.declared, held)
        superseded: UUID | None = None
        until = handling.source.newest()
        with self._rows(name) as rows:
            rows.register(self._origin, self._surroundings)
        with self._rows(name) as rows:
            observer = rows.locked()
            if observer.job == str(job):
                return
            self._database.guard(rows.connection)
            free, events = observer, []
            if observer.job is not None and self._gives_way(rows.connection, observer, held):
                superseded = UUID(observer.job)
                events = state.release(observer, observer.job, completed=False)
                self._drop_beside(handling, rows, observer)
                free = reduce(state.evolve, events, observer)
            events = [*events, *state.take(free, str(job), held, until)]
            self._refuse_if_over(rows, name, job)
            after = self._record(rows, observer, events)
            self._make_ready(handling, rows, after)  # the last: effects elsewhere that are undone stay so
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

    @again_when_moved
    def free_if_over(self, handling: Handling) -> bool:
        """Let go for a job that is over, or gone, and has not done so itself; whether there was one.

        One that has failed can be resumed, and goes on where it was: it holds the observer until it is removed.
        """
        with self._rows(handling.declared.name) as rows:
            holder = rows.observer().job
            if holder is None or not self._is_gone(rows.connection, holder):
                return False
            observer = rows.locked()
            if observer.job != holder:
                return False
            self._drop_beside(handling, rows, observer)
            self._record(rows, observer, state.release(observer, holder, completed=False))
        return True

    def held_by(self, name: str, job: UUID) -> ObserverState:
        """The observer. Raises ObserverNotHeld."""
        with self._reading(name) as rows:
            observer = rows.observer()
        if observer.job != str(job):
            raise ObserverNotHeld(name, str(job), observer.job)
        return observer

    def complete(self, rows: ObserverRows, handling: Handling, observer: ObserverState, job: UUID) -> None:
        """The job has reached its end: in the caller's transaction, which holds the observer. Raises LockKept where
        readers keep the tables that are to go.
        """
        if observer.target is not None and observer.target != observer.generation:
            self._database.guard(rows.connection)
            self._database.wait_at_most(rows.connection, SWAP_SECONDS)  # others wait behind it; readers may take long
            tables = handling.effects(rows.connection, observer, observer.target).generation
            tables.swap_in(rows.connection, handling.effects(rows.connection, observer, observer.generation).generation)
        self._record(rows, observer, state.release(observer, str(job), completed=True))

    @again_when_moved
    def replay_partition(self, handling: Handling, job: UUID, partition: str) -> None:
        """All events of the partition wait to be handled again, and its effects are undone. Again does nothing."""
        declared = handling.declared
        with self._reading(declared.name) as rows:
            if rows.replay_began(partition, job):
                return
        generation, positions, seen = self._positions_so_far(handling, partition)
        with self._rows(declared.name) as rows:
            reached = rows.locked_slice(generation, partition).position
            observer = rows.observer(lock=True)
            if observer.generation != generation or reached < seen:
                raise ObserverMoved
            if rows.replay_began(partition, job):
                return
            positions += handling.positions_of(partition, seen, reached)
            held = rows.partition(generation, partition)
            events = state.replay_partition(
                observer, partition, held, str(job), positions[0] if positions else 0, len(positions)
            )
            declared().reset_partition(partition, handling.effects(rows.connection, observer, generation))
            rows.wait(generation, ((partition, position) for position in positions))
            self._record(rows, observer, events)

    def _positions_so_far(self, handling: Handling, partition: str) -> tuple[int, list[int], int]:
        """The generation that is read, where the partition's events stand, and up to where they were looked for.

        That may take long where the observer says what a partition is, and others handle events meanwhile: so it looks
        again, until what is left to be looked through under the lock is little.
        """
        positions: list[int] = []
        seen, looked = 0, 0
        while True:
            with self._reading(handling.declared.name) as rows:
                generation = rows.observer().generation
                reached = [each.position for each in rows.slices(generation, [slice_of(partition)])]
            if not reached or reached[0] < seen:
                raise ObserverMoved  # another replay has begun
            if reached[0] - seen <= PAGE_EVENTS or looked == TRIES:
                return generation, positions, seen
            positions += handling.positions_of(partition, seen, reached[0])
            seen, looked = reached[0], looked + 1

    def _gives_way(self, connection: sa.Connection, observer: ObserverState, wanted: Held) -> bool:
        """Whether the job that holds it lets another one in: see the rule."""
        status = _status(connection, observer.job)
        return status is None or status in _OVER or (observer.held == "catch-up" and wanted != "catch-up")

    def _is_gone(self, connection: sa.Connection, job: str) -> bool:
        status = _status(connection, job)
        return status is None or status in _GONE

    def _refuse_if_over(self, rows: ObserverRows, name: str, job: UUID) -> None:
        """By the row of the job, which nobody changes before the commit."""
        if _status(rows.connection, str(job), lock=True) in _OVER:
            raise JobOver(name, str(job))

    def _make_ready(self, handling: Handling, rows: ObserverRows, observer: ObserverState) -> None:
        effects = handling.effects(rows.connection, observer, observer.generation)
        effects.generation.ensure(rows.connection)
        if observer.held == "replay":
            handling.declared().reset(effects)
        elif observer.held == "beside" and observer.target is not None:
            handling.effects(rows.connection, observer, observer.target).generation.recreate(rows.connection)

    def _drop_beside(self, handling: Handling, rows: ObserverRows, observer: ObserverState) -> None:
        if observer.target is not None and observer.target != observer.generation:
            handling.effects(rows.connection, observer, observer.target).generation.drop(rows.connection)

    def _cancel(self, superseded: UUID, by: UUID) -> None:
        store = JobStore(self._database, self._surroundings)
        origin = Origin(self._origin.actor, self._origin.source, reason=f"superseded by job {by}")
        with suppress(IllegalTransition, JobNotFound):  # it has ended meanwhile, or was removed and pruned
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
    def _reading(self, name: str) -> Generator[ObserverRows]:
        """Waits for nobody."""
        with self._database.read() as connection:
            yield ObserverRows(at_home(connection, self._database), self._namespace, name)

    @contextmanager
    def _rows(self, name: str) -> Generator[ObserverRows]:
        try:
            with effects_transaction(self._database, self._lock_seconds) as connection:
                yield ObserverRows(connection, self._namespace, name)
        except LockKept as error:
            if self._lock_seconds is None:
                raise
            raise StillHandled(self._database.url, name, self._lock_seconds) from error


def _status(connection: sa.Connection, job: str | None, *, lock: bool = False) -> JobStatus | None:
    asked = sa.select(jobs.c.status).where(jobs.c.id == job)
    status = connection.scalar(asked.with_for_update(read=True) if lock else asked)
    return None if status is None else JobStatus(status)


def _refuse_unable(declared: type[Observer], held: Held) -> None:
    """Raises NotReplayable."""
    if held != "catch-up":
        refuse_unable(declared, "replay" if held == "replay" else "replay-beside")
