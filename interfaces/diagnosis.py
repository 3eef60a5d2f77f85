"""Whether all is well in one namespace of an event store: what was looked at, and the evidence for what is not."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from milepost.domain.state_machine import LIVE
from milepost.infrastructure.event_store.opposition import rivals
from milepost.infrastructure.observers.queries import ObserverQueries, Row
from milepost.interfaces import bootstrap
from milepost.interfaces.bootstrap import Application, JobFilter
from milepost.interfaces.observer_documents import DiagnosisDocument, FindingDocument, ObserverDocument
from milepost.interfaces.observer_service import ObserverService

LOOKED_AT: Final = 1_000  # live jobs, the oldest: those that are younger seldom have waited long
QUIET: Final = timedelta(minutes=5)  # after which a running step that tells nothing is worth a look
SLOW_TO_STOP: Final = timedelta(minutes=1)
BEHIND: Final = timedelta(minutes=1)  # after which an observer that is behind, and handles nothing, is worth a look
STEPS_NAMED: Final = 3


class Diagnosis:
    """Looks at everything once. Raises CannotOpenDatabase, DatabaseUnavailable where nobody answers."""

    def __init__(self, app: Application, namespace: str, observing: ObserverService) -> None:
        self._app = app
        self._namespace = namespace
        self._observing = observing
        self._now = app.now()

    def made(self) -> DiagnosisDocument:
        page = self._app.queries.page(
            self._namespace, JobFilter(statuses=tuple(sorted(map(str, LIVE)))), limit=LOOKED_AT, oldest_first=True
        )
        waiting = self._in_vain(page.rows)
        observers = self._observing.observers()
        findings = [
            self._event_store(),
            *self._workers(waiting, observers),
            *(found for each in observers for found in self._observer(each)),
            *self._jobs(page.rows, waiting, more=page.more),
        ]
        findings.sort(key=lambda each: each.healthy)
        return DiagnosisDocument(
            healthy=all(each.healthy for each in findings),
            checked=self._now.isoformat(timespec="seconds"),
            findings=findings,
        )

    # -- event store and workers

    def _event_store(self) -> FindingDocument:
        with self._app.reading.write() as connection:
            bootstrap.try_to_write(connection)
            database = bootstrap.product_of(connection)
        name = self._app.settings.event_store.value
        return FindingDocument("event-store", name, healthy=True, message=f"{database} answers, and can be written to")

    def _workers(self, waiting: Mapping[str, str], observers: Sequence[ObserverDocument]) -> Iterator[FindingDocument]:
        there = self._workers_for_all()
        for worker in there:
            types, slots = len(json.loads(worker["types"])), worker["slots"]
            yield FindingDocument(
                "workers", worker["name"], healthy=True, message=f"it takes {types} job types, {slots} steps at once"
            )
        if there:
            return
        wanted = set(self._app.job_types.observers.wanted())
        unfed = [each for each in observers if each.status == "Disconnected" and (each.version or each.name in wanted)]
        counted = [_count(len(waiting), "job")] if waiting else []
        counted += [_count(len(unfed), "observer")] if unfed else []
        yield FindingDocument(
            "workers",
            "none",
            healthy=not counted,
            message=f"no worker is running; waiting for one: {' and '.join(counted) or 'nothing'}",
            suggestion="Start one with 'milepost worker'" if counted else "",
        )

    def _workers_for_all(self) -> list[Row]:
        """Those that live, without one that is there for a single job."""
        return [worker for worker in self._app.queries.live_workers(self._now) if worker["types"] != "[]"]

    # -- observers

    def _observer(self, observer: ObserverDocument) -> Iterator[FindingDocument]:
        if not observer.version:
            if observer.name in self._app.job_types.observers.wanted():
                yield _of(observer, "it is declared here, and was never run in this namespace")
            return
        trouble = [*self._stands_still(observer), *self._held_in_vain(observer), *self._not_fed(observer)]
        yield from trouble
        if not trouble:
            lag = "" if observer.lag is None else f", {_count(observer.lag, 'event')} behind"
            yield _of(observer, f"it is {observer.status} at {observer.position}{lag}")
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
        row = ObserverQueries(self._app.reading, self._namespace).job(observer.job)
        does = {"catch-up": "catch-up", "replay": "replay", "beside": "replay beside"}[observer.doing or "replay"]
        if row is None:
            yield _of(observer, f"its {does} is job {observer.job}, which is not there any more", _anew(observer))
        elif not row["live"]:
            status = row["status"]
            resumes = status in ("Stopped", "Failed", "CompletedWithFailures")
            yield _of(
                observer,
                f"its {does}, job {observer.job}, is {status} and has not let go of it",
                f"'milepost jobs resume {observer.job}' has it go on, 'jobs cancel' gives it up"
                if resumes
                else _anew(observer),
            )
        elif (why := self._why_waiting(row)) is not None:
            yield _of(observer, f"its {does}, job {observer.job}, waits: {why}", f"See 'jobs get {observer.job}'")

    def _not_fed(self, observer: ObserverDocument) -> Iterator[FindingDocument]:
        """Nobody hands it live events, or somebody does and it does not go on."""
        if observer.status == "Disconnected":
            lag = "" if observer.lag is None else f"; it was {_count(observer.lag, 'event')} behind when it last was"
            known = "" if observer.declared else ", and its code is not declared here"
            yield _of(
                observer,
                f"no process runs it{known}: it is at {observer.position}{lag}",
                "Start 'milepost worker' where its code is",
            )
        elif observer.status == "Active" and observer.lag and observer.trouble is None:
            queries = ObserverQueries(self._app.reading, self._namespace)
            since = max(filter(None, [observer.advanced, queries.changed_at(observer.name)]), default=None)
            if since is not None and self._now - datetime.fromisoformat(since) > BEHIND:
                yield _of(
                    observer,
                    f"it is {_count(observer.lag, 'event')} behind at {observer.position}, and has handled none since"
                    f" {_moment(since)}",
                    f"See what its worker {observer.worker} does",
                )

    def _partitions(self, observer: ObserverDocument) -> Iterator[FindingDocument]:
        if not observer.failed_partitions:
            return
        counts = ObserverQueries(self._app.reading, self._namespace).counts(observer.name, observer.generation)
        told = [
            f"{_count(counts[status], 'partition')} {what}"
            for status, what in (("Failed", "failed"), ("Quarantined", "quarantined"))
            if counts.get(status)
        ]
        if told:
            yield FindingDocument(
                "failed-partitions",
                observer.name,
                healthy=False,
                message=f"{', '.join(told)}; {_count(observer.waiting, 'event')} wait",
                suggestion=f"See 'milepost failed-partitions list --observer {observer.name}'",
            )

    # -- jobs

    def _in_vain(self, live: Sequence[Row]) -> dict[str, str]:
        """Why jobs wait whom time alone does not help, as it helps where a worker is busy, or another job will end."""
        waiting = self._app.queries.waiting(live, self._now)
        with self._app.reading.read() as connection:
            opposed = rivals(connection, list(waiting))
        return {job: why for job, why in waiting.items() if why != bootstrap.BUSY and job not in opposed}

    def _jobs(self, live: Sequence[Row], waiting: Mapping[str, str], *, more: bool) -> Iterator[FindingDocument]:
        found = list(self._waiting_in_vain([row for row in live if row["id"] in waiting], waiting))
        found += [said for row in live if row["id"] not in waiting for said in self._silent(row)]
        yield from found
        if not found:
            counted = f"of the {LOOKED_AT:,} oldest live jobs" if more else f"of {_count(len(live), 'live job')}"
            message = f"{counted} each is worked on, or waits for its turn" if live else "there is no live job"
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
                message=f"{_count(len(jobs), 'job')} of this type cannot go on, the oldest is {jobs[0]['id']} of"
                f" {since}: {why}",
                suggestion=f"See 'milepost jobs get {jobs[0]['id']}'",
            )

    def _silent(self, row: Row) -> Iterator[FindingDocument]:
        """Its worker lives, and steps of it run without getting anywhere."""
        if not row["running"] or row["status"] not in ("Running", "Stopping", "Cancelling"):
            return
        steps = [each for each in self._app.queries.begun_steps(row["id"], 100) if each["status"] == "Running"]
        moments: list[str | None] = [row["advanced_at"], row["running_since"], *(each["started_at"] for each in steps)]
        since, allowed, what = max(filter(None, moments), default=None), QUIET, "has told of no progress since"
        if row["status"] != "Running":
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

    def _status_since(self, job_id: str) -> str | None:
        changes = self._app.queries.status_changes([job_id])[job_id]
        return changes[-1]["occurred"] if changes else None

    def _why_waiting(self, row: Row) -> str | None:
        why = self._app.queries.waiting([row], self._now).get(row["id"])
        return None if why == bootstrap.BUSY else why


def _of(observer: ObserverDocument, message: str, suggestion: str = "") -> FindingDocument:
    """Healthy where nothing is suggested."""
    return FindingDocument("observers", observer.name, healthy=not suggestion, message=message, suggestion=suggestion)


def _anew(observer: ObserverDocument) -> str:
    return f"'milepost observers replay {observer.name}' begins anew"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _moment(at: str) -> str:
    return datetime.fromisoformat(at).isoformat(timespec="seconds")
