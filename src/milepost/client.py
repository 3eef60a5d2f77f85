"""A server of Milepost from Python: the names a program imports."""

from milepost.infrastructure.event_store.job_filter import ALL_JOBS, JobFilter
from milepost.infrastructure.server_url import ServerUrlInvalid
from milepost.interfaces.client.asynchronous import AsyncClient
from milepost.interfaces.client.blocking import Client
from milepost.interfaces.client.call import Page
from milepost.interfaces.client.calls import About, JobTypes
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
from milepost.interfaces.client.following import ObserverEvent, ObserverShown, StreamEvent
from milepost.interfaces.diff_documents import JobDiff, RunComparison
from milepost.interfaces.job_documents import JobDocument, StepDocument
from milepost.interfaces.observer_documents import (
    AttemptDocument,
    DiagnosisDocument,
    FailedPartitionDocument,
    FindingDocument,
    ObserverDocument,
    ObserverEventDocument,
    ObserverResult,
    PartitionErrorDocument,
)
from milepost.interfaces.prune_documents import PrunedDocument, PruneResult
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
from milepost.interfaces.service import JobList, ObserverJobAsked, StepsAsked
from milepost.interfaces.why_documents import WhyDocument, WhyLink, WhyMove, WhyPace

__all__ = [
    "ALL_JOBS",
    "About",
    "AsyncClient",
    "AttemptDocument",
    "CannotConnect",
    "Client",
    "ClientError",
    "CommandResult",
    "DiagnosisDocument",
    "EventDocument",
    "EventStoreState",
    "FailedPartitionDocument",
    "FindingDocument",
    "InvalidInput",
    "JobDiff",
    "JobDocument",
    "JobFilter",
    "JobHint",
    "JobList",
    "JobTypeDocument",
    "JobTypes",
    "NamespaceDocument",
    "NotAllowed",
    "NothingFound",
    "ObserverDocument",
    "ObserverEvent",
    "ObserverEventDocument",
    "ObserverJobAsked",
    "ObserverResult",
    "ObserverShown",
    "Page",
    "PartitionErrorDocument",
    "PruneResult",
    "PrunedDocument",
    "Refused",
    "RunComparison",
    "ServerFailed",
    "ServerUrlInvalid",
    "StartResult",
    "StepDocument",
    "StepsAsked",
    "StreamEvent",
    "TimedOut",
    "VersionChanged",
    "WhyDocument",
    "WhyLink",
    "WhyMove",
    "WhyPace",
    "WorkerDocument",
]
