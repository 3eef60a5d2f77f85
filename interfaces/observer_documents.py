"""What is shown of observers, their failed partitions and their history, and what commands on them answer with."""

from dataclasses import dataclass, field

from milepost.interfaces.documents import Document, Json


@dataclass(frozen=True, slots=True)
class ObserverDocument(Document):
    """An observer in one namespace, as it stands."""

    name: str
    description: str
    """The first line of its class's docstring; empty where it is not declared here."""
    declared: bool
    """Whether this program knows its code. One that nobody declares any more stays: it can be looked at and paused."""
    status: str
    """Active, CatchingUp, Replaying, Paused, Quarantined, or Disconnected: nobody runs it."""
    version: int
    """Of its history: how much has happened to it. Handling events is no part of that."""
    generation: int
    """Of its read model: one more with each side by side replay."""
    position: int
    """Every event up to there is handled, or waits in a failed partition."""
    newest: int | None
    """The newest event of the application, when its worker last looked."""
    lag: int | None
    """How far it is behind that: an upper bound of the events that are still to be handled."""
    handled: int
    """Events that this generation has handled."""
    rate: float | None
    """Events a second, while it last handled any."""
    advanced: str | None
    """When it last handled any live."""
    partitions: int | None
    """That it has met; null in lists and streams, where counting them would take long."""
    failed_partitions: int
    """Those that do not go on with the others, quarantined ones among them."""
    quarantined_partitions: int
    waiting: int
    """Events that wait in them."""
    job: str | None
    """That works on it as a whole."""
    doing: str | None
    """What that job does: catch-up, replay, or beside (building the next generation beside the one that is read)."""
    job_position: int | None
    """How far that job is; null where there is none."""
    job_until: int | None
    """Up to which event it goes."""
    worker: str | None
    """That runs it live."""
    why: str | None
    """Why it is quarantined."""
    trouble: str | None
    """Why its worker cannot go on with it now; it is tried again."""
    tables: list[str] = field(default_factory=list[str])
    """Names of its read model's tables, as readers find them."""
    can_replay: bool = False
    can_replay_beside: bool = False
    can_replay_partition: bool = False
    can_rebuild: bool = False


@dataclass(frozen=True, slots=True)
class PartitionErrorDocument(Document):
    """An error as it is kept."""

    type: str
    message: str
    traceback: str
    causes: list[str]
    cut: bool


@dataclass(frozen=True, slots=True)
class AttemptDocument(Document):
    """One failure of a partition, newest first in lists."""

    version: int
    """Of the observer's history."""
    attempt: int
    """The how manieth try of this event."""
    position: int
    occurred: str
    actor: str
    error: PartitionErrorDocument
    retry_at: str | None
    """When it was to be tried again by itself; null: not any more."""


@dataclass(frozen=True, slots=True)
class FailedPartitionDocument(Document):
    """A partition that does not go on with the others."""

    observer: str
    partition: str
    status: str
    """Failed (tried again by itself), Quarantined (an operator must act), or Replaying."""
    position: int
    """Of the event that is the next to be handled."""
    waiting: int
    """Events that wait, that one among them."""
    attempts: int
    """In vain, of that event."""
    since: str | None
    retry_at: str | None
    """When it is tried again by itself; null where it is not, or not for now."""
    job: str | None
    """That works on it now."""
    error: str
    """Type and message of the newest error, in one line."""
    held_up: str | None = None
    """Why it does not go on by itself for now: its observer is paused or quarantined, or no process runs it."""
    history: list[AttemptDocument] = field(default_factory=list[AttemptDocument])
    """Its attempts, newest first; only where one partition is asked for."""


@dataclass(frozen=True, slots=True)
class ObserverEventDocument(Document):
    """One event of an observer's history."""

    observer: str
    version: int
    id: str
    event: str
    occurred: str
    actor: str
    source: str
    reason: str
    correlation_id: str
    partition: str | None
    data: dict[str, Json]


@dataclass(frozen=True, slots=True)
class ObserverResult(Document):
    """What a command did to an observer or to one of its partitions."""

    observer: str
    command: str
    changed: bool
    status: str
    """Of the observer, afterwards."""
    message: str
    partition: str | None = None
    position: int | None = None
    """Of the event that was skipped, or that is tried again."""
    job: str | None = None
    """That was started, or does it already."""


@dataclass(frozen=True, slots=True)
class FindingDocument(Document):
    """One thing that was looked at."""

    area: str
    """event-store, modules, workers, observers, failed-partitions, jobs, retention, or audit."""
    subject: str
    healthy: bool
    message: str
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class DiagnosisDocument(Document):
    """Whether all is well, and what is not."""

    healthy: bool
    checked: str
    """When."""
    findings: list[FindingDocument]
    """Unhealthy ones first."""
