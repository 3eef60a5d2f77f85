"""What can be asked of one namespace of an event store: documents in, documents out, here or over HTTP."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.interfaces.asked_texts import refuse_bad_tags, refuse_bad_texts, refuse_bad_types, refuse_deep
from milepost.interfaces.diff_documents import JobDiff, RunComparison
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.observer_documents import (
    DiagnosisDocument,
    FailedPartitionDocument,
    ObserverDocument,
    ObserverEventDocument,
    ObserverResult,
)
from milepost.interfaces.prune_documents import PruneResult
from milepost.interfaces.pruning import PruneAsked
from milepost.interfaces.result_documents import (
    CommandResult,
    EventDocument,
    EventStoreDocument,
    EventStoreState,
    JobHint,
    JobTypeDocument,
    NamespaceDocument,
    StartResult,
    WorkerDocument,
)
from milepost.interfaces.why_documents import WhyDocument

Moment = int | datetime  # a version of a job's history, or a time
CommandName = Literal["stop", "resume", "cancel", "remove"]
UNDER_WAY: Final = {"stop": "Stopping", "cancel": "Cancelling"}
REACHED: Final = {"stop": "Stopped", "cancel": "Cancelled", "remove": "Removed"}
AT_REST: Final = frozenset(
    {"CompletedSuccessfully", "CompletedWithFailures", "Failed", "Stopped", "Cancelled", "Removed"}
)


@dataclass(frozen=True, slots=True)
class StepsAsked:
    """Which steps a job is wanted with: those behind `after`, or with `noteworthy` those that people look at first."""

    limit: int = 0
    after: int = -1
    statuses: tuple[str, ...] = ()
    noteworthy: bool = False
    begun: bool = False  # those that run, wait or have just come to rest


NO_STEPS: Final = StepsAsked()


@dataclass(frozen=True, slots=True)
class JobList:
    """A page of jobs, and whether there are more behind the last."""

    jobs: tuple[JobDocument, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class StartAsked:
    """A job that is wanted. `command_id`: started at most once under it. Raises Told for what is too much."""

    job_type: str
    request: dict[str, Any] = field(default_factory=dict[str, Any])
    tags: tuple[str, ...] = ()
    queue: str | None = None
    priority: int | None = None
    command_id: str | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        refuse_bad_texts(self.reason, self.command_id)
        refuse_bad_tags(self.tags)
        refuse_bad_types((self.job_type,))
        refuse_deep(self.request)


@dataclass(frozen=True, slots=True)
class Change:
    """What is wanted of a job that is there. `if_version`: only while it is at that version. `if_status_version`: only
    while its newest change of status is that version's; its steps may have reported since."""

    command: CommandName
    reason: str = ""
    dry_run: bool = False
    if_version: int | None = None
    command_id: str | None = None
    skip_cleanup: bool = False
    if_status_version: int | None = None

    def __post_init__(self) -> None:
        refuse_bad_texts(self.reason, self.command_id)


ObserverCommand = Literal["pause", "unpause"]
PartitionCommand = Literal["retry", "skip"]
ObserverJobKind = Literal["catch-up", "replay", "replay-beside", "rebuild", "replay-partition"]


@dataclass(frozen=True, slots=True)
class ObserverJobAsked:
    """A job on an observer that is wanted. `partition`: of a `replay-partition`; `parallel`: into how many steps."""

    kind: ObserverJobKind
    partition: str | None = None
    parallel: int | None = None
    reason: str = ""
    command_id: str | None = None

    def __post_init__(self) -> None:
        refuse_bad_texts(self.reason, self.command_id)


class Service(Protocol):
    """All raise CannotOpenDatabase and DatabaseUnavailable, or what stands for them; ids are whole ones."""

    def marker(self) -> int:
        """A number that differs when anybody has written since."""
        ...

    def jobs(
        self,
        meant: JobFilter,
        *,
        limit: int,
        after: str | None = None,
        oldest_first: bool = False,
        at: datetime | None = None,
    ) -> JobList:
        """The jobs behind `after`, newest first. `at`: those that there were then, as they were. Raises NotYet."""
        ...

    def matching(self, meant: JobFilter) -> list[str]:
        """The ids of all that is meant, oldest first."""
        ...

    def counts(self, meant: JobFilter) -> dict[str, int]:
        """How many jobs there are of each status."""
        ...

    def resolve(self, text: str) -> str:
        """The id that begins with `text`. Raises InvalidJobId, JobNotFound, AmbiguousJobId."""
        ...

    def shortened(self, ids: Sequence[str]) -> dict[str, str]:
        """Each id as short as it may be given."""
        ...

    def beginning(self, text: str, *, limit: int) -> list[JobHint]:
        """The newest jobs whose id begins so. Raises InvalidJobId."""
        ...

    def job(
        self, job_id: str, steps: StepsAsked = NO_STEPS, *, at: datetime | None = None, version: int | None = None
    ) -> JobDocument:
        """Everything of one job: as it is, or as it was at a time or at a version of its history.

        Raises JobNotFound, NotBegun, NotYet, VersionUnknown.
        """
        ...

    def diff(self, job_id: str, begin: Moment, end: Moment | None = None, *, steps: int = 100) -> JobDiff:
        """What happened to a job between two moments (`end`: until now), with at most so many of the steps it changed.

        Raises JobNotFound, NotBegun, NotYet, VersionUnknown.
        """
        ...

    def compare(self, job_id: str, other: str, *, steps: int = 100, across_types: bool = False) -> RunComparison:
        """Two runs side by side, with at most so many of their steps; of one type unless it is `across_types`."""
        ...

    def history(
        self, job_id: str, *, after: int = 0, limit: int | None = None, names: Sequence[str] = ()
    ) -> Iterable[EventDocument]:
        """Its events behind version `after`, of these names (none: of all)."""
        ...

    def why(self, job_id: str) -> WhyDocument:
        """Why it is as it is. Raises JobNotFound."""
        ...

    def start(self, asked: StartAsked) -> StartResult:
        """Accept a job. Raises UnknownJobType, RequestInvalid, CommandReused."""
        ...

    def change(self, job_id: str, asked: Change) -> CommandResult:
        """One command on one job, decided on what is so at this moment. Raises what refuses it."""
        ...

    def prune(self, asked: PruneAsked) -> PruneResult:
        """Say which ended jobs would go, or take the oldest of them out."""
        ...

    def job_types(self) -> list[JobTypeDocument]:
        """Those that can be told of; the others are problems then."""
        ...

    def type_problems(self) -> Sequence[str]:
        """Which modules with job types or observers could not be loaded, and why."""
        ...

    def job_type(self, name: str) -> JobTypeDocument:
        """Raises UnknownJobType."""
        ...

    def workers(self, *, everyone: bool) -> list[WorkerDocument]: ...

    def namespaces(self) -> list[NamespaceDocument]: ...

    def event_stores(self) -> list[EventStoreDocument]:
        """Those that have a name where the service is."""
        ...

    def check(self) -> EventStoreState:
        """Raises CannotOpenDatabase where there is no event store."""
        ...

    # -- observers: all raise ObserverUnknown and what an observer refuses (ObserverError)

    def observers(self) -> list[ObserverDocument]:
        """All that somebody declares here, or that have been seen in the namespace, by name."""
        ...

    def observer(self, name: str) -> ObserverDocument: ...

    def observer_history(self, name: str, *, after: int = 0, limit: int | None = None) -> list[ObserverEventDocument]:
        """What has happened to it behind version `after`, oldest first."""
        ...

    def change_observer(self, name: str, command: ObserverCommand, reason: str = "") -> ObserverResult: ...

    def start_on_observer(self, name: str, asked: ObserverJobAsked) -> StartResult:
        """Start a job on it, or find the one that does just that. Refused at once where the job would refuse."""
        ...

    def failed_partitions(
        self, observer: str | None = None, *, limit: int = 100, after: tuple[str, str] | None = None
    ) -> list[FailedPartitionDocument]:
        """By observer and partition, behind `after`."""
        ...

    def failed_partition(self, observer: str, partition: str) -> FailedPartitionDocument:
        """With its attempts; `partition` may be a beginning that no other has. Raises PartitionNotFailed."""
        ...

    def change_partition(
        self,
        observer: str,
        partition: str,
        command: PartitionCommand,
        reason: str = "",
        *,
        if_position: int | None = None,
    ) -> ObserverResult:
        """Retry: a job tries it at once. Skip: its event is never handled; a reason must be given.

        `if_position`: only while it is the event there that fails. Raises PartitionWentOn.
        """
        ...

    def diagnose(self) -> DiagnosisDocument:
        """Whether event store, workers, observers, partitions and jobs are as they should be."""
        ...
