"""What changed in one job between two moments, and how two runs compare, as documents."""

from dataclasses import dataclass

from milepost.interfaces.documents import Document, Json
from milepost.interfaces.job_documents import ErrorDocument, StatusChange, StepProgress


@dataclass(frozen=True, slots=True)
class FieldChange(Document):
    """One thing that differs."""

    what: str
    """As it is called in the document of a job: `status`, `progress.successfulSteps`; of a request, its field."""
    before: Json
    after: Json


@dataclass(frozen=True, slots=True)
class MomentDocument(Document):
    """One end of a diff."""

    version: int
    """0: before the job began."""
    at: str | None
    status: str | None


@dataclass(frozen=True, slots=True)
class ActorShare(Document):
    """Who brought something about, and how much of it."""

    actor: str
    source: str
    events: int
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class StepStand(Document):
    """Where a step was."""

    status: str
    progress: StepProgress
    attempts: int
    checkpoint: Json
    error: ErrorDocument | None
    """What its newest failed attempt raised."""


@dataclass(frozen=True, slots=True)
class StepChange(Document):
    """A step that is not as it was.

    `before` is null where it was not planned yet, `after` where its plan was given up.
    """

    index: int
    name: str
    before: StepStand | None
    after: StepStand | None


@dataclass(frozen=True, slots=True)
class JobDiff(Document):
    """What happened to a job between two moments, and what it changed."""

    id: str
    type: str
    before: MomentDocument
    after: MomentDocument
    events: dict[str, int]
    """How many there were of each name."""
    actors: list[ActorShare]
    status_changes: list[StatusChange]
    changes: list[FieldChange]
    steps: list[StepChange]
    hidden_steps: int
    """How many more steps changed than are shown."""


@dataclass(frozen=True, slots=True)
class RunDocument(Document):
    """A job as one of two runs that are compared."""

    id: str
    type: str
    status: str
    version: int
    created: str
    ended: str | None
    seconds: float
    """From its start to its end, or until now."""
    seconds_by_status: dict[str, float]
    """How long it had each status: `Pending` is waiting for a worker, `Stopped` is at rest."""
    total_steps: int
    successful_steps: int
    failed_steps: int
    attempts: int
    """Of all steps: more than the steps that began, where any was tried again."""
    items_done: float
    unit: str
    steps_per_second: float | None
    """While it ran; null where it never did."""
    items_per_second: float | None


@dataclass(frozen=True, slots=True)
class StepRun(Document):
    """How a step fared in one run."""

    index: int
    status: str
    seconds: float
    """Of its newest attempt that ended."""
    attempts: int
    done: float
    unit: str
    error: str | None


@dataclass(frozen=True, slots=True)
class StepComparison(Document):
    """The steps of one name in both runs; null where a run has none."""

    name: str
    one: StepRun | None
    other: StepRun | None
    seconds: float | None
    """How much longer it took in the other; null where it did not end in both."""


@dataclass(frozen=True, slots=True)
class RunComparison(Document):
    """Two jobs side by side."""

    one: RunDocument
    other: RunDocument
    request: list[FieldChange]
    """Which fields of their requests differ."""
    differing_steps: int
    """How many steps ended otherwise, or are in one run alone."""
    steps: list[StepComparison]
    """Those that differ most first: in how they ended, then in how long they took."""
    hidden_steps: int
    """How many more there are than are shown."""
