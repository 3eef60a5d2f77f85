"""The service of an event store that a server has opened: what is asked is asked there."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Final

from milepost.domain.queues import refuse_bad_priority, refuse_bad_queue
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.interfaces.client.blocking import Client
from milepost.interfaces.client.call import PAGE
from milepost.interfaces.client.errors import Refused
from milepost.interfaces.diff_documents import JobDiff, RunComparison
from milepost.interfaces.error_mapping import ANOTHER_ID, OVER_HTTP, look_again
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
from milepost.interfaces.remote_changes import Changes
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
from milepost.interfaces.service import (
    NO_STEPS,
    Change,
    JobList,
    Moment,
    ObserverCommand,
    ObserverJobAsked,
    PartitionCommand,
    StartAsked,
    StepsAsked,
)
from milepost.interfaces.why_documents import WhyDocument

SHORTENED_AT_ONCE: Final = 100
STEPS_AT_ONCE: Final = 10_000


class RemoteService:
    """See `Service`. `event_store`: the one that is in use there; `url`: the server's."""

    def __init__(self, client: Client, url: str, event_store: str) -> None:
        self._client, self._url, self._event_store = client, url, event_store
        self._changes = Changes(client)

    def marker(self) -> int:
        return self._changes.count()

    # -- jobs

    def jobs(
        self,
        meant: JobFilter,
        *,
        limit: int,
        after: str | None = None,
        oldest_first: bool = False,
        at: datetime | None = None,
    ) -> JobList:
        found: list[JobDocument] = []
        while True:
            at_once = min(PAGE, limit - len(found))
            page = self._client.jobs(meant, limit=at_once, after=after, oldest_first=oldest_first, at=at)
            found += page.jobs
            if not page.more or len(found) >= limit:
                return JobList(tuple(found), page.more)
            after = found[-1].id

    def matching(self, meant: JobFilter) -> list[str]:
        return list(self._client.ids(meant))

    def counts(self, meant: JobFilter) -> dict[str, int]:
        return self._client.counts(meant)

    def resolve(self, text: str) -> str:
        return self._client.resolve(text)

    def shortened(self, ids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for some in range(0, len(ids), SHORTENED_AT_ONCE):
            found |= self._client.shortened(ids[some : some + SHORTENED_AT_ONCE])
        return found

    def beginning(self, text: str, *, limit: int) -> list[JobHint]:
        return self._client.beginning(text, limit=limit)

    def job(
        self, job_id: str, steps: StepsAsked = NO_STEPS, *, at: datetime | None = None, version: int | None = None
    ) -> JobDocument:
        # Those that people look at first are one page; of more than that, all come in order.
        in_one = steps.limit <= STEPS_AT_ONCE
        at_once = replace(steps, limit=min(steps.limit, STEPS_AT_ONCE), noteworthy=steps.noteworthy and in_one)
        job = self._client.job(job_id, at_once, at=at, version=version)
        found = list(job.steps or ())
        behind = job.next_steps_after
        while behind is not None and len(found) < steps.limit:
            at_once = replace(at_once, limit=min(steps.limit - len(found), STEPS_AT_ONCE), after=behind)
            page = self._client.job(job_id, at_once, at=at, version=version)
            found += page.steps or ()
            behind = page.next_steps_after
        return replace(job, steps=None if job.steps is None else found, next_steps_after=behind)

    def diff(self, job_id: str, begin: Moment, end: Moment | None = None, *, steps: int = 100) -> JobDiff:
        return self._client.diff(job_id, begin, end, steps=steps)

    def compare(self, job_id: str, other: str, *, steps: int = 100, across_types: bool = False) -> RunComparison:
        return self._client.compare(job_id, other, steps=steps, across_types=across_types)

    def history(
        self, job_id: str, *, after: int = 0, limit: int | None = None, names: Sequence[str] = ()
    ) -> Iterator[EventDocument]:
        if limit is not None and limit <= PAGE:
            return iter(self._client.events(job_id, after=after, limit=limit, names=names).items)
        return islice(self._client.history(job_id, after=after, names=names), limit)

    def why(self, job_id: str) -> WhyDocument:
        return self._client.why(job_id)

    # -- commands

    def start(self, asked: StartAsked) -> StartResult:
        # The server says so too, but of its schema: here it is told as where there is no server.
        if asked.queue is not None:
            refuse_bad_queue(asked.queue)
        if asked.priority is not None:
            refuse_bad_priority(asked.priority)
        with _told_as_here():
            return self._client.start(
                asked.job_type,
                asked.request,
                tags=asked.tags,
                queue=asked.queue,
                priority=asked.priority,
                reason=asked.reason,
                idempotency_key=asked.command_id or None,
            )

    def change(self, job_id: str, asked: Change) -> CommandResult:
        with _told_as_here(job_id):
            return self._client.change(
                asked.command,
                job_id,
                asked.reason,
                asked.if_version,
                asked.command_id or None,
                dry_run=asked.dry_run,
                skip_cleanup=asked.skip_cleanup,
                if_status_version=asked.if_status_version,
            )

    def prune(self, asked: PruneAsked) -> PruneResult:
        return self._client.prune(
            asked.before,
            statuses=asked.statuses,
            types=asked.types,
            keep=asked.keep,
            reason=asked.reason,
            dry_run=asked.dry_run,
            limit=asked.limit,
        )

    # -- what there is

    def job_types(self) -> list[JobTypeDocument]:
        return self._client.job_types().types

    def type_problems(self) -> list[str]:
        return self._client.type_problems()

    def job_type(self, name: str) -> JobTypeDocument:
        return self._client.job_type(name)

    def workers(self, *, everyone: bool) -> list[WorkerDocument]:
        return self._client.workers(everyone=everyone)

    def namespaces(self) -> list[NamespaceDocument]:
        return self._client.namespaces()

    def event_stores(self) -> list[EventStoreDocument]:
        """Those that are served; where their databases are is the server's to know."""
        return [
            EventStoreDocument(name, self._url, "the server", name == self._event_store, exists=True)
            for name in self._client.about().event_stores
        ]

    def check(self) -> EventStoreState:
        return self._client.check()

    # -- observers

    def observers(self) -> list[ObserverDocument]:
        return self._client.observers()

    def observer(self, name: str) -> ObserverDocument:
        return self._client.observer(name)

    def observer_history(self, name: str, *, after: int = 0, limit: int | None = None) -> list[ObserverEventDocument]:
        if limit is not None and limit <= PAGE:
            return self._client.observer_events(name, after=after, limit=limit).items
        return list(islice(self._client.observer_history(name, after=after), limit))

    def change_observer(self, name: str, command: ObserverCommand, reason: str = "") -> ObserverResult:
        return self._client.change_observer(name, command, reason)

    def start_on_observer(self, name: str, asked: ObserverJobAsked) -> StartResult:
        return self._client.start_on_observer(name, asked)

    def failed_partitions(
        self, observer: str | None = None, *, limit: int = 100, after: tuple[str, str] | None = None
    ) -> list[FailedPartitionDocument]:
        found: list[FailedPartitionDocument] = []
        while len(found) < limit:
            at_once = min(PAGE, limit - len(found))
            page = self._client.failed_partitions(observer, limit=at_once, after=after)
            found += page
            if len(page) < at_once:
                break
            after = (page[-1].observer, page[-1].partition)
        return found

    def failed_partition(self, observer: str, partition: str) -> FailedPartitionDocument:
        return self._client.failed_partition(observer, partition)

    def change_partition(
        self,
        observer: str,
        partition: str,
        command: PartitionCommand,
        reason: str = "",
        *,
        if_position: int | None = None,
    ) -> ObserverResult:
        return self._client.change_partition(observer, partition, command, reason, if_position=if_position)

    def diagnose(self) -> DiagnosisDocument:
        return self._client.diagnose()

    def close(self) -> None:
        self._changes.close()
        self._client.close()


@contextmanager
def _told_as_here(job_id: str = "ID") -> Generator[None]:
    """A server advises what to do with headers; on the command line those are options."""
    try:
        yield
    except Refused as error:
        here = {OVER_HTTP["CommandReused"]: ANOTHER_ID, OVER_HTTP["VersionMismatch"]: look_again(job_id)}
        error.suggestion = here.get(error.suggestion, error.suggestion)
        raise
