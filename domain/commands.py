"""What one may ask of a job: imperative, and refusable. A command already satisfied adds nothing."""

from collections.abc import Mapping
from dataclasses import field

from milepost.domain.events import ErrorDetail, Json, PlannedStep, Policy, Progress
from milepost.domain.queues import DEFAULT_QUEUE
from milepost.domain.value import value


@value
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
    queue: str = DEFAULT_QUEUE
    priority: int = 0  # higher first


@value
class StopJob:
    """Stop it. `worker_alive`: whether a worker holds a live lease and can bring the steps to rest.

    `reached`: what running steps of a dead worker committed in their own transactions, by step.
    """

    worker_alive: bool
    reached: Mapping[int, Progress] = field(default_factory=dict[int, Progress])


@value
class ResumeJob:
    pass


@value
class CancelJob:
    """Give it up. `skip_cleanup`: end it even where no worker is there that could run the type's cleanup."""

    worker_alive: bool
    reached: Mapping[int, Progress] = field(default_factory=dict[int, Progress])
    skip_cleanup: bool = False


@value
class RemoveJob:
    pass


@value
class ClaimJob:
    """A worker takes the job: the first claim, or over from a worker that is gone."""

    worker: str
    reached: Mapping[int, Progress] = field(default_factory=dict[int, Progress])
    has_cleanup: bool = False


@value
class PlanSteps:
    claim: int
    first: int
    steps: tuple[PlannedStep, ...]


@value
class PrepareJob:
    claim: int


@value
class StartStep:
    claim: int
    step: int


@value
class ReportProgress:
    claim: int
    step: int
    attempt: int
    progress: Progress


@value
class ReportSuccess:
    claim: int
    step: int
    attempt: int
    seconds: float
    progress: Progress | None = None


@value
class ReportFailure:
    """`chance` in [0, 1) is the randomness for the jitter of the retry."""

    claim: int
    step: int
    attempt: int
    seconds: float
    error: ErrorDetail
    chance: float = 0.0
    progress: Progress | None = None


@value
class ReportStop:
    """The step came to rest at a checkpoint because it was asked to."""

    claim: int
    step: int
    attempt: int
    seconds: float
    progress: Progress | None = None


@value
class InterruptStep:
    claim: int
    step: int
    attempt: int
    cause: str
    progress: Progress | None = None


@value
class Advance:
    """Record what follows once no step runs: stopped, cancelled, or failed by its policy."""

    claim: int
    cleanup_error: ErrorDetail | None = None


@value
class CompleteJob:
    claim: int


@value
class FailJob:
    claim: int
    error: ErrorDetail


@value
class ReleaseJob:
    claim: int


OperatorCommand = StartJob | StopJob | ResumeJob | CancelJob | RemoveJob
StepReport = ReportProgress | ReportSuccess | ReportFailure | ReportStop | InterruptStep
CoordinatorCommand = PlanSteps | PrepareJob | StartStep | StepReport | Advance | CompleteJob | FailJob | ReleaseJob
JobCommand = OperatorCommand | ClaimJob | CoordinatorCommand
