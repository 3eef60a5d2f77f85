"""A job that holds an observer as a whole and hands it its events, slice by slice: what replays and catch-ups share."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar
from uuid import UUID

import sqlalchemy as sa
from pydantic import Field

from milepost.domain.events import Policy
from milepost.domain.observers.errors import ObserverError, ObserverStandsStill
from milepost.domain.observers.events import Held
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.database import LockKept
from milepost.infrastructure.event_store.schema import jobs
from milepost.infrastructure.job_types.job_type import Step
from milepost.infrastructure.job_types.observing.observer_job import NamesObserver, ObserverJob
from milepost.infrastructure.observers.handling import Handling, Page
from milepost.infrastructure.observers.pace import Pace
from milepost.infrastructure.observers.rows import (
    SLICES,
    ObserverMoved,
    ObserverRows,
    at_home,
    at_home_to_write,
    effects_transaction,
)
from milepost.infrastructure.running.step_context import HookContext, StepContext

LET_GO_SECONDS: Final = 0.5  # between two tries to swap a generation in: readers who came meanwhile have their turn


class ObserverRequest(NamesObserver):
    """Which observer."""

    parallel: int | None = Field(
        default=None, ge=1, le=SLICES, description="into how many steps its partitions are divided"
    )


class NotAtItsEnd(ObserverError):
    """All steps have ended, and still there are events that were not handed over: it must not be called done."""

    def __init__(self, observer: ObserverState, position: int) -> None:
        self.position, self.until = position, observer.to
        super().__init__(f"Observer '{observer.name}' has come to {position}, not to {observer.to}: it is not done.")


class NotFitToServe(ObserverError):
    """The generation that was built beside must not take the place of the one that serves."""

    def __init__(self, observer: str, why: str) -> None:
        self.observer, self.why = observer, why
        super().__init__(
            f"The new generation of observer '{observer}' is not swapped in: {why}. Mend the handler and begin anew;"
            " the one that served still does."
        )


WholeRequest = TypeVar("WholeRequest", bound=ObserverRequest)


class WholeObserverJob(ObserverJob[WholeRequest]):
    """A job that holds an observer as a whole, and hands it all events up to the newest of its beginning."""

    policy = Policy(attempts=3, backoff_seconds=0.5, on_failure="halt")

    def holds(self, request: WholeRequest) -> Held:
        """How it holds the observer."""
        raise NotImplementedError

    def key(self, request: WholeRequest) -> str | None:
        return request.observer

    def details(self, request: WholeRequest) -> str:
        return request.observer

    def before_start(self, job: HookContext[WholeRequest]) -> None:
        with self.handling(job, job.request.observer) as handling:
            self.holding(job).take(handling, job.job_id, self.holds(job.request))

    def plan(self, request: WholeRequest) -> Iterable[Step]:
        count = request.parallel or 1  # each step reads all events, so that more are slower unless processes share them
        for index in range(count):
            name = "all partitions" if count == 1 else f"partitions {index + 1} of {count}"
            yield Step(name, {"slices": list(range(index, SLICES, count))})

    def perform(self, step: StepContext[WholeRequest]) -> None:
        self.hand_over(step, step.arguments["slices"])

    def completed(self, job: HookContext[WholeRequest]) -> None:
        """Live events go on from where the slices are. A generation that was built beside is first brought as far as
        the one that serves, so that no reader goes back in time, and is swapped in by the transaction that finds it so.
        """
        with self.handling(job, job.request.observer) as handling:
            pace = Pace(handling.declared.batch_events)
            while not self._ended(job, handling, pace):
                pass

    def cancelled(self, job: HookContext[WholeRequest]) -> None:
        with self.handling(job, job.request.observer) as handling:
            self.holding(job).release(handling, job.job_id)

    def hand_over(self, step: StepContext[WholeRequest], slices: Iterable[int]) -> None:
        """All events of these slices up to the job's end, each batch in a transaction of its own."""
        which = frozenset(slices)
        with self.handling(step, step.request.observer) as handling:
            while not self._part(step, handling, which):
                pass  # somebody has changed the observer: on what is so now

    def _part(self, step: StepContext[WholeRequest], handling: Handling, which: Collection[int]) -> bool:
        """Whether it has come to the end. Raises ObserverNotHeld, ObserverStandsStill."""
        observer, generation = self.held(step, step.request.observer)
        until = observer.to or 0
        position = self._reached(step, handling, generation, which)
        failed, share, pace = 0, share_of(which, until), Pace(handling.declared.batch_events)
        while position < until:
            stored = handling.source.after(position, pace.events)
            page = handling.page([each for each in stored if each.position <= until], which)
            if not page.end or page.end <= position:
                page = Page((), until)  # what stood there is gone
            try:
                with step.transaction(read_committed=True) as transaction:
                    began_at = self.surroundings.monotonic()
                    connection = at_home_to_write(transaction.connection, self.environment.database)
                    done = handling.handle(connection, page, observer, generation, which, after=position)
                    failed += done.failed
                    told = f"{failed} partitions failed" if failed else ""
                    transaction.checkpoint(
                        {"position": done.end}, done=done.end * share // until, total=share, unit="events", message=told
                    )
            except ObserverMoved:
                return False
            handling.remember(done)
            handed_over = sum(1 for each in stored if each.position <= done.end)
            pace.took(max(1, handed_over), self.surroundings.monotonic() - began_at)
            observer, position = done.observer, done.end
            _refuse_if_still(observer)
            _refuse_if_too_many(observer, done.too_many)
        return True

    def _ended(self, job: HookContext[Any], handling: Handling, pace: Pace) -> bool:
        """Whether it has come to its end, or is given up. Readers may keep tables for as long as they need them."""
        try:
            return self._end(job, handling, pace)
        except LockKept:
            if self._is_given_up(job.job_id):
                return True  # and `cancelled` comes next
            job.sleep(LET_GO_SECONDS)
            return False

    def _is_given_up(self, job_id: UUID) -> bool:
        with self.environment.database.read() as connection:
            status = connection.scalar(sa.select(jobs.c.status).where(jobs.c.id == str(job_id)))
        return status == JobStatus.CANCELLING

    def _end(self, job: HookContext[Any], handling: Handling, pace: Pace) -> bool:
        """Raises LockKept."""
        database = self.environment.database
        with suppress(ObserverMoved), effects_transaction(database) as connection:
            began_at = self.surroundings.monotonic()
            rows = handling.rows(connection)
            observer = rows.locked()
            if observer.job != str(job.job_id):
                return True  # a try before this one has come so far
            generation = observer.target or observer.generation
            reached = {each.index: each.position for each in rows.slices(generation)}
            if min(reached.values()) < (observer.to or 0):
                raise NotAtItsEnd(observer, min(reached.values()))
            served = {each.index: each.position for each in rows.slices(observer.generation)}
            if any(reached[index] < position for index, position in served.items()):
                behind, until = min(reached.values()), max(served.values())
                stored = handling.source.after(behind, pace.events)
                page = handling.page([each for each in stored if each.position <= until])
                handling.handle(connection, page if page.end else Page((), until), observer, generation, after=behind)
                pace.took(max(1, len(stored)), self.surroundings.monotonic() - began_at)
                return False
            if observer.held == "beside":
                self.refuse_to_swap(rows, handling, observer, generation)
            self.holding(job).complete(rows, handling, observer, job.job_id)
            return True
        return False

    def refuse_to_swap(self, rows: ObserverRows, handling: Handling, observer: ObserverState, generation: int) -> None:
        """Raises what speaks against the generation that was built; partitions that failed in it are tried again."""
        _refuse_if_too_many(observer, handling.too_many_failed(rows, generation))

    def held(self, job: HookContext[Any] | StepContext[Any], name: str) -> tuple[ObserverState, int]:
        """The observer, and the generation that is written. Raises ObserverNotHeld, ObserverStandsStill."""
        observer = self.holding(job).held_by(name, job.job_id)
        _refuse_if_still(observer)
        return observer, observer.target or observer.generation

    def _reached(self, step: StepContext[Any], handling: Handling, generation: int, which: Collection[int]) -> int:
        with self.environment.database.read() as connection:
            rows = ObserverRows(at_home(connection, self.environment.database), step.namespace, handling.declared.name)
            return min((each.position for each in rows.slices(generation, which)), default=0)


def share_of(which: Collection[int], events: int) -> int:
    """How many of so many events these slices count as theirs, where each has as many: of all slices it is all."""
    return sum(events * (index + 1) // SLICES - events * index // SLICES for index in which)


def _refuse_if_too_many(observer: ObserverState, why: str | None) -> None:
    """What is built beside stands still by itself, not with the one that serves."""
    if observer.held == "beside" and why is not None:
        raise NotFitToServe(observer.name, why)


def _refuse_if_still(observer: ObserverState) -> None:
    if observer.quarantined is not None and observer.held != "beside":
        raise ObserverStandsStill(observer.name, "go on with", observer.quarantined)
