"""What one may ask of a job: imperative, and refusable. A command already satisfied adds nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from milepost.domain.events import ErrorDetail, Json, PlannedStep, Policy, Progress


@dataclass(frozen=True, slots=True)
class StartJob:
    namespace: str
    job_type: str
    request: dict[str, Json]
    details: str = ""
    key: str | None = None
    limit_key: str | None = None
    supersedes: bool = False  # the live job with its key is cancelled, and this one takes its place
    tags: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class StopJob:
    """Stop it. `worker_alive`: whether a worker holds a live lease and can bring the steps to rest.

    `reached`: what running steps of a dead worker committed in their own transactions, by step.
    """

    worker_alive: bool
    reached: Mapping[int, Progress] = field(default_factory=dict[int, Progress])


@dataclass(frozen=True, slots=True)
class ResumeJob:
    pass


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Give it up. `skip_cleanup`: end it even where no worker is there that could run the type's cleanup."""

    worker_alive: bool
    reached: Mapping[int, Progress] = field(default_factory=dict[int, Progress])
    skip_cleanup: bool = False


@dataclass(frozen=True, slots=True)
class RemoveJob:
    pass


@dataclass(frozen=True, slots=True)
class ClaimJob:
    """A worker takes the job: the first claim, or over from a worker that is gone."""

    worker: str
    reached: Mapping[int, Progress] = field(default_factory=dict[int, Progress])
    has_cleanup: bool = False


@dataclass(frozen=True, slots=True)
class PlanSteps:
    claim: int
    first: int
    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True, slots=True)
class PrepareJob:
    claim: int


@dataclass(frozen=True, slots=True)
class StartStep:
    claim: int
    step: int


@dataclass(frozen=True, slots=True)
class ReportProgress:
    claim: int
    step: int
    attempt: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class ReportSuccess:
    claim: int
    step: int
    attempt: int
    seconds: float
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class ReportFailure:
    """`chance` in [0, 1) is the randomness for the jitter of the retry."""

    claim: int
    step: int
    attempt: int
    seconds: float
    error: ErrorDetail
    chance: float = 0.0
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class ReportStop:
    """The step came to rest at a checkpoint because it was asked to."""

    claim: int
    step: int
    attempt: int
    seconds: float
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class InterruptStep:
    claim: int
    step: int
    attempt: int
    cause: str
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """Record what follows once no step runs: stopped, cancelled, or failed by its policy."""

    claim: int
    cleanup_error: ErrorDetail | None = None


@dataclass(frozen=True, slots=True)
class CompleteJob:
    claim: int


@dataclass(frozen=True, slots=True)
class FailJob:
    claim: int
    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class ReleaseJob:
    claim: int


OperatorCommand = StartJob | StopJob | ResumeJob | CancelJob | RemoveJob
StepReport = ReportProgress | ReportSuccess | ReportFailure | ReportStop | InterruptStep
CoordinatorCommand = PlanSteps | PrepareJob | StartStep | StepReport | Advance | CompleteJob | FailJob | ReleaseJob
JobCommand = OperatorCommand | ClaimJob | CoordinatorCommand
