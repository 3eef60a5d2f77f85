"""What commands answer with beside jobs: events, results, and what there is by name."""

from dataclasses import dataclass, field

from milepost.interfaces.documents import Document, Json


@dataclass(frozen=True, slots=True)
class EventDocument(Document):
    """One event of a job's history."""

    job_id: str
    version: int
    id: str
    event: str
    occurred: str
    actor: str
    source: str
    reason: str
    correlation_id: str
    step: str | None  # its name, where the event is about one
    data: dict[str, Json]


@dataclass(frozen=True, slots=True)
class StepPlace(Document):
    """Where one step came to rest, or what it is still doing."""

    index: int
    name: str
    status: str
    done: float
    total: float | None
    unit: str
    checkpoint: Json = None


@dataclass(frozen=True, slots=True)
class CommandResult(Document):
    """What a command did to one job."""

    id: str
    command: str
    changed: bool
    """False where it was so already, or where nothing was to be done (a dry run)."""
    status_before: str | None
    status: str
    version: int
    message: str
    dry_run: bool = False
    seconds: float | None = None
    """How long it took until the job was where it was asked to be."""
    successful_steps: int = 0
    total_steps: int = 0
    steps: list[StepPlace] = field(default_factory=list[StepPlace])
    """Of a stop: the steps that are not at their end, and how far each came."""
    unanswered: bool = False
    """Whether the job was brought to rest without its worker, whose lease had run out."""
    repeated: bool = False
    """Whether this very command took effect before, under the same command id: then it changes nothing once more."""


@dataclass(frozen=True, slots=True)
class StartResult(CommandResult):
    """What a start did: it accepted a job, or found one that answers it."""

    differs: bool = False
    """Whether the job that was found has another request than the one that was asked for."""


@dataclass(frozen=True, slots=True)
class JobHint(Document):
    """What a shell offers of a job."""

    id: str
    type: str
    status: str


@dataclass(frozen=True, slots=True)
class WaitResult(Document):
    """How a job that was waited for ended."""

    id: str
    status: str
    version: int
    exit_code: int
    message: str


@dataclass(frozen=True, slots=True)
class JobTypeDocument(Document):
    """A job type that is known here."""

    name: str
    description: str
    source: str
    """The class that it is."""
    policy: dict[str, Json]
    limits: dict[str, int | None]
    queue: str
    """Where its jobs wait, unless one is started in another."""
    priority: int
    request: dict[str, Json]
    """The JSON schema of its request."""


@dataclass(frozen=True, slots=True)
class WorkerDocument(Document):
    """A worker of an event store."""

    name: str
    host: str | None
    pid: int | None
    types: list[str]
    """The job types that it takes; none where it is there for a single job."""
    queues: list[str] | None
    """Those that it takes jobs from; null: all."""
    slots: int
    """How many steps it runs at once."""
    jobs: list[str]
    """The ids of those that it holds, in all namespaces."""
    started: str
    heartbeat: str
    """When it last gave a sign of life."""
    lives: bool
    """Whether its next heartbeat is not overdue by its lease."""


@dataclass(frozen=True, slots=True)
class EventStoreDocument(Document):
    """An event store by its name."""

    name: str
    url: str
    """Its database's, without a password; or that of the server that serves it."""
    source: str
    """Where it was named: the environment, a context, a file, the server."""
    in_use: bool
    exists: bool | None
    """Whether its file is there; null where it is no file."""


@dataclass(frozen=True, slots=True)
class EventStoreState(Document):
    """An event store that answers."""

    name: str
    url: str
    """Without a password; empty where the server does not tell."""
    created: bool
    """Whether this command made it."""
    database: str
    """What it is kept in, and of which version: SQLite 3.40.1, PostgreSQL 18.0."""
    schema_version: int
    """Of its tables."""
    answered_in_seconds: float
    """How long a write transaction took that changes nothing."""
    jobs: int
    live: int
    """Of the jobs, those that are not at rest."""
    workers: int
    """That live."""


@dataclass(frozen=True, slots=True)
class NamespaceDocument(Document):
    """A namespace that has jobs."""

    name: str
    jobs: int
    live: int
    """How many of them are not at rest."""


@dataclass(frozen=True, slots=True)
class TokenDocument(Document):
    """A token that programs and pages ask a server with; its secret is not kept."""

    name: str
    """Also of whoever acted with it, in histories."""
    role: str
    namespaces: list[str] | None
    """Those that it is for; null: all."""
    created: str
    created_by: str
    expires: str | None
    revoked: str | None
    holds: bool
    """Whether it is neither revoked nor expired."""


@dataclass(frozen=True, slots=True)
class NewTokenDocument(TokenDocument):
    """A token that was just made."""

    secret: str = ""
    """Shown this once."""


@dataclass(frozen=True, slots=True)
class ContextDocument(Document):
    """A server or an event store, and a namespace, under one name."""

    name: str
    event_store: str | None
    namespace: str | None
    url: str | None
    server: str | None
    token_file: str | None
    """Where the token for the server is kept."""
    in_use: bool
