"""A job, its steps, its errors and what was its status when, as documents."""

from dataclasses import dataclass, field
from typing import Any

from milepost.interfaces.documents import Document, Json


@dataclass(frozen=True, slots=True)
class ErrorDocument(Document):
    """An error as it was recorded, bounded in size."""

    type: str
    message: str
    traceback: str = ""
    causes: list[str] = field(default_factory=list[str])
    """The errors behind it, nearest first."""
    cut: bool = False
    """Whether something was shortened to keep it within bounds."""
    attempt: int | None = None
    """The attempt it ended; null where the job itself failed."""


@dataclass(frozen=True, slots=True)
class StatusChange(Document):
    """The job took on a status."""

    status: str
    occurred: str
    version: int
    actor: str
    source: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepProgress(Document):
    """How far a step has come, in its own unit."""

    done: float = 0
    total: float | None = None
    unit: str = ""
    message: str = ""
    percentage: float | None = None
    """Of `total`, where that is known."""


@dataclass(frozen=True, slots=True)
class StepDocument(Document):
    """One step of a job."""

    id: str
    index: int
    type: str
    name: str
    status: str
    progress: StepProgress
    attempts: int
    """How many attempts were begun."""
    error: ErrorDocument | None
    """What the newest failed attempt raised."""
    errors: list[ErrorDocument]
    """What the newest failed attempts raised, oldest first; older ones are in the history."""
    checkpoint: Json = None
    """What the step goes on from."""
    arguments: dict[str, Json] = field(default_factory=dict[str, Any])
    started_at: str | None = None
    ended_at: str | None = None
    seconds: float = 0
    retry_at: str | None = None
    """When a step that waits between attempts is tried again."""


@dataclass(frozen=True, slots=True)
class JobProgress(Document):
    """How far a job has come."""

    total_steps: int
    successful_steps: int
    failed_steps: int
    stopped_steps: int
    running_steps: int
    pending_steps: int
    waiting_steps: int
    cancelled_steps: int
    is_completed: bool
    is_stopped: bool
    message: str
    percentage: float
    """Of the steps, those that have ended for good."""
    items_done: float
    unit: str
    """Done in all steps, in the steps' own units."""
    items_per_second: float | None = None
    """Since its present worker began; null where it does not run."""
    steps_per_second: float | None = None
    eta_seconds: float | None = None
    """At this rate until all steps have ended; null where nothing can be said."""


@dataclass(frozen=True, slots=True)
class AsOf(Document):
    """The moment of its past that a document shows."""

    version: int
    """How many events the job's history had by then."""
    at: str


@dataclass(frozen=True, slots=True)
class JobDocument(Document):
    """A job as it stands: the same in a list and alone, but `steps` are only given for a job alone."""

    id: str
    namespace: str
    type: str
    details: str
    status: str
    version: int
    """How many events its history has; what `--if-version` compares."""
    created: str
    ended: str | None
    request: dict[str, Json]
    tags: list[str]
    key: str | None
    """At most one job of its type that is not at rest has this key."""
    queue: str
    """Where it waits for a worker."""
    priority: int
    """Jobs with a higher one are taken first."""
    worker: str | None
    waiting: str | None
    """Why nobody works on it, where it should be worked on."""
    held_by: str | None
    """What a stop or a cancel waits for: steps, or a method of the job type."""
    error: ErrorDocument | None
    """What failed the job itself; the steps have their own."""
    progress: JobProgress
    status_changes: list[StatusChange]
    steps: list[StepDocument] | None = None
    next_steps_after: int | None = None
    """Where more steps follow: the index to ask for steps after."""
    as_of: AsOf | None = None
    """Of a job as it was: when that was. Whether anybody would have worked on it (`waiting`), nobody knows any more."""
