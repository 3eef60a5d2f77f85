"""What the reports of a job's calls mean for its history: each becomes a command of the domain, or is too late."""

import logging
from dataclasses import replace
from typing import assert_never

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.events import Progress
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.running.call import Call, CallKind, Ended, How, Planned, StepOfCall
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.link import Activity, Signal
from milepost.infrastructure.running.step_context import StepTimedOut

log = logging.getLogger("milepost.worker")

S = JobStatus


def record_plan(batch: Batch, claim: int, report: Planned) -> None:
    """A batch that is there already, because a stop was withdrawn and the plan is made again, adds nothing."""
    if batch.after.status is S.PREPARING:
        batch.do(c.PlanSteps(claim, report.first, report.steps))


def record_progress(batch: Batch, activity: Activity) -> Progress | None:
    """How far the step is, where that is new. What is now on record of it."""
    progress, step = activity.unrecorded, activity.call.step
    if progress is None or step is None or activity.over or batch.after.worker is None:
        return None
    known = batch.after.steps.get(step.index)
    if known is not None and known.progress is not progress:
        batch.do(c.ReportProgress(activity.call.claim, step.index, step.attempt, progress))
    return progress


def record_end(batch: Batch, activity: Activity, ended: Ended, *, chance: float, leaving: bool) -> None:
    """The end of a step or a hook. `leaving`: its worker asked it to come to rest, and not the operator."""
    step = activity.call.step
    if step is None:
        _record_hook(batch, activity.call, ended)
        return
    if ended.how is How.STOPPED and activity.signal is Signal.TIMED_OUT:
        # It heard that it should end, and did so as it would for a stop; but it was its time that was over.
        ended = replace(ended, how=How.FAILED, error=error_detail(StepTimedOut(step.timeout_seconds or 0.0)))
    batch.do(_end_of_step(batch, activity, step, ended, chance, leaving))


def _end_of_step(
    batch: Batch, activity: Activity, step: StepOfCall, ended: Ended, chance: float, leaving: bool
) -> c.StepReport:
    claim, index, attempt, seconds = activity.call.claim, step.index, step.attempt, ended.seconds
    progress = ended.progress or activity.unrecorded
    match ended.how:
        case How.SUCCEEDED:
            return c.ReportSuccess(claim, index, attempt, seconds, progress)
        case How.FAILED:
            return c.ReportFailure(claim, index, attempt, seconds, _error(ended), chance, progress)
        case How.STOPPED:
            goes_on = batch.after.status is S.RUNNING
            if goes_on and batch.after.doomed:
                return c.InterruptStep(claim, index, attempt, "too many steps have failed", progress)
            if goes_on and leaving:
                return c.InterruptStep(claim, index, attempt, "its worker shut down", progress)
            return c.ReportStop(claim, index, attempt, seconds, progress)
        case How.NOT_BEGUN:
            return c.InterruptStep(claim, index, attempt, "it had not begun: the steps before it take longer now")
        case _:
            assert_never(ended.how)


def _record_hook(batch: Batch, call: Call, ended: Ended) -> None:
    status, kind = batch.after.status, call.kind
    if kind is CallKind.CANCELLED:
        if status is S.CANCELLING and ended.how is not How.STOPPED:
            batch.do(c.Advance(call.claim, cleanup_error=ended.error))
    elif ended.how is How.FAILED:
        error = _error(ended)
        if status in (S.PREPARING, S.RUNNING, S.STOPPING):
            batch.do(c.FailJob(call.claim, error))
        else:
            log.warning("job %s: its %s failed while it is %s: %s", call.job_id, kind, status, error.message)
    elif ended.how is How.SUCCEEDED and kind is CallKind.COMPLETED and status in (S.RUNNING, S.STOPPING):
        batch.do(c.CompleteJob(call.claim))
    elif ended.how is How.SUCCEEDED and status is S.PREPARING:
        if kind is CallKind.PLAN and ended.planned != batch.after.total:
            batch.do(c.FailJob(call.claim, _plan_changed(ended.planned, batch.after.total)))
        else:
            batch.do(c.PrepareJob(call.claim))


def interrupt_unstarted(batch: Batch, claim: int, ours: set[tuple[int, int]]) -> None:
    """Steps that an append recorded as started although its answer was lost, so that nobody ran them."""
    for index, step in batch.after.steps.items():
        if step.status is StepStatus.RUNNING and (index, step.attempt) not in ours:
            cause = "it was recorded as started, and was not"
            batch.do(c.InterruptStep(claim, index, step.attempt, cause))


def _error(ended: Ended) -> e.ErrorDetail:
    return ended.error or e.ErrorDetail(type="Unknown", message="")


def _plan_changed(steps: int, before: int) -> e.ErrorDetail:
    message = f"plan() must yield the same steps whenever it is called: now {steps}, before {before}"
    return e.ErrorDetail(type="PlanChanged", message=message)
