"""Everything that can happen to a job or to one of its steps: past tense, frozen, on disk for ever.

Names and fields are stored. Never edit one: add a field with a default, or raise `class_version` and
give the class an `upcast_vN_vM(data)` that lifts the old document to the new one. Who, when and why
are not here: they belong to the envelope (`milepost.domain.envelope`).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

Json = Any  # a JSON value; pydantic's JsonValue validates recursively, which the fold cannot afford
LONGEST_WAIT_SECONDS: Final = 366 * 24 * 3600.0  # between attempts; longer ones would leave the calendar


class Value(BaseModel):
    """A frozen part of an event. Infinities are refused: JSON has none, and what is stored must be readable."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ErrorDetail(Value):
    """An error kept whole: type, message, traceback, causes; `cut` says what was shortened."""

    type: str
    message: str
    traceback: str = ""
    causes: tuple[str, ...] = ()
    cut: bool = False


class Progress(Value):
    """How far a step has come, in its own `unit`, and the checkpoint to go on from."""

    done: float = 0
    total: float | None = None
    unit: str = ""
    message: str = ""
    checkpoint: Json = None


class PlannedStep(Value):
    """One step of a plan: its name and the arguments its code will be given."""

    name: str
    arguments: dict[str, Json] = {}


class Policy(Value):
    """How a job deals with failing steps; a fact of the job, fixed when it starts.

    attempts: tries of one step before it is Failed. backoff_seconds doubles with `factor` up to
    `backoff_max_seconds`; `jitter` is the share taken off at random. timeout_seconds: for one attempt.
    max_failures: failed steps (a count) or failed share of all steps (0 < x < 1) that still do not fail
    the job. on_failure: `continue` with the other steps, or `halt` the job at the first failed step.
    max_crashes: how often a step's worker may lose its lease without a new checkpoint in between; with one loss
    more the step has failed, for it may be what kills them.
    """

    attempts: int = Field(default=1, ge=1)
    backoff_seconds: float = Field(default=1.0, ge=0)
    backoff_factor: float = Field(default=2.0, ge=1)
    backoff_max_seconds: float = Field(default=600.0, ge=0, le=LONGEST_WAIT_SECONDS)
    jitter: float = Field(default=0.5, ge=0, le=1)
    timeout_seconds: float | None = Field(default=None, gt=0)
    max_failures: float | None = Field(default=None, ge=0)
    on_failure: Literal["continue", "halt"] = "continue"
    max_crashes: int = Field(default=3, ge=1)
    max_parallel_steps: int | None = Field(default=None, ge=1)


class DomainEvent(BaseModel):
    """Base of all events. `topic` is the stored name, `class_version` the stored shape's version."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    topic: ClassVar[str]
    class_version: ClassVar[int] = 1


class JobStarted(DomainEvent):
    topic = "milepost:JobStarted"
    namespace: str
    job_type: str
    request: dict[str, Json]
    details: str = ""
    key: str | None = None  # at most one live job of this type has it
    limit_key: str | None = None  # jobs of this type that share it are limited together
    tags: tuple[str, ...] = ()
    policy: Policy = Policy()
    queue: str = "default"  # what was stored before there were queues waits in this one
    priority: int = 0  # higher first, whatever their age


class JobClaimed(DomainEvent):
    topic = "milepost:JobClaimed"
    worker: str
    claim: int
    has_cleanup: bool = False  # the job type has code to call when the job is cancelled


class StepsPlanned(DomainEvent):
    topic = "milepost:StepsPlanned"
    first: int
    steps: tuple[PlannedStep, ...]


class JobPrepared(DomainEvent):
    topic = "milepost:JobPrepared"
    total_steps: int


class StepStarted(DomainEvent):
    topic = "milepost:StepStarted"
    step: int
    attempt: int


class StepProgressed(DomainEvent):
    topic = "milepost:StepProgressed"
    step: int
    attempt: int
    progress: Progress


class StepSucceeded(DomainEvent):
    topic = "milepost:StepSucceeded"
    step: int
    attempt: int
    seconds: float
    progress: Progress | None = None


class StepFailed(DomainEvent):
    topic = "milepost:StepFailed"
    step: int
    attempt: int
    seconds: float
    error: ErrorDetail
    retry_in_seconds: float | None = None  # None: this was the last attempt
    progress: Progress | None = None


class StepStopped(DomainEvent):
    topic = "milepost:StepStopped"
    step: int
    attempt: int
    seconds: float
    progress: Progress | None = None


class StepInterrupted(DomainEvent):
    topic = "milepost:StepInterrupted"
    step: int
    attempt: int
    cause: str
    progress: Progress | None = None
    # Its worker died, or could not say that it lives: a machine that slept, say. The oldest ones say `worker_died`.
    lease_lost: bool = Field(default=False, validation_alias=AliasChoices("lease_lost", "worker_died"))


class JobStopRequested(DomainEvent):
    topic = "milepost:JobStopRequested"


class JobStopped(DomainEvent):
    topic = "milepost:JobStopped"


class JobResumed(DomainEvent):
    topic = "milepost:JobResumed"


class JobReleased(DomainEvent):
    topic = "milepost:JobReleased"
    worker: str
    claim: int


class JobCancelRequested(DomainEvent):
    topic = "milepost:JobCancelRequested"


class JobCancelled(DomainEvent):
    topic = "milepost:JobCancelled"
    cleanup_error: ErrorDetail | None = None


class JobCompleted(DomainEvent):
    topic = "milepost:JobCompleted"


class JobFailed(DomainEvent):
    topic = "milepost:JobFailed"
    error: ErrorDetail


class JobRemoved(DomainEvent):
    topic = "milepost:JobRemoved"


JobEvent = (
    JobStarted
    | JobClaimed
    | StepsPlanned
    | JobPrepared
    | StepStarted
    | StepProgressed
    | StepSucceeded
    | StepFailed
    | StepStopped
    | StepInterrupted
    | JobStopRequested
    | JobStopped
    | JobResumed
    | JobReleased
    | JobCancelRequested
    | JobCancelled
    | JobCompleted
    | JobFailed
    | JobRemoved
)

StepEvent = StepStarted | StepProgressed | StepSucceeded | StepFailed | StepStopped | StepInterrupted

EVENT_CLASSES: Final[Mapping[str, type[JobEvent]]] = {event.topic: event for event in get_args(JobEvent)}
