"""What can be asked of the observers of one namespace, where this process opens the event store itself."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from milepost.domain.observers import state
from milepost.domain.observers.errors import ObserverBusy, PartitionNotFailed
from milepost.domain.observers.events import Held
from milepost.domain.observers.policy import too_many_failed
from milepost.infrastructure.observers.abilities import refuse_unable
from milepost.infrastructure.observers.holding import Holding
from milepost.infrastructure.observers.observer import Observer
from milepost.infrastructure.observers.queries import OF_PARTITION, WHOLE, ObserverQueries, Row
from milepost.infrastructure.observers.retries import RECOVER
from milepost.infrastructure.observers.rows import ObserverRows, ObserverUnknown, effects_transaction
from milepost.interfaces.bootstrap import LEFT_TO_WORKERS, Application
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.observer_documents import (
    FailedPartitionDocument,
    ObserverDocument,
    ObserverEventDocument,
    ObserverResult,
)
from milepost.interfaces.read_observer_documents import (
    failed_partition_document,
    observer_document,
    observer_event_document,
)
from milepost.interfaces.result_documents import StartResult
from milepost.interfaces.service import (
    ObserverCommand,
    ObserverJobAsked,
    ObserverJobKind,
    PartitionCommand,
    StartAsked,
)

if TYPE_CHECKING:
    from milepost.domain.envelope import Origin

ATTEMPTS_SHOWN: Final = 100
_HOLDS: Final[dict[ObserverJobKind, Held]] = {
    "catch-up": "catch-up",
    "replay": "replay",
    "replay-beside": "beside",
    "rebuild": "beside",
}
_JOB_TYPES: Final[dict[ObserverJobKind, str]] = {
    "catch-up": "catch-up-observer",
    "replay": "replay-observer",
    "replay-beside": "replay-observer",
    "rebuild": "rebuild-index",
    "replay-partition": "replay-observer-partition",
}
_ASKED: Final[dict[ObserverJobKind, str]] = {"catch-up": "catch up", "rebuild": "rebuild the index of"}


class ObserverService:
    """The observers' part of `Service`, on an event store that is opened here. `start`: as `Service.start`."""

    def __init__(
        self,
        app: Application,
        namespace: str,
        origin_of: "Callable[[str], Origin]",
        start: Callable[[StartAsked], StartResult],
    ) -> None:
        self._app = app
        self._namespace = namespace
        self._origin_of = origin_of
        self._start = start

    # -- what is so

    def observers(self) -> list[ObserverDocument]:
        rows = {row["name"]: row for row in self.queries.all(self._app.now())}
        names = sorted(
            {*rows, *self._app.job_types.observers.wanted()}
        )  # a shipped one where somebody has asked for it
        return [self._document(rows.get(name), name) for name in names]

    def observer(self, name: str) -> ObserverDocument:
        row = self.queries.one(name, self._app.now())
        if row is None:
            self._refuse_undeclared(name)
        return self._document(row, name)

    def history(self, name: str, *, after: int = 0, limit: int | None = None) -> list[ObserverEventDocument]:
        with self._app.reading.read() as connection:
            rows = ObserverRows(connection, self._namespace, name)
            if rows.find() is None:
                self._refuse_undeclared(name)
            recorded = rows.history(after=after, limit=limit)
        return [observer_event_document(each) for each in recorded]

    def failed_partitions(
        self, observer: str | None, *, limit: int, after: tuple[str, str] | None
    ) -> list[FailedPartitionDocument]:
        if observer is not None:
            _ = self.observer(observer)
        rows = self.queries.failed(observer, self._app.now(), limit=limit, after=after)
        return [failed_partition_document(row) for row in rows]

    def failed_partition(self, observer: str, partition: str) -> FailedPartitionDocument:
        _refuse_unnamed(partition)
        row = self.queries.failed_one(observer, partition, self._app.now())
        if row is None:
            _ = self.observer(observer)
            raise PartitionNotFailed(observer, partition)
        with self._app.reading.read() as connection:
            rows = ObserverRows(connection, self._namespace, observer)
            history = rows.history(partition=row["partition"], limit=ATTEMPTS_SHOWN, newest_first=True)
        return failed_partition_document(row, history)

    # -- what is changed

    def change(self, name: str, command: ObserverCommand, reason: str) -> ObserverResult:
        """One that is declared and was never seen can be paused before it handles anything."""
        if self.queries.one(name, self._app.now()) is None:
            self._refuse_undeclared(name)
            if command == "pause":
                self._register(name, self._origin_of(reason))
        holding = self._holding(reason)
        known = self.queries.one(name, self._app.now()) is not None
        changed = known and (holding.pause(name) if command == "pause" else holding.unpause(name))
        after = self.observer(name)
        message = _changed(after, command, changed=changed)
        if command == "unpause" and changed:
            message += self._still_too_many(after)
        return ObserverResult(name, command, changed, after.status, message)

    def _still_too_many(self, observer: ObserverDocument) -> str:
        declared = self._declared(observer.name)
        failed, met = observer.failed_partitions, observer.partitions or 0
        why = None if declared is None else too_many_failed(declared.policy, failed, met)
        return "" if why is None else f"; but {why}: with the next that fails it is quarantined again"

    def start_job(self, name: str, asked: ObserverJobAsked) -> StartResult:
        """Raises ObserverNotDeclared, NotReplayable, ObserverBusy, ObserverStandsStill, PartitionBusy."""
        declared = self._app.job_types.observers.named(name)
        if asked.kind != "catch-up":
            refuse_unable(declared, asked.kind)
        _ = self._app.database  # which whoever starts a job makes where there is none
        request: dict[str, Any] = {"observer": name}
        if asked.kind == "replay-partition":
            request["partition"] = self._replayable_partition(name, asked)
        else:
            known = self.queries.one(name, self._app.now()) is not None
            if not self._is_done_by_another(name, asked.kind) and known:
                self._holding(asked.reason).refuse(declared, _HOLDS[asked.kind])
            if asked.parallel is not None:
                request["parallel"] = asked.parallel
            if asked.kind == "replay-beside":
                request["beside"] = True
        started = self._start(
            StartAsked(_JOB_TYPES[asked.kind], request, reason=asked.reason, command_id=asked.command_id)
        )
        self._register(name, self._origin_of(asked.reason))  # the job would, when it begins: it is shown from now on
        return started

    def change_partition(
        self, observer: str, partition: str, command: PartitionCommand, reason: str, if_position: int | None
    ) -> ObserverResult:
        _refuse_unnamed(partition)
        if command == "skip" and not reason.strip():
            raise Told(INVALID, "An event is skipped for a reason", "Say why with --reason: it is kept in the history")
        holding = self._holding(reason)
        position = (
            holding.skip(observer, partition, if_position)
            if command == "skip"
            else holding.retry(observer, partition, if_position)
        )
        request = {"observer": observer, "partition": partition}
        job = self._start(StartAsked(RECOVER, request, reason=reason)).id
        done = (
            f"The event at {position} of partition {partition} is never handled; job {job} goes on behind it"
            if command == "skip"
            else f"Job {job} tries partition {partition} again, from the event at {position}"
        )
        waiting = self._why_waiting(job)
        return ObserverResult(
            observer,
            command,
            changed=True,
            status=self.observer(observer).status,
            message=done + (f"; it waits: {waiting}" if waiting else ""),
            partition=partition,
            position=position,
            job=job,
        )

    # -- rivals

    def _is_done_by_another(self, name: str, kind: ObserverJobKind) -> bool:
        """Whether a live job does just that: it is found by its key. Raises ObserverBusy for one that is in the way."""
        wanted = _HOLDS[kind]
        for job in self.queries.live_jobs(WHOLE, name):
            held = _held_by(job)
            if job["type"] == _JOB_TYPES[kind] and held == wanted:
                return True
            if held != "catch-up" or wanted == "catch-up":
                raise ObserverBusy(name, _ASKED.get(kind, "replay"), held, job["id"])
        return False

    def _replayable_partition(self, name: str, asked: ObserverJobAsked) -> str:
        """The whole key. Raises PartitionUnknown, PartitionBusy."""
        _refuse_unnamed(asked.partition or "")
        partition = self.queries.met(name, asked.partition or "")
        key = f"{name}/{partition}"
        if any(job["type"] == _JOB_TYPES["replay-partition"] for job in self.queries.live_jobs(OF_PARTITION, key)):
            return partition  # it is found by that key
        with self._app.existing.read() as connection:
            rows = ObserverRows(connection, self._namespace, name)
            observer = rows.observer()
            held = rows.partition(observer.generation, partition)
        _ = state.replay_partition(observer, partition, held, "", 0, 0)
        return partition

    # -- what it takes

    @property
    def queries(self) -> ObserverQueries:
        return ObserverQueries(self._app.reading, self._namespace)

    def _declared(self, name: str) -> type[Observer] | None:
        known = self._app.job_types.observers
        return known.named(name) if known.knows(name) else None

    def _refuse_undeclared(self, name: str) -> None:
        if self._declared(name) is None:
            raise ObserverUnknown(name, self._namespace)

    def _document(self, row: Row | None, name: str) -> ObserverDocument:
        return observer_document(row, self._declared(name), name, self._namespace)

    def _register(self, name: str, origin: "Origin") -> None:
        with effects_transaction(self._app.database) as connection:
            _ = ObserverRows(connection, self._namespace, name).register(origin, self._app.surroundings)

    def _holding(self, reason: str) -> Holding:
        return Holding(self._app.existing, self._namespace, self._app.surroundings, self._origin_of(reason))

    def _why_waiting(self, job_id: str) -> str | None:
        """That workers have yet to look is no reason."""
        row = self._app.queries.job(self._namespace, job_id)
        why = self._app.queries.waiting([row], self._app.now()).get(job_id)
        return None if why in LEFT_TO_WORKERS else why


def _refuse_unnamed(partition: str) -> None:
    if not partition:
        raise Told(INVALID, "It is not said which partition", "Name one")


def _held_by(job: Row) -> Held:
    if job["type"] == "catch-up-observer":
        return "catch-up"
    return "beside" if job["type"] == "rebuild-index" or json.loads(job["request"]).get("beside") else "replay"


def _changed(observer: ObserverDocument, command: ObserverCommand, *, changed: bool) -> str:
    who = f"Observer {observer.name}"
    if command == "pause":
        return f"{who} is paused behind {observer.position}" if changed else f"{who} is paused already"
    return f"{who} goes on behind {observer.position}: it is {observer.status}" if changed else f"{who} was not paused"
