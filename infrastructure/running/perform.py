"""Runs one call of a job type's code and turns whatever comes of it into a value: it never raises."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, cast

from milepost.domain.events import Json, PlannedStep
from milepost.infrastructure.clock import RealSurroundings, Surroundings
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.job_types.job_type import JobType, Step
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.running.call import PLAN_BATCH_STEPS, Call, CallKind, Ended, How, StepOfCall
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.json_values import as_json
from milepost.infrastructure.running.link import Link
from milepost.infrastructure.running.step_context import HookContext, NotOursAnyMore, StepContext, StopRequested
from milepost.infrastructure.running.step_transactions import StepTransactions

LOOK_SECONDS: Final = 0.02  # how often an async step's time-out is looked at


@dataclass(frozen=True, slots=True)
class Environment:
    """What running code needs beside its call: where types are found, the database, a timer in seconds, and a clock."""

    job_types: JobTypes
    database: Database
    timer: Callable[[], float] = time.perf_counter
    given_surroundings: Surroundings | None = None

    @property
    def surroundings(self) -> Surroundings:
        """Those that were given, or the machine's by the clock that all users of the database share."""
        return self.given_surroundings or RealSurroundings(lambda: self.database.clock_offset)


class StoppedUnasked(Exception):
    """Code that raises StopRequested although nobody wants it to stop would be started again for ever."""

    def __init__(self) -> None:
        super().__init__("StopRequested was raised although nobody had asked for a stop")


def perform(call: Call, link: Link, environment: Environment) -> Ended:
    """How the call ended: it succeeded, failed with an error that is kept whole, or came to rest."""
    started = environment.timer()
    running = _Running(call, link, environment)
    error: BaseException | None = None
    how = How.SUCCEEDED
    try:
        running.run()
    except BaseException as raised:  # noqa: BLE001 - recorded whole, by the coordinator
        how, error = running.told(raised)
    context = running.context
    return Ended(
        how=how,
        seconds=environment.timer() - started,
        progress=context.reached if context and context.reported else None,
        error=error_detail(error) if error is not None else None,
        planned=running.planned,
    )


class _Running:
    """One call while it runs."""

    def __init__(self, call: Call, link: Link, environment: Environment) -> None:
        self.context: StepContext[Any] | None = None
        self.planned = 0
        self._call = call
        self._link = link
        self._environment = environment

    def run(self) -> None:
        self._link.raise_if_asked_to_stop()  # it may have waited for a free slot while the stop came
        call, types = self._call, self._environment.job_types
        job_type = types.get(call.job_type)
        job_type.runs_in(self._environment)
        request = types.parse_text(call.job_type, call.request)
        if call.step is not None:
            self.context = self._context(call.step, request)
            self._finish(job_type.perform(self.context), f"perform() of {call.job_type!r}")
            return
        job = HookContext(call.job_id, call.namespace, request, self._link)
        hook = "before_start" if call.kind is CallKind.PLAN else str(call.kind)
        self._finish(getattr(job_type, hook)(job), f"{hook}() of {call.job_type!r}")
        if call.kind is CallKind.PLAN:
            self._plan(job_type, request)

    def told(self, raised: BaseException) -> tuple[How, BaseException | None]:
        """Whether it came to rest or failed, and why."""
        stop = _only_stops(raised)
        if stop is None:
            return How.FAILED, raised
        asked = stop.asked or self._link.asked_to_stop() or (self.context is not None and self.context.saw_stop)
        if asked:
            return How.STOPPED, None
        unasked = StoppedUnasked()
        unasked.__cause__ = raised
        return How.FAILED, unasked

    def _context(self, step: StepOfCall, request: Any) -> StepContext[Any]:
        call = self._call
        transactions = StepTransactions(self._environment.database, call.job_id, call.claim)
        # An earlier attempt may have committed a checkpoint and failed before it knew: its commit is the truth.
        committed = transactions.committed(step.index) if step.attempt > 1 else None
        return StepContext(
            job_id=call.job_id,
            namespace=call.namespace,
            request=request,
            index=step.index,
            name=step.name,
            arguments=step.arguments,
            attempt=step.attempt,
            reached=committed or step.reached,
            in_transactions=committed is not None,
            link=self._link,
            transactions=transactions,
        )

    def _finish(self, returned: object, what: str) -> None:
        """Also a function that was only called so far: an `async def` is run, a generator would never be."""
        if inspect.iscoroutine(returned):
            asyncio.run(_until_timed_out(returned, self._link))
        elif inspect.isgenerator(returned) or inspect.isasyncgen(returned):
            raise TypeError(f"{what} must not yield: as a generator it would do nothing")

    def _plan(self, job_type: JobType[Any], request: Any) -> None:
        batch: list[PlannedStep] = []
        for step in job_type.plan(request):
            if not _is_step(step):
                kind = type(step).__name__
                raise TypeError(f"plan() of {self._call.job_type!r} must yield Step objects, not {kind}")
            self._link.raise_if_asked_to_stop()
            arguments: dict[str, Json] = step.arguments
            if arguments:
                arguments = as_json(arguments, f"The arguments of step {step.name!r}")
            batch.append(PlannedStep(name=step.name, arguments=arguments))
            if len(batch) == PLAN_BATCH_STEPS:
                self._hand_over(batch, wait=True)  # a plan must not run far ahead of what is recorded
                batch = []
        if batch:
            self._hand_over(batch, wait=False)  # recorded together with the end of the plan, which follows

    def _hand_over(self, batch: list[PlannedStep], *, wait: bool) -> None:
        self._link.planned(self.planned, tuple(batch), wait=wait)
        self.planned += len(batch)


def _is_step(yielded: object) -> bool:
    return isinstance(yielded, Step)


def _only_stops(raised: BaseException) -> StopRequested | None:
    """The stop, if it is nothing else: a TaskGroup wraps what its tasks raise into a group."""
    if isinstance(raised, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", raised)
        stops = [_only_stops(each) for each in group.exceptions]
        return None if None in stops else stops[0]
    return raised if isinstance(raised, StopRequested) else None


async def _until_timed_out(coroutine: Coroutine[Any, Any, Any], link: Link) -> None:
    """An async step is cancelled when its time is over or its job is lost, also where it never reports."""
    task = asyncio.ensure_future(coroutine)
    while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
        if link.asked_to_stop():
            await _end_if_it_must(task, link)
    task.result()


async def _end_if_it_must(task: "asyncio.Future[Any]", link: Link) -> None:
    try:
        link.raise_if_asked_to_stop()
    except (NotOursAnyMore, Exception):
        task.cancel()
        await asyncio.wait({task})
        raise
    except StopRequested:
        return  # a stop is cooperative: the step reaches its checkpoint by itself
