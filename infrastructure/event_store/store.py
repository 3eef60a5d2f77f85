"""The job store: what operators ask for, what workers claim and append, and what both read. One event store's jobs."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.commands import CancelJob, OperatorCommand, ResumeJob, StartJob
from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.errors import JobError, VersionMismatch
from milepost.domain.events import JobEvent, Progress
from milepost.domain.job import Job
from milepost.domain.texts import refuse_nul
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store import snapshots, tombstones
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.candidates import ClaimOffer, Wanted
from milepost.infrastructure.event_store.checkpoints import checkpoints_of, hold_back_steps
from milepost.infrastructure.event_store.codec import UnreadableEvent
from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database, DatabaseUnavailable
from milepost.infrastructure.event_store.job_not_found import JobNotFound, JobPruned
from milepost.infrastructure.event_store.keys import KeyTaken, live_with_key, refuse_if_taken
from milepost.infrastructure.event_store.leases import Accepts, Leases
from milepost.infrastructure.event_store.read_models import insert
from milepost.infrastructure.event_store.schema import commands, jobs, prepare, status_changes
from milepost.infrastructure.event_store.snapshots import snapshot_due
from milepost.infrastructure.event_store.streams import StreamMoved, Streams
from milepost.infrastructure.event_store.workers import WorkerRecord, Workers

__all__ = [
    "Batch",
    "CannotOpenDatabase",
    "ClaimOffer",
    "CommandReused",
    "Database",
    "DatabaseUnavailable",
    "JobNotFound",
    "JobStore",
    "KeyTaken",
    "Outcome",
    "Situation",
    "StreamMoved",
    "UnreadableEvent",
    "Wanted",
    "WorkerRecord",
    "snapshot_due",
]

ASKED_AT_ONCE: Final = 500  # ids in one query


class CommandReused(JobError):
    """A command id names one command; this one came with something else before."""

    def __init__(self, command_id: str, command: str, job_id: UUID) -> None:
        self.command_id, self.command, self.job_id = command_id, command, job_id
        name = command.partition(" ")[0]
        super().__init__(f"The command id {command_id!r} was used before, for another command: {name}, job {job_id}.")


@dataclass(frozen=True, slots=True)
class Situation:
    """What an operator's command must know of the job's worker, as it is in the deciding transaction."""

    worker_alive: bool  # it holds a live lease
    reached: Mapping[int, Progress]  # by steps in their own transactions


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did: the events it appended (none: it was so already) and the job before and after.

    `repeated`: it was decided before, under the same command id, so nothing was decided now.
    """

    events: tuple[JobEvent, ...]
    before: Job
    job: Job
    repeated: bool = False

    @property
    def changed(self) -> bool:
        return bool(self.events)


class JobStore:
    """Jobs of one event store, all namespaces. Safe to use from many threads; make one per process."""

    def __init__(self, database: Database, surroundings: Surroundings) -> None:
        prepare(database)
        self.database = database
        self.surroundings = surroundings
        self._streams = Streams(database)
        self._workers = Workers(database, surroundings)
        self._leases = Leases(self._streams, self._workers, surroundings)

    # What operators ask for

    def start(self, command: StartJob, origin: Origin, command_id: str | None = None) -> tuple[Job, bool]:
        """The job, and whether it is new: not so when the command or the key is that of a job already.

        A command that supersedes has the live job of its key cancelled instead; the new one waits until that one
        has ended.
        """
        origin = self._correlated(origin, command_id)
        batch = Batch(Job(self.surroundings.new_id()), origin, self.surroundings)
        batch.do(command)
        with self.database.write() as connection:
            known = self._started_by(connection, command, command_id)
            if known is None:
                rival = live_with_key(connection, command.namespace, command.job_type, command.key)
                known = None if command.supersedes else rival
                if rival is not None and known is None:
                    self._supersede(connection, rival, batch.after.id, origin)
            if known is None:
                self._streams.write(connection, batch)
            if command_id:
                _remember(connection, command.namespace, command_id, known or batch.after.id, _name_of(command))
        return (batch.after, True) if known is None else (self.load(known), False)

    def _supersede(self, connection: sa.Connection, rival: UUID, by: UUID, origin: Origin) -> None:
        job = self._streams.tail(connection, Job(rival))
        hold_back_steps(connection, job)
        situation = Situation(self._leases.alive(connection, rival), checkpoints_of(connection, job))
        batch = Batch(job, replace(origin, reason=f"superseded by job {by}"), self.surroundings)
        if batch.do(CancelJob(situation.worker_alive, situation.reached)):
            self._streams.write(connection, batch)

    def _correlated(self, origin: Origin, command_id: str | None) -> Origin:
        """All that a command brings about carries its id, or one made for it."""
        for what, text in (("The reason", origin.reason), ("The command id", command_id), ("The actor", origin.actor)):
            refuse_nul(what, text)
        return replace(origin, correlation_id=origin.correlation_id or command_id or str(self.surroundings.new_id()))

    def _started_by(self, connection: sa.Connection, command: StartJob, command_id: str | None) -> UUID | None:
        seen = _seen(connection, command.namespace, command_id)
        if seen is None:
            return None
        job_id, name = seen
        if name != _name_of(command):
            raise CommandReused(command_id or "", name, job_id)
        return job_id

    def execute(
        self,
        namespace: str,
        job_id: UUID,
        make: Callable[[Situation], OperatorCommand],
        origin: Origin,
        expected_version: int | None = None,
        expected_status_version: int | None = None,
        command_id: str | None = None,
        dry_run: bool = False,
    ) -> Outcome:
        """Decide an operator's command in one transaction; with `dry_run` only say what it would do.

        A command id that was seen before changes nothing. `expected_status_version`: that of the job's newest change
        of status, which unlike its version stays while its steps report. Raises JobNotFound (also for a job of another
        namespace), VersionMismatch, CommandReused, KeyTaken, or what the domain refuses it with.
        """
        known = self.load(job_id)  # may be long: not under the write lock
        with self.database.read() if dry_run else self.database.write() as connection:
            job = self._streams.tail(connection, known)
            _refuse_missing(connection, job, namespace)
            if not dry_run:
                hold_back_steps(connection, job)
            situation = Situation(self._leases.alive(connection, job_id), checkpoints_of(connection, job))
            command = make(situation)
            name = _name_of(command)
            seen = _seen(connection, namespace, command_id)
            if seen == (job_id, name):
                return Outcome((), job, job, repeated=True)
            if seen is not None:
                raise CommandReused(command_id or "", seen[1], seen[0])
            if expected_version is not None and expected_version != job.version:
                raise VersionMismatch(job_id, expected_version, job.version)
            if expected_status_version is not None:
                _refuse_if_status_changed(connection, job_id, expected_status_version)
            batch = Batch(job, self._correlated(origin, command_id), self.surroundings)
            events = batch.do(command)
            if isinstance(command, ResumeJob) and events:
                refuse_if_taken(connection, job)
            if events and not dry_run:
                self._streams.write(connection, batch)
            if command_id and not dry_run:
                _remember(connection, namespace, command_id, job_id, name)
        return Outcome(tuple(events), job, batch.after)

    # What workers claim and append

    def claim(
        self,
        wanted: Wanted,
        lease_seconds: float,
        origin: Origin,
        accepts: Accepts = lambda job_type, request: None,
        took_over: Callable[[], None] = lambda: None,
    ) -> Job | None:
        """Take the next job that waits, see `candidates`; None where there is none. `took_over` is told of a takeover.

        A job that the worker does not accept, or cannot read, is left to others from then on, and says why.
        """
        return self._leases.claim(wanted, lease_seconds, origin, accepts, took_over)

    def append(self, batch: Batch) -> Job:
        """All its events and rows, or none. Raises StreamMoved, or DatabaseUnavailable."""
        return self._streams.append(batch)

    def renew(self, worker: str, lease_seconds: float) -> frozenset[UUID]:
        """A worker's heartbeat: prolong its leases. The jobs that it still holds."""
        return self._leases.renew(worker, lease_seconds)

    def drop_lease(self, worker: str, job_id: UUID) -> None:
        """Give up a job without a word in its history, where this worker cannot even read it on."""
        self._leases.drop(worker, job_id)

    def register_worker(self, worker: WorkerRecord, lease_seconds: float) -> None:
        """Say that a worker lives; forget those that have been silent for an hour."""
        self._workers.register(worker, lease_seconds)

    def deregister_worker(self, name: str) -> None:
        """Say that a worker ends."""
        self._workers.deregister(name)

    def note_refusals(self, worker: str, known_types: Collection[str], queues: Collection[str] | None = None) -> None:
        """Write why jobs of types that the worker does not know wait; writes nothing when nothing is new."""
        self._workers.note_refusals(worker, known_types, queues)

    def note_refusal(self, job_id: UUID, worker: str, why: str) -> None:
        """Write why a worker does not take a job."""
        self._workers.note_refusal(job_id, worker, why)

    def take_snapshot(self, job: Job) -> None:
        """Keep the fold as it is now, so that `load` need not begin at the first event. See `snapshot_due`."""
        snapshots.take(self.database, job)

    # What both read

    def history(self, job_id: UUID, after: int = 0) -> Iterator[RecordedEvent]:
        """The job's events with a version above `after`, in order; page by page, so it may be long."""
        return self._streams.history(job_id, after)

    def event(self, job_id: UUID, version: int) -> RecordedEvent | None:
        """The event that made this version; None where there is none."""
        return self._streams.event(job_id, version)

    def load(self, job_id: UUID) -> Job:
        """The fold of the job's history, from its newest usable snapshot; version 0 where there is none."""
        return self._streams.load(job_id)

    def as_of(self, job_id: UUID, *, version: int | None = None, at: datetime | None = None) -> Job:
        """The job as it was at this version of its history, or at this time; version 0 is what was before it began.

        Raises VersionUnknown, NotBegun, JobPruned.
        """
        return self._streams.as_of(job_id, version=version, at=at)

    def until(self, job: Job, *, version: int | None = None, at: datetime | None = None) -> Iterator[RecordedEvent]:
        """What the job's history holds behind `job`, up to this version or this time. Raises VersionUnknown."""
        return self._streams.until(job, version=version, at=at)

    def had_come_to(self, job_id: UUID, version: int, at: datetime) -> bool:
        """Whether this version was surely there by that time, whatever the clock did; False where it is close."""
        return self._streams.had_come_to(job_id, version, at)

    def catch_up(self, job: Job) -> Job:
        """The job with whatever was appended since."""
        return self._streams.catch_up(job)

    def versions(self, job_ids: Collection[UUID]) -> dict[UUID, int]:
        """How far each job's stream has gone; cheap. Ids that nobody has are left out."""
        ids = [str(job_id) for job_id in job_ids]
        if not ids:
            return {}
        with self.database.read() as connection:
            return {
                UUID(job_id): version
                for first in range(0, len(ids), ASKED_AT_ONCE)
                for job_id, version in connection.execute(
                    sa.select(jobs.c.id, jobs.c.version).where(jobs.c.id.in_(ids[first : first + ASKED_AT_ONCE]))
                )
            }

    def snapshot_version(self, job_id: UUID) -> int:
        """The version of the newest usable snapshot; 0 where there is none."""
        with self.database.read() as connection:
            return snapshots.newest_version(connection, job_id)


def _name_of(command: OperatorCommand) -> str:
    """What a command id stands for: a command with another type, request or option is another command."""
    match command:
        case StartJob():
            placed = [command.tags, command.queue, command.priority]
            asked = json.dumps([command.job_type, command.request, placed], sort_keys=True)
            return f"StartJob {hashlib.sha256(asked.encode()).hexdigest()[:32]}"
        case CancelJob(skip_cleanup=True):
            return "CancelJob without-cleanup"
        case _:
            return type(command).__name__


def _refuse_missing(connection: sa.Connection, job: Job, namespace: str) -> None:
    pruned = tombstones.find(connection, job.id)  # perhaps half-way: what is left of its events is no history
    if pruned is not None and pruned.namespace == namespace:
        raise JobPruned(pruned)
    if pruned is not None or job.status is None or job.facts.namespace != namespace:
        raise JobNotFound(job.id, namespace)


def _refuse_if_status_changed(connection: sa.Connection, job_id: UUID, expected: int) -> None:
    newest = sa.select(sa.func.max(status_changes.c.version)).where(status_changes.c.job_id == str(job_id))
    actual = connection.scalar(newest) or 0
    if actual != expected:
        raise VersionMismatch(job_id, expected, actual)


def _seen(connection: sa.Connection, namespace: str, command_id: str | None) -> tuple[UUID, str] | None:
    """The job and the command that this command id was first used for."""
    if not command_id:
        return None
    row = connection.execute(
        sa.select(commands.c.job_id, commands.c.command).where(
            commands.c.namespace == namespace, commands.c.command_id == command_id
        )
    ).one_or_none()
    return (UUID(row.job_id), row.command) if row else None


def _remember(connection: sa.Connection, namespace: str, command_id: str, job_id: UUID, name: str) -> None:
    if _seen(connection, namespace, command_id) is None:
        connection.exec_driver_sql(
            insert(commands, connection.dialect.name), (namespace, command_id, str(job_id), name)
        )
