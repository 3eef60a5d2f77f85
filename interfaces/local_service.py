"""The service of an event store that this process opens itself."""

import inspect
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final
from uuid import UUID

from milepost.infrastructure.settings import masked
from milepost.interfaces import bootstrap
from milepost.interfaces.bootstrap import Application, JobFilter, Row
from milepost.interfaces.command_results import (
    STEPS_SAID,
    STEPS_TOLD,
    repeated,
    result_of,
    would_be,
)
from milepost.interfaces.documents import Json, camel
from milepost.interfaces.held_by import held_by, in_code
from milepost.interfaces.job_documents import JobDocument, StepDocument
from milepost.interfaces.local_past import LocalPast
from milepost.interfaces.prune_documents import PruneResult
from milepost.interfaces.pruning import PruneAsked, prune
from milepost.interfaces.read_documents import job_document, step_document
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
from milepost.interfaces.service import NO_STEPS, Change, JobList, StartAsked, StepsAsked

if TYPE_CHECKING:
    from milepost.domain.commands import OperatorCommand
    from milepost.domain.envelope import Origin, RecordedEvent
    from milepost.infrastructure.audit.archiving import Archive
    from milepost.interfaces.bootstrap import Situation
    from milepost.interfaces.why_documents import WhyDocument

BEFORE: Final = "was started before"  # by the same command id, or for the same key
UNDER_THIS: Final = " under this command id"
WHY_TRIES: Final = 3
_OriginOf = Callable[[str], "Origin"]  # for a reason


class LocalService(LocalPast):
    """See `Service`. `origin_of` says who acts, from where, for a reason.

    `may_see`: the namespaces of which documents about the whole event store may tell.
    """

    def __init__(
        self,
        app: Application,
        namespace: str,
        origin_of: _OriginOf = bootstrap.origin,
        may_see: Callable[[str], bool] = lambda _: True,
    ) -> None:
        super().__init__(app, namespace, origin_of)
        self._may_see = may_see

    def marker(self) -> int:
        return self._app.change_marker()

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
        if at is not None:
            return self._past.jobs(meant, at, limit=limit, after=after, oldest_first=oldest_first)
        page = self._app.queries.page(self.namespace, meant, limit=limit, after=after, oldest_first=oldest_first)
        return JobList(tuple(self._documents(page.rows)), page.more)

    def matching(self, meant: JobFilter, *, after: str | None = None, limit: int | None = None) -> list[str]:
        return self._app.queries.ids(self.namespace, meant, after=after, limit=limit)

    def counts(self, meant: JobFilter) -> dict[str, int]:
        return self._app.queries.counts(self.namespace, meant)

    def resolve(self, text: str) -> str:
        return self._app.queries.resolve(self.namespace, text)

    def shortened(self, ids: Sequence[str]) -> dict[str, str]:
        return self._app.queries.shortened(ids, self.namespace)

    def beginning(self, text: str, *, limit: int) -> list[JobHint]:
        rows = self._app.queries.beginning(self.namespace, bootstrap.id_prefix(text) if text else "", limit)
        return [JobHint(row["id"], row["type"], row["status"]) for row in rows]

    def job(
        self, job_id: str, steps: StepsAsked = NO_STEPS, *, at: datetime | None = None, version: int | None = None
    ) -> JobDocument:
        if at is not None or version is not None:
            return self._past.job(job_id, steps, at=at, version=version)
        queries, now = self._app.queries, self._app.now()
        row = queries.job(self.namespace, job_id)
        rows = self._steps(row, steps)
        more = len(rows) > steps.limit
        rows = rows[: steps.limit]
        changes = queries.status_changes([job_id])[job_id]
        return job_document(
            row,
            now,
            changes=changes,
            waiting=queries.waiting([row], now).get(job_id),
            held_by=self._held_by(row, changes),
            steps=[step_document(step, row["type"]) for step in rows] if steps.limit else None,
            next_steps_after=rows[-1]["step"] if more and rows else None,
        )

    def _documents(self, rows: Sequence[Row]) -> list[JobDocument]:
        queries, now = self._app.queries, self._app.now()
        changes = queries.status_changes([row["id"] for row in rows])
        waiting = queries.waiting(rows, now)
        return [
            job_document(row, now, changes=changes.get(row["id"], ()), waiting=waiting.get(row["id"])) for row in rows
        ]

    def _steps(self, row: Row, asked: StepsAsked) -> list[Row]:
        queries = self._app.queries
        if not asked.limit:
            return []
        if asked.begun:
            return queries.begun_steps(row["id"], asked.limit)
        if asked.noteworthy and asked.after < 0 and not asked.statuses and row["total"] > asked.limit:
            return queries.noteworthy_steps(row["id"], asked.limit)
        return queries.steps(row["id"], after=asked.after, limit=asked.limit + 1, statuses=asked.statuses)

    def _held_by(self, row: Row, changes: Sequence[Row]) -> str | None:
        def running() -> list[StepDocument]:
            found = self._app.queries.steps(row["id"], limit=STEPS_SAID, statuses=("Running",))
            return [step_document(step, row["type"]) for step in found]

        return held_by(row, changes, running, partial(self._has_cleanup, row))

    def _in_code(self, row: Row, changes: Sequence[Row]) -> str:
        """The method of its job type that its worker is in, where a stop or a cancel waits for that and no step."""
        return "" if row["running"] else in_code(row, changes, partial(self._has_cleanup, row))

    def _has_cleanup(self, row: Row) -> bool:
        return self._app.store.load(UUID(row["id"])).has_cleanup

    def history(
        self, job_id: str, *, after: int = 0, limit: int | None = None, names: Sequence[str] = ()
    ) -> Iterator[EventDocument]:
        _ = self._app.queries.job(self.namespace, job_id)
        recorded = self._app.store.history(UUID(job_id), after)
        wanted = (each for each in recorded if not names or type(each.event).__name__ in names)
        steps = self._app.queries.step_names(job_id)
        return (event_document(each, steps) for each in islice(wanted, limit))

    def why(self, job_id: str) -> "WhyDocument":
        from milepost.interfaces.why.document import why_document

        tries = 0
        row = self._app.queries.job(self.namespace, job_id)
        while True:
            changes = self._app.queries.status_changes([job_id])[job_id]
            seen = self._app.explaining.seen(row, self._app.now(), self._in_code(row, changes))
            read, row, tries = row, self._app.queries.job(self.namespace, job_id), tries + 1
            # What was read in the middle of a change of hands could say what never was.
            if tries == WHY_TRIES or all(read[name] == row[name] for name in ("status", "claim", "worker")):
                return why_document(seen)

    # -- commands

    def start(self, asked: StartAsked) -> StartResult:
        order = self._app.job_types.start_command(
            asked.job_type,
            asked.request,
            namespace=self.namespace,
            tags=asked.tags,
            queue=asked.queue,
            priority=asked.priority,
        )
        job, new = self._app.store.start(order, self._origin_of(asked.reason), asked.command_id)
        differs = job.facts.request != order.request
        row = self._app.queries.job(self.namespace, str(job.id))
        waiting = self._why_waiting(row)
        what = f"{job.id} ({row['type']})"
        # The command id is also remembered where its job was found by the key, and somebody else had started it.
        again = not new and asked.command_id is not None and self._correlation(job.id, 1) == asked.command_id
        other = ", with another request" if differs else ""
        message = (
            f"Started {what}" if new else f"{what} {BEFORE}{UNDER_THIS if again else ''}{other}: it is {row['status']}"
        )
        return StartResult(
            id=str(job.id),
            command="start",
            changed=new,
            status_before=None if new else row["status"],
            status=row["status"],
            version=row["version"],
            message=message + (f"; it waits: {waiting}" if waiting else ""),
            successful_steps=row["succeeded"],
            total_steps=row["total"],
            differs=differs,
            repeated=again,
        )

    def _why_waiting(self, row: Row) -> str | None:
        """Why nobody will work on a job that was just given to the workers; that they have yet to look is no reason."""
        reason = self._app.queries.waiting([row], self._app.now()).get(row["id"])
        return None if reason in bootstrap.LEFT_TO_WORKERS else reason

    def change(self, job_id: str, asked: Change) -> CommandResult:
        began = time.monotonic()
        outcome = self._app.store.execute(
            self.namespace,
            UUID(job_id),
            partial(_command, asked),
            self._origin_of(asked.reason),
            expected_version=asked.if_version,
            expected_status_version=asked.if_status_version,
            command_id=asked.command_id,
            dry_run=asked.dry_run,
        )
        if asked.dry_run:
            return would_be(asked.command, outcome)
        if outcome.repeated:
            return repeated(asked.command, self.job(job_id), self._took_effect(job_id, asked.command_id))
        alone = outcome.changed and outcome.before.worker is not None and outcome.job.worker is None
        done = CommandResult(
            id=job_id,
            command=asked.command,
            changed=outcome.changed,
            status_before=str(outcome.before.status),
            status=str(outcome.job.status),
            version=outcome.job.version,
            message="",
        )
        job = self.job(job_id, StepsAsked(STEPS_TOLD, begun=True))
        return result_of(done, job, seconds=time.monotonic() - began, alone=alone)

    def prune(self, asked: PruneAsked, archive: "Archive | None" = None) -> PruneResult:
        return prune(self._app, self.namespace, asked, self._origin_of(asked.reason), archive)

    def _took_effect(self, job_id: str, command_id: str | None) -> int | None:
        """The version at which a command changed the job; each of them changes its status."""
        versions = [change["version"] for change in self._app.queries.status_changes([job_id])[job_id]]
        return next((each for each in versions if self._correlation(UUID(job_id), each) == command_id), None)

    def _correlation(self, job_id: UUID, version: int) -> str:
        return next(iter(self._app.store.history(job_id, version - 1))).origin.correlation_id

    # -- what there is

    def job_types(self) -> list[JobTypeDocument]:
        from milepost.infrastructure.job_types.registry import JobTypeBroken

        found: list[JobTypeDocument] = []
        for name in self._app.job_types.names():
            with suppress(JobTypeBroken):  # a problem of that type, and not of the others
                found.append(self.job_type(name))
        return found

    def type_problems(self) -> Sequence[str]:
        return [f"{each.source} could not be loaded: {each.error}" for each in self._app.job_types.problems]

    def job_type(self, name: str) -> JobTypeDocument:
        types = self._app.job_types
        declared = type(types.get(name))
        limits = declared.limits
        return JobTypeDocument(
            name=name,
            description=inspect.cleandoc(declared.__doc__ or "").partition("\n\n")[0].replace("\n", " "),
            source=f"{declared.__module__}:{declared.__qualname__}",
            policy={camel(key): value for key, value in declared.policy.model_dump(mode="json").items()},
            limits={"running": limits.running, "runningPerKey": limits.running_per_key},
            queue=declared.queue,
            priority=declared.priority,
            request=types.request_schema(name),
        )

    def workers(self, *, everyone: bool) -> list[WorkerDocument]:
        now, queries = self._app.now(), self._app.queries
        held = queries.held_jobs(now)
        rows = queries.workers(now) if everyone else queries.live_workers(now)
        of = queries.namespaces_of([job_id for ids in held.values() for job_id in ids])
        seen = {name: [each for each in ids if self._may_see(of.get(each, ""))] for name, ids in held.items()}
        found = [_worker_document(row, seen.get(row["name"], [])) for row in rows]
        # One that takes no types is there for a single job, and so tells of that one.
        return [each for each in found if each.types or each.jobs or self._may_see("")]

    def namespaces(self) -> list[NamespaceDocument]:
        return [NamespaceDocument(row["name"], row["jobs"], row["live"]) for row in self._visible_namespaces()]

    def _visible_namespaces(self) -> list[Row]:
        return [row for row in self._app.queries.namespaces() if self._may_see(row["name"])]

    def event_stores(self) -> list[EventStoreDocument]:
        chosen = self._app.settings
        return [
            EventStoreDocument(
                name,
                masked(url.value),
                url.source,
                name == chosen.event_store.value,
                bootstrap.event_store_exists(url.value),
            )
            for name, url in sorted(chosen.event_stores.items())
        ]

    def check(self, *, writing: bool = True) -> EventStoreState:
        """`writing`: whether it is also tried if it can be written, which takes the turn of a writer."""
        _ = self._app.existing
        return self._state(created=False, writing=writing)

    def create(self) -> EventStoreState:
        """Make the event store, or bring it up to date."""
        return self._state(created=self._app.create())

    def _state(self, *, created: bool, writing: bool = True) -> EventStoreState:
        began = time.monotonic()
        reading = self._app.reading
        with reading.write() if writing else reading.read() as connection:
            if writing:
                bootstrap.try_to_write(connection)
            database = bootstrap.product_of(connection)
        seconds = time.monotonic() - began
        chosen = self._app.settings
        namespaces = self._visible_namespaces()
        return EventStoreState(
            name=chosen.event_store.value,
            url=masked(chosen.url.value),
            created=created,
            database=database,
            schema_version=bootstrap.SCHEMA_VERSION,
            answered_in_seconds=round(seconds, 4),
            jobs=sum(row["jobs"] for row in namespaces),
            live=sum(row["live"] for row in namespaces),
            workers=len(self.workers(everyone=False)),
        )


def _command(asked: Change, situation: "Situation") -> "OperatorCommand":
    from milepost.domain.commands import CancelJob, RemoveJob, ResumeJob, StopJob

    match asked.command:
        case "stop":
            return StopJob(worker_alive=situation.worker_alive, reached=situation.reached)
        case "resume":
            return ResumeJob()
        case "cancel":
            return CancelJob(situation.worker_alive, situation.reached, asked.skip_cleanup)
        case "remove":
            return RemoveJob()


def event_document(recorded: "RecordedEvent", steps: Mapping[int, str]) -> EventDocument:
    """One event; `steps`: their names by index."""
    origin = recorded.origin
    step: int | None = getattr(recorded.event, "step", None)
    return EventDocument(
        job_id=str(recorded.job_id),
        version=recorded.version,
        id=str(recorded.event_id),
        event=type(recorded.event).__name__,
        occurred=recorded.recorded_at.isoformat(timespec="microseconds"),
        actor=origin.actor,
        source=origin.source,
        reason=origin.reason,
        correlation_id=origin.correlation_id,
        step=None if step is None else steps.get(step),
        data=_camel(recorded.event.model_dump(mode="json")),
    )


def _camel(data: dict[str, Json]) -> dict[str, Json]:
    """Our own names as in all documents; what users have put in keeps its own."""
    return {camel(name): _camel(value) if name == "policy" else value for name, value in data.items()}


def _worker_document(row: Row, held: list[str]) -> WorkerDocument:
    return WorkerDocument(
        name=row["name"],
        host=row["host"],
        pid=row["pid"],
        types=json.loads(row["types"]),
        queues=None if row["queues"] is None else json.loads(row["queues"]),
        slots=row["slots"],
        jobs=held,
        started=row["started_at"],
        heartbeat=datetime.fromtimestamp(row["beat_at"], UTC).isoformat(timespec="microseconds"),
        lives=bool(row["lives"]),
    )
