"""Everything that a server can be asked of jobs, and of what there is; of observers, see `observer_calls`.

Both clients, the synchronous and the asynchronous one, get their methods from this table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from milepost.infrastructure.event_store.job_filter import ALL_JOBS, JobFilter
from milepost.interfaces.client.call import (
    KEY,
    PAGE,
    Call,
    Cursor,
    Page,
    Paged,
    Parameters,
    given,
    key_for,
    page_of,
    part,
    reader,
)
from milepost.interfaces.client.observer_calls import ObserverCalls
from milepost.interfaces.diff_documents import JobDiff, RunComparison
from milepost.interfaces.documents import Json, from_json
from milepost.interfaces.job_documents import JobDocument, StepDocument
from milepost.interfaces.prune_documents import PruneResult
from milepost.interfaces.pruning import MOST_AT_ONCE
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
from milepost.interfaces.service import NO_STEPS, CommandName, JobList, Moment, StepsAsked
from milepost.interfaces.why_documents import WhyDocument


@dataclass(frozen=True, slots=True)
class About:
    """A server: its version, and the event stores that it serves."""

    version: str
    event_stores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobTypes:
    """The job types that a server knows, and why others could not be loaded."""

    types: list[JobTypeDocument]
    problems: list[str]


class Calls(ObserverCalls):
    """What can be asked of one namespace of an event store."""

    def __init__(self, event_store: str, namespace: str) -> None:
        self.store = f"/api/event-stores/{part(event_store)}"
        super().__init__(self.store, namespace)
        self.base = f"{self.namespace}/jobs"

    def about(self) -> Call[About]:
        """What is served there."""
        return Call(path="/api", read=lambda told: About(str(told["version"]), tuple(map(str, told["eventStores"]))))

    # -- jobs

    def jobs(
        self,
        which: JobFilter = ALL_JOBS,
        *,
        limit: int = 100,
        after: str | None = None,
        oldest_first: bool = False,
        at: datetime | None = None,
    ) -> Call[JobList]:
        """A page of jobs behind the one with the id `after`, at most 1,000, newest first.

        `at`: those that there were then, as they were.
        """
        order = "oldest" if oldest_first else "newest"
        params = (*_filter(which), *given(limit=limit, after=after, order=order, at=_moment(at)))
        return Call(path=self.base, params=params, read=_job_list)

    def every_job(
        self, which: JobFilter = ALL_JOBS, *, oldest_first: bool = False, at: datetime | None = None
    ) -> Paged[JobDocument]:
        """All that are meant, page by page; `at`: those that there were then, as they were."""

        def page(cursor: Cursor) -> Call[Page[JobDocument]]:
            after = None if cursor is None else str(cursor)
            asked = self.jobs(which, limit=PAGE, after=after, oldest_first=oldest_first, at=at)
            return Call(path=asked.path, params=asked.params, read=page_of("jobs", _job))

        return page

    def ids(self, which: JobFilter = ALL_JOBS) -> Paged[str]:
        """The ids of all that are meant, oldest first."""
        return lambda cursor: Call(
            path=f"{self.base}/ids", params=(*_filter(which), *given(after=cursor)), read=page_of("ids", str)
        )

    def counts(self, which: JobFilter = ALL_JOBS) -> Call[dict[str, int]]:
        """How many jobs there are of each status."""
        return Call(path=f"{self.base}/counts", params=_filter(which), read=lambda told: dict(told["counts"]))

    def resolve(self, text: str) -> Call[str]:
        """The whole id of the one job whose id begins so."""
        return Call(path=f"{self.base}/resolve", params=given(id=text), read=lambda told: str(told["id"]))

    def beginning(self, text: str, *, limit: int) -> Call[list[JobHint]]:
        """The newest jobs whose id begins so, in few words."""
        return Call(
            path=f"{self.base}/beginning",
            params=given(id=text, limit=limit),
            read=lambda told: [from_json(JobHint, each) for each in told["jobs"]],
        )

    def shortened(self, ids: Sequence[str]) -> Call[dict[str, str]]:
        """Each of these ids, at most 100, as short as it may be given."""
        params = given(id=tuple(ids))
        return Call(path=f"{self.base}/shortened", params=params, read=lambda told: dict(told["ids"]))

    def job(
        self, job_id: str, steps: StepsAsked = NO_STEPS, *, at: datetime | None = None, version: int | None = None
    ) -> Call[JobDocument]:
        """Everything of one job, with a page of its steps where `steps` asks for them.

        As it was: `at` a time, or at a `version` of its history.
        """
        params = given(
            steps=steps.limit,
            stepsAfter=steps.after,
            stepStatus=steps.statuses,
            noteworthy=steps.noteworthy,
            begun=steps.begun,
            at=_moment(at),
            version=version,
        )
        return Call(path=self._job(job_id), params=params, read=_job)

    def diff(self, job_id: str, begin: Moment, end: Moment | None = None, *, steps: int = 100) -> Call[JobDiff]:
        """What happened to a job between two moments, each a version of its history or a time; `end`: until now.

        With at most so many of the steps that it changed.
        """
        params = (("from", _told(begin)), *given(to=None if end is None else _told(end), steps=steps))
        return Call(path=f"{self._job(job_id)}/diff", params=params, read=reader(JobDiff))

    def compare(self, job_id: str, other: str, *, steps: int = 100, across_types: bool = False) -> Call[RunComparison]:
        """Two runs side by side, with at most so many of their steps; of one type unless it is `across_types`."""
        params = given(other=other, steps=steps, acrossTypes=across_types)
        return Call(path=f"{self._job(job_id)}/diff", params=params, read=reader(RunComparison))

    def steps(self, job_id: str, *, statuses: Sequence[str] = (), after: int = -1) -> Paged[StepDocument]:
        """Its steps, of these statuses (none: of all) and behind that index, in order."""

        def page(cursor: Cursor) -> Call[Page[StepDocument]]:
            behind = after if cursor is None else int(cursor)
            asked = self.job(job_id, StepsAsked(PAGE, behind, tuple(statuses)))
            return Call(path=asked.path, params=asked.params, read=_steps)

        return page

    def history(self, job_id: str, *, after: int = 0, names: Sequence[str] = ()) -> Paged[EventDocument]:
        """Its events behind version `after`, of these names (none: of all)."""
        return lambda cursor: self.events(job_id, after=after if cursor is None else int(cursor), names=names)

    def events(
        self, job_id: str, *, after: int = 0, limit: int = PAGE, names: Sequence[str] = ()
    ) -> Call[Page[EventDocument]]:
        """A page of them."""
        params = given(after=after, limit=limit, event=tuple(names))
        return Call(path=f"{self._job(job_id)}/events", params=params, read=page_of("events", _event))

    def why(self, job_id: str) -> Call[WhyDocument]:
        """Why it is as it is: a sentence, the events that explain it, what would move it on."""
        return Call(path=f"{self._job(job_id)}/why", read=reader(WhyDocument))

    # -- commands

    def start(
        self,
        job_type: str,
        request: Mapping[str, Any] | None = None,
        *,
        tags: Sequence[str] = (),
        queue: str | None = None,
        priority: int | None = None,
        reason: str = "",
        idempotency_key: str | None = None,
    ) -> Call[StartResult]:
        """Start a job: once under its key, so that it may be asked again where an answer was lost."""
        body: dict[str, Json] = {"type": job_type, "request": dict(request or {}), "tags": list(tags), "reason": reason}
        body |= {name: value for name, value in (("queue", queue), ("priority", priority)) if value is not None}
        return Call(
            method="POST",
            path=self.base,
            body=body,
            headers={KEY: key_for(idempotency_key)},
            read=reader(StartResult),
            own_key=idempotency_key is None,
        )

    def stop(
        self,
        job_id: str,
        *,
        reason: str = "",
        if_version: int | None = None,
        dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> Call[CommandResult]:
        """Ask a job to come to rest at its next checkpoint. `if_version`: only while it is at that version."""
        return self.change("stop", job_id, reason, if_version, idempotency_key, dry_run=dry_run)

    def resume(
        self,
        job_id: str,
        *,
        reason: str = "",
        if_version: int | None = None,
        dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> Call[CommandResult]:
        """Let a job go on from its checkpoints."""
        return self.change("resume", job_id, reason, if_version, idempotency_key, dry_run=dry_run)

    def cancel(
        self,
        job_id: str,
        *,
        reason: str = "",
        if_version: int | None = None,
        dry_run: bool = False,
        skip_cleanup: bool = False,
        idempotency_key: str | None = None,
    ) -> Call[CommandResult]:
        """Give a job up for good; its cleanup runs."""
        return self.change(
            "cancel", job_id, reason, if_version, idempotency_key, dry_run=dry_run, skip_cleanup=skip_cleanup
        )

    def remove(
        self,
        job_id: str,
        *,
        reason: str = "",
        if_version: int | None = None,
        dry_run: bool = False,
        idempotency_key: str | None = None,
    ) -> Call[CommandResult]:
        """Take a job at rest out of the lists."""
        return self.change("remove", job_id, reason, if_version, idempotency_key, dry_run=dry_run)

    def change(
        self,
        command: CommandName,
        job_id: str,
        reason: str = "",
        if_version: int | None = None,
        idempotency_key: str | None = None,
        *,
        dry_run: bool = False,
        skip_cleanup: bool = False,
        if_status_version: int | None = None,
    ) -> Call[CommandResult]:
        """Any of the four by its name. `if_status_version`: only while its newest change of status is that version's.

        Of both, the version counts: it tells of every change, those of status among them.
        """
        headers = {KEY: key_for(idempotency_key)}
        if if_version is not None:
            headers["If-Match"] = f'"{if_version}"'
        elif if_status_version is not None:
            headers["If-Match"] = f'"status-{if_status_version}"'
        body = {"reason": reason, "dryRun": dry_run, "skipCleanup": skip_cleanup}
        path = f"{self._job(job_id)}/{command}"
        return Call(
            method="POST",
            path=path,
            body=body,
            headers=headers,
            read=reader(CommandResult),
            own_key=idempotency_key is None,
        )

    def prune(
        self,
        before: datetime,
        *,
        statuses: Sequence[str] = (),
        types: Sequence[str] = (),
        keep: int = 0,
        reason: str = "",
        dry_run: bool = True,
        limit: int = MOST_AT_ONCE,
    ) -> Call[PruneResult]:
        """Say which jobs that ended before then would go; without `dry_run` they go, the oldest first.

        `keep`: so many of the newest of each type stay. At most `limit` go at once: while `more`, ask again.
        """
        body: dict[str, Json] = {
            "before": before.isoformat(),
            "statuses": list(statuses),
            "types": list(types),
            "keep": keep,
            "reason": reason,
            "dryRun": dry_run,
            "limit": limit,
        }
        return Call(method="POST", path=f"{self.base}/prune", body=body, read=reader(PruneResult))

    # -- what there is

    def job_types(self) -> Call[JobTypes]:
        """The job types that are known there."""

        def read(told: Json) -> JobTypes:
            found = [from_json(JobTypeDocument, each) for each in told["types"]]
            return JobTypes(found, [str(each) for each in told["problems"]])

        return Call(path=f"{self.store}/types", read=read)

    def type_problems(self) -> Call[list[str]]:
        """Why others could not be loaded, and nothing of those that were."""
        return Call(
            path=f"{self.store}/types",
            params=given(only="problems"),
            read=lambda told: [str(each) for each in told["problems"]],
        )

    def job_type(self, name: str) -> Call[JobTypeDocument]:
        """One of them."""
        return Call(path=f"{self.store}/types/{part(name)}", read=reader(JobTypeDocument))

    def workers(self, *, everyone: bool = False) -> Call[list[WorkerDocument]]:
        """Who works there; `everyone`: also those that gave no sign of life for too long."""
        return Call(
            path=f"{self.store}/workers",
            params=given(all=everyone),
            read=lambda told: [from_json(WorkerDocument, each) for each in told["workers"]],
        )

    def namespaces(self) -> Call[list[NamespaceDocument]]:
        """Those that have jobs, and that the token is for."""
        return Call(
            path=f"{self.store}/namespaces",
            read=lambda told: [from_json(NamespaceDocument, each) for each in told["namespaces"]],
        )

    def check(self) -> Call[EventStoreState]:
        """Whether the event store answers; also whether it can be written, unless the token is a viewer's."""
        return Call(path=f"{self.store}/check", read=reader(EventStoreState))

    # -- streams, which are no calls: what is heard never ends

    def stream_path(self, job_id: str | None) -> str:
        """Of the events of one job, or of all."""
        return f"{self.base}/stream" if job_id is None else f"{self._job(job_id)}/stream"

    def _job(self, job_id: str) -> str:
        return f"{self.base}/{part(job_id)}"


def _filter(which: JobFilter) -> Parameters:
    return given(
        status=which.statuses,
        type=which.types,
        tag=which.tags,
        since=_moment(which.since),
        until=_moment(which.until),
        live=which.live,
        id=which.prefix or None,
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _told(moment: Moment) -> str:
    return moment.isoformat() if isinstance(moment, datetime) else str(moment)


def _job(told: Json) -> JobDocument:
    return from_json(JobDocument, told)


def _event(told: Json) -> EventDocument:
    return from_json(EventDocument, told)


def _job_list(told: Json) -> JobList:
    return JobList(tuple(_job(each) for each in told["jobs"]), told["next"] is not None)


def _steps(told: Json) -> Page[StepDocument]:
    job = _job(told)
    return Page(job.steps or [], job.next_steps_after)
