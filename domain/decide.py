"""What happens when a command meets a job: the events that follow, or a typed refusal."""

import json
from collections.abc import Mapping
from types import MappingProxyType

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.errors import ClaimSuperseded, IllegalTransition, NotStorable, PlanOverlaps, UnknownStep
from milepost.domain.job import Job, Step
from milepost.domain.policy import retry_in_seconds
from milepost.domain.queues import refuse_bad_priority, refuse_bad_queue
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.domain.texts import refuse_nul

S = JobStatus
CLEANUP_SKIPPED = e.ErrorDetail(type="CleanupSkipped", message="the operator did without the job type's cleanup")


def decide(job: Job, command: c.JobCommand) -> list[e.JobEvent]:
    """The events that follow; none where it is so already. Raises JobError when it must not be."""
    match command:
        case c.StartJob():
            return _start(job, command)
        case c.StopJob():
            return _stop(job, command)
        case c.ResumeJob():
            return _resume(job)
        case c.CancelJob():
            return _cancel(job, command)
        case c.RemoveJob():
            return [_permitted(job, "remove", e.JobRemoved())]
        case c.ClaimJob():
            return _claim(job, command)
        case _:
            return _coordinate(job, command)


def _start(job: Job, command: c.StartJob) -> list[e.JobEvent]:
    _storable(job, "The request", command.request)
    refuse_nul("The details of the job", command.details)
    refuse_nul("The key of the job", command.key)
    refuse_nul("The limit key of the job", command.limit_key)
    refuse_bad_queue(command.queue)
    refuse_bad_priority(command.priority)
    started = e.JobStarted(
        namespace=command.namespace,
        job_type=command.job_type,
        request=command.request,
        details=command.details,
        key=command.key,
        limit_key=command.limit_key,
        tags=command.tags,
        policy=command.policy,
        queue=command.queue,
        priority=command.priority,
    )
    return [_permitted(job, "start", started)]


def _stop(job: Job, command: c.StopJob) -> list[e.JobEvent]:
    """A job with no live worker stops at once: nobody else would ever say that it has stopped."""
    if job.status is S.STOPPED or (job.status is S.STOPPING and command.worker_alive):
        return []
    asked: list[e.JobEvent] = []
    if job.status is not S.STOPPING:
        asked = [_permitted(job, "stop", e.JobStopRequested())]
    if command.worker_alive and job.status is not S.PENDING:
        return asked
    return [*asked, *_interrupted(job, "its worker was gone when it was stopped", command.reached), e.JobStopped()]


def _resume(job: Job) -> list[e.JobEvent]:
    if job.status in (S.PENDING, S.PREPARING, S.RUNNING):
        return []
    return [_permitted(job, "resume", e.JobResumed())]


def _cancel(job: Job, command: c.CancelJob) -> list[e.JobEvent]:
    """At once where no cleanup is due and no worker holds it; else by the next worker."""
    if job.status is S.CANCELLED:
        return []
    skipped = CLEANUP_SKIPPED if command.skip_cleanup and job.has_cleanup else None
    asked: list[e.JobEvent] = []
    if job.status is not S.CANCELLING:
        asked = [_permitted(job, "cancel", e.JobCancelRequested())]
    held = command.worker_alive and job.status not in (S.PENDING, S.STOPPED)
    if held or (job.has_cleanup and skipped is None):
        return asked
    gone = _interrupted(job, "its worker was gone when it was cancelled", command.reached)
    return [*asked, *gone, e.JobCancelled(cleanup_error=skipped)]


def _claim(job: Job, command: c.ClaimJob) -> list[e.JobEvent]:
    taken = e.JobClaimed(worker=command.worker, claim=job.claim + 1, has_cleanup=command.has_cleanup)
    claimed = _permitted(job, "claim", taken)
    gone = _interrupted(job, f"its worker {job.worker} was gone", command.reached, lease_lost=True)
    return [*(_failed_if_deadly(job, event) for event in gone), claimed]


def _failed_if_deadly(job: Job, event: e.StepInterrupted) -> e.JobEvent:
    """A step under which worker after worker loses its lease must not be given to yet another one."""
    step = _step(job, event.step)
    if step.is_passed_by(event.progress) or step.crashes < job.facts.policy.max_crashes:
        return event
    message = f"its worker lost its lease {step.crashes + 1} times while it ran, with no new checkpoint in between"
    error = e.ErrorDetail(type="LeaseLost", message=message)
    return e.StepFailed(step=event.step, attempt=event.attempt, seconds=0.0, error=error, progress=event.progress)


def _coordinate(job: Job, command: c.CoordinatorCommand) -> list[e.JobEvent]:
    """What only the worker that holds the job may say; a claim that is over is refused."""
    if command.claim != job.claim or job.worker is None:
        raise ClaimSuperseded(job.id, command.claim, job.claim if job.worker else None)
    match command:
        case c.PlanSteps():
            return _plan(job, command)
        case c.PrepareJob():
            prepared = e.JobPrepared(total_steps=job.total)
            return [_permitted(job, "prepare", prepared)]
        case c.Advance():
            return _advance(job, command)
        case c.CompleteJob():
            return _complete(job)
        case c.FailJob():
            failed = _permitted(job, "fail", e.JobFailed(error=command.error))
            return [*_interrupted(job, "the job failed"), failed]
        case c.ReleaseJob():
            return _release(job)
        case c.StartStep():
            return _start_step(job, command)
        case _:
            return _report(job, command)


def _report(job: Job, report: c.StepReport) -> list[e.JobEvent]:
    """What an attempt says of itself; late and repeated reports change nothing."""
    step = _step(job, report.step)
    if step.status is not StepStatus.RUNNING or step.attempt != report.attempt:
        return []
    index, attempt, progress = report.step, report.attempt, _kept(step, report.progress)
    match report:
        case c.ReportProgress(progress=said):
            return [e.StepProgressed(step=index, attempt=attempt, progress=progress or said)]
        case c.ReportSuccess(seconds=seconds):
            return [e.StepSucceeded(step=index, attempt=attempt, seconds=seconds, progress=progress)]
        case c.ReportFailure():
            return [_step_failed(job, step, report, progress)]
        case c.ReportStop(seconds=seconds):
            # One that came to rest although the job goes on (a stop withdrawn) will run again.
            if job.status is S.RUNNING:
                cause = "it had come to rest, and goes on"
                return [e.StepInterrupted(step=index, attempt=attempt, cause=cause, progress=progress)]
            return [e.StepStopped(step=index, attempt=attempt, seconds=seconds, progress=progress)]
        case c.InterruptStep(cause=cause):
            return [e.StepInterrupted(step=index, attempt=attempt, cause=cause, progress=progress)]


def _kept(step: Step, progress: e.Progress | None) -> e.Progress | None:
    """A report that names no checkpoint does not take back the one that was acknowledged."""
    known = step.progress
    if progress is None or progress.checkpoint is not None or known is None or known.checkpoint is None:
        return progress
    return progress.model_copy(update={"checkpoint": known.checkpoint})


def _step_failed(job: Job, step: Step, report: c.ReportFailure, progress: e.Progress | None) -> e.StepFailed:
    return e.StepFailed(
        step=report.step,
        attempt=report.attempt,
        seconds=report.seconds,
        error=report.error,
        retry_in_seconds=retry_in_seconds(job.facts.policy, step.tries + 1, report.chance),
        progress=progress,
    )


def _plan(job: Job, command: c.PlanSteps) -> list[e.JobEvent]:
    if command.first + len(command.steps) <= job.total:  # a batch that was recorded already
        return []
    if command.first != job.total:
        raise PlanOverlaps(job.id, command.first, job.total)
    _storable(job, "The arguments of a step", [step.arguments for step in command.steps])
    for step in command.steps:
        refuse_nul("The name of a step", step.name)
    planned = e.StepsPlanned(first=command.first, steps=command.steps)
    return [_permitted(job, "plan steps of", planned)]


def _start_step(job: Job, command: c.StartStep) -> list[e.JobEvent]:
    step = _step(job, command.step)
    if step.status not in (StepStatus.PENDING, StepStatus.WAITING) or job.doomed:
        return []
    started = e.StepStarted(step=command.step, attempt=step.attempt + 1)
    return [_permitted(job, "start a step of", started)]


def _advance(job: Job, command: c.Advance) -> list[e.JobEvent]:
    if job.in_flight:
        return []
    if job.status is S.CANCELLING:
        return [e.JobCancelled(cleanup_error=command.cleanup_error)]
    if job.status in (S.RUNNING, S.STOPPING) and job.doomed:
        return [e.JobFailed(error=too_many_failures(job))]
    if job.status is S.STOPPING and not job.all_ended:  # else it completes: the stop came too late
        return [e.JobStopped()]
    return []


def _complete(job: Job) -> list[e.JobEvent]:
    """Its completion hook was run: all that is left is to say so, unless too many steps failed."""
    if not job.all_ended:
        return []
    if job.doomed:
        return [_permitted(job, "fail", e.JobFailed(error=too_many_failures(job)))]
    return [_permitted(job, "complete", e.JobCompleted())]


def _release(job: Job) -> list[e.JobEvent]:
    if job.status is S.STOPPING:
        return [*_interrupted(job, "its worker shut down"), e.JobStopped()]
    released = e.JobReleased(worker=job.worker or "", claim=job.claim)
    return [*_interrupted(job, "its worker shut down"), _permitted(job, "release", released)]


def too_many_failures(job: Job) -> e.ErrorDetail:
    """The error of a job that its failed steps have failed."""
    failed, policy = job.count(StepStatus.FAILED), job.facts.policy
    if policy.on_failure == "halt" or policy.max_failures is None:
        rule = "it halts at the first failed step"
    elif 0 < policy.max_failures < 1:
        rule = f"at most {policy.max_failures:.4g} of them, as a share, may fail"
    else:
        rule = f"at most {policy.max_failures:g} may fail"
    return e.ErrorDetail(type="TooManyFailures", message=f"{failed} of {job.total} steps: {rule}")


def _interrupted(
    job: Job, cause: str, reached: Mapping[int, e.Progress] = MappingProxyType({}), *, lease_lost: bool = False
) -> list[e.StepInterrupted]:
    """All running steps go back, each to what it `reached` in a transaction of its own, if it has."""
    if job.in_flight == 0:
        return []
    running = (step for step in job.steps.values() if step.status is StepStatus.RUNNING)
    return [
        e.StepInterrupted(
            step=step.index,
            attempt=step.attempt,
            cause=cause,
            progress=_kept(step, reached.get(step.index)),
            lease_lost=lease_lost,
        )
        for step in sorted(running, key=lambda step: step.index)
    ]


def _permitted(job: Job, asked: str, event: e.JobEvent) -> e.JobEvent:
    if job.transition(type(event)) is None:
        raise IllegalTransition(asked, job.id, job.status)
    return event


def _storable(job: Job, what: str, value: e.Json) -> None:
    """Events hold these as they are, and validating them would cost each fold: so it is done once, here."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotStorable(job.id, what, str(error)) from error


def _step(job: Job, index: int) -> Step:
    step = job.steps.get(index)
    if step is None:
        raise UnknownStep(job.id, index, job.total)
    return step
