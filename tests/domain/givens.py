"""Histories to start a test from: `given(*events)` is the job after them, `after(job, command)` what follows."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.decide import decide
from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.job import Job, evolve
from milepost.domain.state_machine import JobStatus

S = JobStatus
JOB_ID: Final = UUID("0198c0de-0000-7000-8000-000000000001")
ORIGIN: Final = Origin("eva@ops", "cli", "deploy", "c-1")
BEGINNING: Final = datetime(2013, 1, 1, tzinfo=UTC)
BOOM: Final = e.ErrorDetail(type="ValueError", message="boom")

STARTED: Final = e.JobStarted(namespace="Default", job_type="self-test", request={})
CLAIMED: Final = e.JobClaimed(worker="w1", claim=1)
PLANNED: Final = e.StepsPlanned(first=0, steps=(e.PlannedStep(name="a"), e.PlannedStep(name="b")))
PREPARED: Final = e.JobPrepared(total_steps=2)
STOP_REQUESTED: Final = e.JobStopRequested()
STOPPED: Final = e.JobStopped()
RESUMED: Final = e.JobResumed()
CANCEL_REQUESTED: Final = e.JobCancelRequested()
CANCELLED: Final = e.JobCancelled()
COMPLETED: Final = e.JobCompleted()
FAILED: Final = e.JobFailed(error=BOOM)
REMOVED: Final = e.JobRemoved()

PREPARING: Final = (STARTED, CLAIMED)
RUNNING: Final = (*PREPARING, PLANNED, PREPARED)


def time_of(version: int) -> datetime:
    """When `given` has the event of that version happen: one a second."""
    return BEGINNING + timedelta(seconds=version)


def recorded(job: Job, event: e.JobEvent) -> RecordedEvent:
    """The event as the next one of the job's history."""
    version = job.version + 1
    return RecordedEvent(job.id, version, UUID(int=version), time_of(version), ORIGIN, event)


def given(*events: e.JobEvent) -> Job:
    return later(Job(JOB_ID), *events)


def later(job: Job, *events: e.JobEvent) -> Job:
    for event in events:
        job = evolve(job, recorded(job, event))
    return job


def after(job: Job, *commands: c.JobCommand) -> Job:
    """The job once the commands were obeyed."""
    for command in commands:
        job = later(job, *decide(job, command))
    return job


def running_with(policy: e.Policy, steps: int = 2, has_cleanup: bool = False) -> Job:
    """A job of that policy whose steps may start."""
    return given(
        STARTED.model_copy(update={"policy": policy}),
        CLAIMED.model_copy(update={"has_cleanup": has_cleanup}),
        e.StepsPlanned(first=0, steps=tuple(e.PlannedStep(name=f"s{n}") for n in range(steps))),
        e.JobPrepared(total_steps=steps),
    )


def started(step: int, attempt: int = 1) -> e.StepStarted:
    return e.StepStarted(step=step, attempt=attempt)


def succeeded(step: int, attempt: int = 1) -> e.StepSucceeded:
    return e.StepSucceeded(step=step, attempt=attempt, seconds=1.0)


def failed(step: int, attempt: int = 1, retry_in_seconds: float | None = None) -> e.StepFailed:
    return e.StepFailed(step=step, attempt=attempt, seconds=1.0, error=BOOM, retry_in_seconds=retry_in_seconds)


def stopped(step: int, attempt: int = 1, progress: e.Progress | None = None) -> e.StepStopped:
    return e.StepStopped(step=step, attempt=attempt, seconds=1.0, progress=progress)


def progressed(step: int, progress: e.Progress, attempt: int = 1) -> e.StepProgressed:
    return e.StepProgressed(step=step, attempt=attempt, progress=progress)


def interrupted(
    step: int, attempt: int = 1, cause: str = "gone", progress: e.Progress | None = None, lease_lost: bool = False
) -> e.JobEvent:
    return e.StepInterrupted(step=step, attempt=attempt, cause=cause, progress=progress, lease_lost=lease_lost)


def report_success(step: int, attempt: int = 1, claim: int = 1, progress: e.Progress | None = None) -> c.ReportSuccess:
    return c.ReportSuccess(claim=claim, step=step, attempt=attempt, seconds=1.0, progress=progress)


def report_failure(step: int, attempt: int = 1, claim: int = 1, chance: float = 0.0) -> c.ReportFailure:
    return c.ReportFailure(claim=claim, step=step, attempt=attempt, seconds=1.0, error=BOOM, chance=chance)


def report_stop(step: int, attempt: int = 1, claim: int = 1, progress: e.Progress | None = None) -> c.ReportStop:
    return c.ReportStop(claim=claim, step=step, attempt=attempt, seconds=1.0, progress=progress)


def report_progress(step: int, progress: e.Progress, attempt: int = 1, claim: int = 1) -> c.ReportProgress:
    return c.ReportProgress(claim=claim, step=step, attempt=attempt, progress=progress)


ONE_EACH: Final = (*RUNNING, started(0), succeeded(0), started(1), failed(1))

# A job in each status, by the shortest story that leads there.
IN_STATUS: Final[dict[JobStatus, Job]] = {
    S.PENDING: given(STARTED),
    S.PREPARING: given(*PREPARING),
    S.RUNNING: given(*RUNNING),
    S.STOPPING: given(*RUNNING, started(0), STOP_REQUESTED),
    S.STOPPED: given(*RUNNING, STOP_REQUESTED, STOPPED),
    S.CANCELLING: given(*RUNNING, started(0), CANCEL_REQUESTED),
    S.CANCELLED: given(*RUNNING, CANCEL_REQUESTED, CANCELLED),
    S.COMPLETED_SUCCESSFULLY: given(*RUNNING, started(0), succeeded(0), started(1), succeeded(1), COMPLETED),
    S.COMPLETED_WITH_FAILURES: given(*ONE_EACH, COMPLETED),
    S.FAILED: given(*RUNNING, FAILED),
    S.REMOVED: given(*RUNNING, FAILED, REMOVED),
}
