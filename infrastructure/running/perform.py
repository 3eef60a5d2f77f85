"""Runs one call of a job type's code and turns whatever comes of it into a value: it never raises."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from milepost.domain.events import PlannedStep
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.job_types.job_type import JobType, Step
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.running.call import PLAN_BATCH_STEPS, Call, CallKind, Ended, How, StepOfCall
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.link import Link
from milepost.infrastructure.running.step_context import HookContext, StepContext, StopRequested
from milepost.infrastructure.running.step_transactions import StepTransactions

LOOK_SECONDS: Final = 0.02  # how often an async step's time-out is looked at


@dataclass(frozen=True, slots=True)
class Environment:
    """What running code needs beside its call: where types are found, the database, and a timer in seconds."""

    job_types: JobTypes
    database: Database
    timer: Callable[[], float] = time.perf_counter


def perform(call: Call, link: Link, environment: Environment) -> Ended:
    """How the call ended: it succeeded, failed with an error that is kept whole, or came to rest."""
    started = environment.timer()
    context: StepContext[Any] | None = None
    error: BaseException | None = None
    how = How.SUCCEEDED
    try:
        link.raise_if_asked_to_stop()  # it may have waited for a free slot while the stop came
        job_type = environment.job_types.get(call.job_type)
        request = environment.job_types.parse(call.job_type, call.request)
        if call.step is not None:
            context = _context(call, call.step, request, link, environment)
            _run(job_type.perform(context), link)
        elif call.kind is CallKind.PLAN:
            job_type.before_start(HookContext(call.job_id, call.namespace, request))
            _plan(job_type, request, link)
        else:
            getattr(job_type, call.kind)(HookContext(call.job_id, call.namespace, request))
    except StopRequested:
        how = How.STOPPED
    except BaseException as raised:  # noqa: BLE001 - recorded whole, by the coordinator
        how, error = How.FAILED, raised
    return Ended(
        how=how,
        seconds=environment.timer() - started,
        progress=context.reached if context and context.reported else None,
        error=error_detail(error) if error is not None else None,
    )


def _context(call: Call, step: StepOfCall, request: Any, link: Link, environment: Environment) -> StepContext[Any]:
    transactions = StepTransactions(environment.database, call.job_id, call.claim)
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
        link=link,
        transactions=transactions,
    )


def _run(returned: object, link: Link) -> None:
    if inspect.iscoroutine(returned):
        asyncio.run(_until_timed_out(returned, link))


async def _until_timed_out(coroutine: Coroutine[Any, Any, Any], link: Link) -> None:
    """An async step is cancelled when its time is over, also where it never reports."""
    task = asyncio.ensure_future(coroutine)
    while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
        if link.asked_to_stop():
            await _end_if_timed_out(task, link)
    task.result()


async def _end_if_timed_out(task: "asyncio.Future[Any]", link: Link) -> None:
    try:
        link.raise_if_asked_to_stop()
    except StopRequested:
        return  # a stop is cooperative: the step reaches its checkpoint by itself
    except Exception:
        task.cancel()
        await asyncio.wait({task})
        raise


def _plan(job_type: JobType[Any], request: Any, link: Link) -> None:
    first, batch = 0, list[PlannedStep]()
    for step in job_type.plan(request):
        if not isinstance(step, Step):
            raise TypeError(f"plan() of {job_type.name!r} must yield Step objects, not {type(step).__name__}")
        link.raise_if_asked_to_stop()
        batch.append(PlannedStep(name=step.name, arguments=step.arguments))
        if len(batch) == PLAN_BATCH_STEPS:
            link.planned(first, tuple(batch))
            first, batch = first + len(batch), []
    if batch:
        link.planned(first, tuple(batch))
