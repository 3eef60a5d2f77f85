"""A server of Milepost from Python: the names a program imports."""

from milepost.infrastructure.event_store.job_filter import ALL_JOBS, JobFilter
from milepost.infrastructure.server_url import ServerUrlInvalid
from milepost.interfaces.client.asynchronous import AsyncClient
from milepost.interfaces.client.blocking import Client
from milepost.interfaces.client.calls import About, JobTypes, Page
from milepost.interfaces.client.errors import (
    CannotConnect,
    ClientError,
    InvalidInput,
    NotAllowed,
    NothingFound,
    Refused,
    ServerFailed,
    TimedOut,
    VersionChanged,
)
from milepost.interfaces.client.following import StreamEvent
from milepost.interfaces.job_documents import JobDocument, StepDocument
from milepost.interfaces.result_documents import (
    CommandResult,
    EventDocument,
    EventStoreState,
    JobHint,
    JobTypeDocument,
    NamespaceDocument,
    StartResult,
    WorkerDocument,
)
from milepost.interfaces.service import JobList, StepsAsked

__all__ = [
    "ALL_JOBS",
    "About",
    "AsyncClient",
    "CannotConnect",
    "Client",
    "ClientError",
    "CommandResult",
    "EventDocument",
    "EventStoreState",
    "InvalidInput",
    "JobDocument",
    "JobFilter",
    "JobHint",
    "JobList",
    "JobTypeDocument",
    "JobTypes",
    "NamespaceDocument",
    "NotAllowed",
    "NothingFound",
    "Page",
    "Refused",
    "ServerFailed",
    "ServerUrlInvalid",
    "StartResult",
    "StepDocument",
    "StepsAsked",
    "StreamEvent",
    "TimedOut",
    "VersionChanged",
    "WorkerDocument",
]
