"""What an executor is asked to run, and what comes back from it: plain values that cross processes."""

from enum import StrEnum
from typing import Final
from uuid import UUID

from milepost.domain.events import ErrorDetail, Json, PlannedStep, Progress
from milepost.domain.value import value


class CallKind(StrEnum):
    """Which code of the job type is called."""

    PLAN = "plan"  # before_start, then plan
    BEFORE_RESUME = "before_resume"
    PERFORM = "perform"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@value
class StepOfCall:
    """The step that a `PERFORM` is for, and what it reached before."""

    index: int
    name: str
    arguments: dict[str, Json]
    attempt: int
    reached: Progress | None
    timeout_seconds: float | None


@value
class Call:
    """One call of a job type's code, for one claim on one job."""

    kind: CallKind
    job_id: UUID
    namespace: str
    job_type: str
    request: str  # JSON, written once for all calls of a job
    claim: int
    step: StepOfCall | None = None


class How(StrEnum):
    """How a call ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"  # it came to rest because it was asked to
    NOT_BEGUN = "not_begun"  # it was taken back while it waited for a slot


@value
class Ended:
    """The end of a call. `progress` is None where nothing was reported; `planned`: how many steps a plan has."""

    how: How
    seconds: float = 0.0
    progress: Progress | None = None
    error: ErrorDetail | None = None
    planned: int = 0


@value
class Progressed:
    """How far a step is; `durable` when it waits until that is on disk. Its coordinator is sent no others."""

    progress: Progress
    durable: bool = False


@value
class Planned:
    """The next steps of a plan."""

    first: int
    steps: tuple[PlannedStep, ...]


@value
class Begun:
    """The process has started and runs the call now: its time counts from here."""


Report = Progressed | Planned | Ended
PLAN_BATCH_STEPS: Final = 1_000  # in one event, and in one commit
