"""Why the domain says no: each refusal is built from facts and leaves the job as it was."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from milepost.domain.state_machine import JobStatus, possible

_NOTHING: Final[Mapping[JobStatus | None, str]] = {
    None: "start",
    JobStatus.CANCELLING: "cancel again without its cleanup, else nothing until it is Cancelled",
    JobStatus.REMOVED: "nothing: its history is all that can be read",
}


class JobError(Exception):
    """The job refused a command. Its state is unchanged."""


class IllegalTransition(JobError):
    """What was asked cannot happen to a job of this status."""

    def __init__(self, asked: str, job_id: UUID, status: JobStatus | None) -> None:
        self.asked, self.job_id, self.status = asked, job_id, status
        self.possible = possible(status) if status else ()
        now = ", ".join(self.possible) or _NOTHING.get(status, "nothing")
        super().__init__(f"Cannot {asked} job {job_id}: it is {status or 'not started'}. Possible now: {now}.")


class VersionMismatch(JobError):
    """Somebody acted on the job after the caller last looked at it."""

    def __init__(self, job_id: UUID, expected: int, actual: int) -> None:
        self.job_id, self.expected, self.actual = job_id, expected, actual
        super().__init__(f"Job {job_id} is at version {actual}, not {expected}: look at it again.")


class ClaimSuperseded(JobError):
    """The worker that reports no longer holds the job."""

    def __init__(self, job_id: UUID, claim: int, current: int | None) -> None:
        self.job_id, self.claim, self.current = job_id, claim, current
        super().__init__(f"Claim {claim} on job {job_id} is over (now {current}).")


class UnknownStep(JobError):
    """A step index that the plan does not have."""

    def __init__(self, job_id: UUID, step: int, total: int) -> None:
        self.job_id, self.step, self.total = job_id, step, total
        super().__init__(f"Job {job_id} has no step {step}: it has {total}.")


class BrokenHistory(JobError):
    """An event does not follow the one before it: the history has a gap, or holds an event twice."""

    def __init__(self, job_id: UUID, expected: int, actual: int) -> None:
        self.job_id, self.expected, self.actual = job_id, expected, actual
        super().__init__(f"The history of job {job_id} is broken: version {actual} stands where {expected} should.")


class NotStorable(JobError):
    """What a job or a step is to be given is no JSON, or would come back as something else: an infinity, say."""

    def __init__(self, job_id: UUID, what: str, cause: str) -> None:
        self.job_id, self.what, self.cause = job_id, what, cause
        super().__init__(f"{what} of job {job_id} cannot be stored as JSON: {cause}.")


class PlanOverlaps(JobError):
    """A batch of planned steps that is neither the next one nor one that was planned already."""

    def __init__(self, job_id: UUID, first: int, total: int) -> None:
        self.job_id, self.first, self.total = job_id, first, total
        super().__init__(f"Job {job_id} has {total} planned steps: a batch from step {first} on does not follow.")
