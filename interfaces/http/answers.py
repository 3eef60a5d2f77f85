"""The documents that only HTTP answers with: pages of others, and who the caller is."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from fastapi.responses import JSONResponse

from milepost.interfaces.documents import Document, to_json
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.observer_documents import FailedPartitionDocument, ObserverDocument, ObserverEventDocument
from milepost.interfaces.result_documents import (
    EventDocument,
    JobHint,
    JobTypeDocument,
    NamespaceDocument,
    WorkerDocument,
)


@dataclass(frozen=True, slots=True)
class JobsPage(Document):
    """Some jobs."""

    jobs: list[JobDocument]
    next: str | None
    """What to give as `after` for the next page; null at the end."""


@dataclass(frozen=True, slots=True)
class IdsPage(Document):
    """The ids of some jobs."""

    ids: list[str]
    next: str | None
    """What to give as `after` for the next page; null at the end."""
    status_versions: list[int] | None = None
    """Where they were asked for: the version of each one's newest change of status."""


@dataclass(frozen=True, slots=True)
class WholeId(Document):
    """The id that was begun."""

    id: str


@dataclass(frozen=True, slots=True)
class ShortIds(Document):
    """Ids as short as they may be given, by the whole ones."""

    ids: dict[str, str]


@dataclass(frozen=True, slots=True)
class JobHints(Document):
    """Jobs in few words."""

    jobs: list[JobHint]


@dataclass(frozen=True, slots=True)
class JobCounts(Document):
    """How many jobs there are of each status; statuses that none has are left out."""

    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class EventsPage(Document):
    """Some events of one job."""

    events: list[EventDocument]
    next: int | None
    """What to give as `after` for the next page; null at the end."""


@dataclass(frozen=True, slots=True)
class ObserversDocument(Document):
    """The observers of a namespace."""

    observers: list[ObserverDocument]


@dataclass(frozen=True, slots=True)
class ObserverEventsPage(Document):
    """Some events of one observer's history."""

    events: list[ObserverEventDocument]
    next: int | None
    """What to give as `after` for the next page; null at the end."""


@dataclass(frozen=True, slots=True)
class FailedPartitionsPage(Document):
    """Some partitions that do not go on with the others."""

    partitions: list[FailedPartitionDocument]
    next: str | None
    """What to give as `after` for the next page; null at the end."""


@dataclass(frozen=True, slots=True)
class TypesDocument(Document):
    """The job types that the server knows."""

    types: list[JobTypeDocument]
    problems: list[str]
    """Which could not be loaded, and why."""


@dataclass(frozen=True, slots=True)
class WorkersDocument(Document):
    """The workers of an event store."""

    workers: list[WorkerDocument]


@dataclass(frozen=True, slots=True)
class NamespacesDocument(Document):
    """The namespaces of an event store that have jobs."""

    namespaces: list[NamespaceDocument]


@dataclass(frozen=True, slots=True)
class CallerDocument(Document):
    """Who asks, as the server knows it."""

    name: str
    """What histories say as the actor."""
    role: str
    namespaces: list[str] | None
    """Those that it may see; null: all."""


@dataclass(frozen=True, slots=True)
class EntryDocument(Document):
    """What is served, and to whom."""

    version: str
    event_stores: list[str]
    caller: CallerDocument


@dataclass(frozen=True, slots=True)
class ReadyDocument(Document):
    """The event store answers."""

    ready: bool


@dataclass(frozen=True, slots=True)
class WrongInput(Document):
    """One thing that was not taken."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class ProblemDocument(Document):
    """Why a request was not done what it asked (RFC 9457)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {**Document.__pydantic_config__, "extra": "allow"}

    type: str
    """A URN that ends with `error`."""
    title: str
    status: int
    detail: str
    """What is so, with the facts."""
    error: str
    """One word for programs."""
    suggestion: str
    """What to do."""
    errors: list[WrongInput] = field(default_factory=list[WrongInput])
    """Of invalid input: each thing that was not taken."""


def answered(document: Document, status: int = 200, headers: "dict[str, str] | None" = None) -> JSONResponse:
    """The document as an answer."""
    return JSONResponse(to_json(document), status, headers)


def told(document: "type[Document]", *, also: "tuple[int, ...]" = ()) -> "dict[int | str, dict[str, Any]]":
    """For a route: that it answers with this document, by status 200 and `also` by these."""
    return {status: {"model": document} for status in (200, *also)}
