"""Whether all is well in one namespace of an event store: what was looked at, and the evidence for what is not."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Final

from milepost.domain.observers.state import ObserverStatus, PartitionStatus
from milepost.domain.state_machine import LIVE, JobStatus, StepStatus
from milepost.infrastructure.event_store.opposition import rivals
from milepost.infrastructure.event_store.queries import TAKEN_OVER
from milepost.infrastructure.observers.queries import Row
from milepost.infrastructure.retention.ledger import carried_out
from milepost.interfaces import bootstrap
from milepost.interfaces.bootstrap import Application, JobFilter
from milepost.interfaces.newest_verification import verified
from milepost.interfaces.observer_documents import DiagnosisDocument, FindingDocument, ObserverDocument
from milepost.interfaces.observer_service import ObserverService
from milepost.interfaces.quantities import counted
from milepost.interfaces.result_documents import EventStoreState

LOOKED_AT: Final = 1_000  # live jobs, the oldest: those that are younger seldom have waited long
QUIET: Final = timedelta(minutes=5)  # after which a running step that tells nothing is worth a look
SLOW_TO_STOP: Final = timedelta(minutes=1)
BEHIND: Final = timedelta(minutes=1)  # after which an observer that is behind, and handles nothing, is worth a look
TENDED: Final = timedelta(days=1)  # a rule that nobody has looked at for so long is nobody's any more
STEPS_NAMED: Final = 3
_RUN: Final = frozenset({JobStatus.RUNNING, JobStatus.STOPPING, JobStatus.CANCELLING})
_RESUMED: Final = frozenset({JobStatus.STOPPED, JobStatus.FAILED, JobStatus.COMPLETED_WITH_FAILURES})
_DOING: Final[Mapping[str, str]] = {"catch-up": "catch-up", "replay": "replay", "beside": "replay beside"}
_PARTITIONS: Final[Mapping[PartitionStatus, str]] = {
    PartitionStatus.FAILED: "failed",
    PartitionStatus.QUARANTINED: "quarantined",
    PartitionStatus.REPLAYING: "being replayed",
}
_STANDS_STILL: Final[Mapping[str, str]] = {
    ObserverStatus.PAUSED: "its observer is paused",
    ObserverStatus.QUARANTINED: "its observer is quarantined",
}


class Diagnosis:
    """Looks at everything once. Raises CannotOpenDatabase, DatabaseUnavailable where nobody answers."""

    def __init__(self, app: Application, namespace: str, observing: ObserverService) -> None:
        self._app = app
        self._namespace = namespace
        self._observing = observing
        self._queries = observing.queries
        self._now = app.now()

    def made(self, store: EventStoreState, *, written: bool) -> DiagnosisDocument:
        """`store`: as it was found to be; `written`: whether it was tried if it can be written."""
        page = self._app.queries.page(
            self._namespace, JobFilter(statuses=tuple(sorted(map(str, LIVE)))), limit=LOOKED_AT, oldest_first=True
        )
        waiting = self._in_vain(page.rows)
        findings = [
            _event_store(store, written=written),
            *self._modules(),
            *self._workers(waiting),
            *(found for each in self._observers for found in self._observer(each)),
            *self._jobs(page.rows, waiting, more=page.more),
            *self._retention(),
            *verified(self._app, self._namespace),
        ]
        findings.sort(key=lambda each: each.healthy)
        return DiagnosisDocument(
            healthy=all(each.healthy for each in findings),
            checked=self._now.isoformat(timespec="seconds"),
            findings=findings,
        )

    # -- modules and workers

    def _modules(self) -> Iterator[FindingDocument]:
        for each in self._app.job_types.problems:
            yield FindingDocument(
                "modules",
                each.source,
                healthy=False,
                message=f"it could not be loaded: {each.error}",
                suggestion="Correct it, or what milepost.toml says of it: its job types and observers are missing",
            )

    def _workers(self, waiting: Mapping[str, str]) -> Iterator[FindingDocument]:
        there = self._workers_for_all()
        for worker in there:
            types, slots = len(json.loads(worker["types"])), worker["slots"]
            yield FindingDocument(
                "workers", worker["name"], healthy=True, message=f"it takes {types} job types, {slots} steps at once"
            )
        if there:
            return
        unfed = [each for each in self._observers if each.status == ObserverStatus.DISCONNECTED]
        unserved = [counted(len(waiting), "job")] if waiting else []
        unserved += [counted(len(unfed), "observer")] if unfed else []
        yield FindingDocument(
            "workers",
            "none",
            healthy=not unserved,
            message=f"no worker is running; waiting for one: {' and '.join(unserved) or 'nothing'}",
            suggestion="Start one with 'milepost worker'" if unserved else "",
        )

    def _workers_for_all(self) -> list[Row]:
        """Those that live, without one that is there for a single job."""
        return [worker for worker in self._app.queries.live_workers(self._now) if worker["types"] != "[]"]

    # -- observers: what is asked of all of them is asked at once

    @cached_property
    def _observers(self) -> Sequence[ObserverDocument]:
        return self._observing.observers()

    @cached_property
    def _jobs_on_observers(self) -> Mapping[str, Row]:
        return self._queries.jobs([each.job for each in self._observers if each.job is not None])

    @cached_property
    def _why_they_wait(self) -> Mapping[str, str]:
        return self._why_waiting(list(self._jobs_on_observers.values()))

    @cached_property
    def _changed(self) -> Mapping[str, str]:
        return self._queries.changed()

    @cached_property
    def _counts(self) -> Mapping[str, Mapping[PartitionStatus, int]]:
        return self._queries.counts()

    def _observer(self, observer: ObserverDocument) -> Iterator[FindingDocument]:
        if not observer.version:
            yield _of(observer, "it is declared here, and was never run in this namespace")
            return
        trouble = [*self._stands_still(observer), *self._held_in_vain(observer), *self._not_fed(observer)]
        yield from trouble
        if not trouble:
            lag = "" if observer.lag is None else ", up to date"
            if observer.lag:
                lag = f", {counted(observer.lag, 'event')} behind"
            until = f"'milepost observers unpause {observer.name}'"
            paused = f": it handles nothing until {until}" if observer.status == ObserverStatus.PAUSED else ""
            yield _of(observer, f"it is {observer.status} at {observer.position}{lag}{paused}")
        yield from self._partitions(observer)

    def _stands_still(self, observer: ObserverDocument) -> Iterator[FindingDocument]:
        if observer.why is not None:
            yield _of(
                observer,
                f"it is quarantined at {observer.position}: {observer.why}",
                f"'milepost observers unpause {observer.name}' has it go on, a replay begins anew",
            )
        elif observer.trouble is not None and observer.worker is not None:
            yield _of(
                observer,
                f"its worker cannot go on at {observer.position}, and tries again: {observer.trouble}",
                "The worker's log has the whole error",
            )

    def _held_in_vain(self, observer: ObserverDocument) -> Iterator[FindingDocument]:
        """A job holds it, and nothing comes of that."""
        if observer.job is None:
            return
        row = self._jobs_on_observers.get(observer.job)
        does = _DOING.get(observer.doing or "replay", "work")
        if row is None:
            yield _of(observer, f"its {does} is job {observer.job}, which is not there any more", _anew(observer))
        elif not row["live"]:
            yield _of(
                observer,
                f"its {does}, job {observer.job}, is {row['status']} and has not let go of it",
                f"'milepost jobs resume {observer.job}' has it go on, 'jobs cancel' gives it up"
                if row["status"] in _RESUMED
                else _anew(observer),
            )
        elif (why := self._why_they_wait.get(observer.job)) is not None:
            yield _of(observer, f"its {does}, job {observer.job}, waits: {why}", f"See 'jobs get {observer.job}'")

    def _not_fed(self, observer: ObserverDocument) -> Iterator[FindingDocument]:
        """Nobody hands it live events, or somebody does and it does not go on."""
        if observer.status == ObserverStatus.DISCONNECTED:
            known = "" if observer.declared else ", and its code is not declared here"
            trouble = "" if observer.trouble is None else f". Who tried could not go on: {observer.trouble}"
            yield _of(
                observer,
                f"no process runs it{known}: {_left_at(observer)}{trouble}",
                "The worker's log has the whole error" if trouble else "Start 'milepost worker' where its code is",
            )
        elif observer.status == ObserverStatus.ACTIVE and observer.lag and observer.trouble is None:
            since = max(filter(None, [observer.advanced, self._changed.get(observer.name)]), default=None)
            if since is not None and self._now - datetime.fromisoformat(since) > BEHIND:
                yield _of(
                    observer,
                    f"it is {counted(observer.lag, 'event')} behind at {observer.position}, and has handled none since"
                    f" {_moment(since)}",
                    f"See what its worker {observer.worker} does",
                )

    def _partitions(self, observer: ObserverDocument) -> Iterator[FindingDocument]:
        if not observer.failed_partitions:
            return
        counts = self._counts.get(observer.name, {})
        told = [
            f"{counted(counts[status], 'partition')} {what}" for status, what in _PARTITIONS.items() if status in counts
        ]
        still = _STANDS_STILL.get(observer.status)
        if told and (still is not None or counts.keys() - {PartitionStatus.REPLAYING}):
            wait = "waits" if observer.waiting == 1 else "wait"
            yield FindingDocument(
                "failed-partitions",
                observer.name,
                healthy=False,
                message=f"{', '.join(told)}; {counted(observer.waiting, 'event')} {wait}"
                + (f", and none is tried again by itself: {still}" if still else ""),
                suggestion=f"'milepost observers unpause {observer.name}' has it go on"
                if still
                else f"See 'milepost failed-partitions list --observer {observer.name}'",
            )

    # -- jobs

    def _in_vain(self, live: Sequence[Row]) -> dict[str, str]:
        """Why jobs wait whom time alone does not help, as it helps where a worker is busy, or another job will end."""
        waiting = self._why_waiting(live)
        with self._app.reading.read() as connection:
            opposed = rivals(connection, list(waiting))
        return {job: why for job, why in waiting.items() if job not in opposed}

    def _jobs(self, live: Sequence[Row], waiting: Mapping[str, str], *, more: bool) -> Iterator[FindingDocument]:
        found = list(self._waiting_in_vain([row for row in live if row["id"] in waiting], waiting))
        found += [said for row in live if row["id"] not in waiting for said in self._silent(row)]
        yield from found
        if not found:
            which = f"of the {LOOKED_AT:,} oldest live jobs" if more else f"of {counted(len(live), 'live job')}"
            message = f"{which} each is worked on, or waits for its turn" if live else "there is no live job"
            yield FindingDocument("jobs", "all", healthy=True, message=message)

    def _waiting_in_vain(self, rows: Iterable[Row], waiting: Mapping[str, str]) -> Iterator[FindingDocument]:
        def alike(row: Row) -> tuple[str, str]:
            return row["type"], waiting[row["id"]]

        for (job_type, why), same in groupby(sorted(rows, key=alike), alike):
            jobs = sorted(same, key=lambda row: row["id"])
            since = _moment(jobs[0]["created_at"])
            yield FindingDocument(
                "jobs",
                job_type,
                healthy=False,
                message=f"{counted(len(jobs), 'job')} of this type cannot go on, the oldest is {jobs[0]['id']} of"
                f" {since}: {why}",
                suggestion=f"See 'milepost jobs get {jobs[0]['id']}'",
            )

    def _silent(self, row: Row) -> Iterator[FindingDocument]:
        """Its worker lives, and steps of it run without getting anywhere."""
        if not row["running"] or row["status"] not in _RUN:
            return
        begun = self._app.queries.begun_steps(row["id"], 100)
        steps = [each for each in begun if each["status"] == StepStatus.RUNNING]
        moments: list[str | None] = [row["advanced_at"], row["running_since"], *(each["started_at"] for each in steps)]
        since, allowed, what = max(filter(None, moments), default=None), QUIET, "has told of no progress since"
        if row["status"] != JobStatus.RUNNING:
            since, allowed = self._status_since(row["id"]), SLOW_TO_STOP
            what = f"has not come to rest since the job is {row['status']},"
        if since is None or not steps or self._now - datetime.fromisoformat(since) <= allowed:
            return
        names = ", ".join(each["name"] for each in steps[:STEPS_NAMED])
        names += " and others" if len(steps) > STEPS_NAMED else ""
        yield FindingDocument(
            "jobs",
            row["id"],
            healthy=False,
            message=f"{row['type']}: its step {names} {what} {_moment(since)}",
            suggestion=f"See 'milepost jobs get {row['id']}'",
        )

    # -- retention

    def _retention(self) -> Iterator[FindingDocument]:
        """The rules that workers have carried out of late."""
        with self._app.reading.read() as connection:
            found = carried_out(connection, (self._now - TENDED).timestamp())
        for rule in found:
            last = f", at last {_moment(rule['pruned_at'])}" if rule["pruned_at"] else ""
            pruned = f"it has pruned {counted(rule['jobs'], 'job')}{last}"
            trouble = rule["trouble"]
            yield FindingDocument(
                "retention",
                rule["rule"],
                healthy=trouble is None,
                message=pruned if trouble is None else f"it cannot be carried out, and is tried again: {trouble}",
                suggestion="" if trouble is None else "See the worker's log, and [[retention]] in its milepost.toml",
            )

    def _status_since(self, job_id: str) -> str | None:
        changes = self._app.queries.status_changes([job_id])[job_id]
        return changes[-1]["occurred"] if changes else None

    def _why_waiting(self, rows: Sequence[Row]) -> dict[str, str]:
        """What is left to workers is no reason; nor is a job without a lease that has ended since its row was read."""
        waiting = self._app.queries.waiting(rows, self._now)
        lapsed = self._app.queries.lapsed([job for job, why in waiting.items() if why == TAKEN_OVER], self._now)
        return {
            job: why
            for job, why in waiting.items()
            if why not in bootstrap.LEFT_TO_WORKERS and (why != TAKEN_OVER or job in lapsed)
        }


def _event_store(store: EventStoreState, *, written: bool) -> FindingDocument:
    message = f"{store.database} answers" + (", and can be written to" if written else "")
    return FindingDocument("event-store", store.name, healthy=True, message=message)


def _left_at(observer: ObserverDocument) -> str:
    """How far it was when somebody last ran it."""
    if observer.lag is None:
        return "none has yet" + (
            f"; jobs brought it up to the event at {observer.position}" if observer.position else ""
        )
    left = f"{counted(observer.lag, 'event')} {'was' if observer.lag == 1 else 'were'} left"
    return (
        f"it was last run up to the event at {observer.position}, and {left if observer.lag else 'none was left'} then"
    )


def _of(observer: ObserverDocument, message: str, suggestion: str = "") -> FindingDocument:
    """Healthy where nothing is suggested."""
    return FindingDocument("observers", observer.name, healthy=not suggestion, message=message, suggestion=suggestion)


def _anew(observer: ObserverDocument) -> str:
    return f"'milepost observers replay {observer.name}' begins anew"


def _moment(at: str) -> str:
    return datetime.fromisoformat(at).isoformat(timespec="seconds")
