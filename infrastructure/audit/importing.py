"""Brings the histories of an export into an event store, to the byte, with rows made as for any append."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DataError

from milepost.domain.envelope import Origin
from milepost.domain.errors import JobError
from milepost.domain.job import Job
from milepost.domain.state_machine import LIVE
from milepost.infrastructure.audit.export_file import ExportFile, recorded
from milepost.infrastructure.audit.export_format import StoredEvent
from milepost.infrastructure.audit.linked_events import link_of, linked_events
from milepost.infrastructure.audit.possible import Impossible, followed
from milepost.infrastructure.audit.progress import Progress
from milepost.infrastructure.audit.tombstone_rows import tombstone_row
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store import tombstones
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.codec import EventRow
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.keys import refuse_if_taken
from milepost.infrastructure.event_store.streams import StreamMoved, Streams

AT_ONCE: Final = 2_000  # events of one append; of short histories, so many share a transaction
_NOBODY: Final = Origin("", "")  # whose name no event gets: each keeps its own

Fate = Literal["imported", "there", "refused"]


class HistoryBroken(Exception):
    """A history that could not have happened, or that this Milepost cannot read."""

    def __init__(self, job_id: UUID, cause: str) -> None:
        self.job_id, self.cause = job_id, cause
        super().__init__(f"The history of job {job_id} cannot be folded: {cause}")


class NotImported(Exception):
    """Why one job of a file stays out."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one job of the file: its history is here now, was here already, or stays out."""

    job_id: UUID
    fate: Fate
    events: int
    why: str = ""


class _Part(NamedTuple):
    """Events that follow one another, and what they make of the job."""

    batch: Batch
    rows: list[EventRow]


_History = Iterable[_Part]


class Importer:
    """One import into one event store; once it has begun again, what it wrote before is there already.

    `live`: also jobs that are not at rest, which workers here would go on with. `progress`: of what is brought in.
    """

    def __init__(
        self, database: Database, surroundings: Surroundings, *, live: bool, progress: Progress | None = None
    ) -> None:
        self._progress = progress or Progress()
        self._database, self._surroundings, self._live = database, surroundings, live
        self._streams = Streams(database)

    def run(self, file: ExportFile) -> Iterator[Imported]:
        """Job by job, each whole or not at all. Raises LinesInvalid where the file changes meanwhile: see `check`."""
        waiting: list[_History] = []  # short ones, read already
        held = 0
        for job_id, events in file.histories():
            if self._is_there(job_id):
                yield self._half_pruned(job_id) or self._compared(job_id, events)
                continue
            parts = self._parts(job_id, events)
            first = next(parts)
            if len(first.rows) == AT_ONCE:
                yield from self._write([chain((first,), parts)])
                continue
            waiting.append((first,))
            held += len(first.rows)
            if held >= AT_ONCE:
                yield from self._write(waiting)
                waiting, held = [], 0
        yield from self._write(waiting)

    def _is_there(self, job_id: UUID) -> bool:
        return next(linked_events(self._database, job_id, 1), None) is not None

    def _half_pruned(self, job_id: UUID) -> Imported | None:
        """What is here of it is about to be deleted."""
        with self._database.read() as connection:
            found = tombstone_row(connection, job_id)
        if found is None or not found.remaining:
            return None
        return Imported(job_id, "refused", 0, "its prune is not finished: import it again when it is")

    def _compared(self, job_id: UUID, events: Iterable[StoredEvent]) -> Imported:
        """Of a job that is here: whether it has these events, to the byte. It may have gone on since."""
        here, count = linked_events(self._database, job_id), 0
        for event in events:
            count += 1
            found = next(here, None)
            if found is None:
                why = f"it is here already, and has only {count - 1} of its events here"
                return Imported(job_id, "refused", 0, why)
            if found[:4] != event[:4]:
                why = f"it is here already, and its event {event.version} here is another one"
                return Imported(job_id, "refused", 0, why)
        gone_on = ", and has gone on since" if next(here, None) is not None else ""
        return Imported(job_id, "there", count, f"it is here already{gone_on}")

    def _parts(self, job_id: UUID, events: Iterable[StoredEvent]) -> Iterator[_Part]:
        remaining, job = iter(events), Job(job_id)
        while part := list(islice(remaining, AT_ONCE)):
            batch = Batch(job, _NOBODY, self._surroundings)
            for event in part:
                batch.take(recorded(event))
            yield _Part(batch, [(job_id.hex, event.version, event.topic, event.state) for event in part])
            job = batch.after

    def _write(self, histories: Iterable[_History]) -> list[Imported]:
        found: list[Imported] = []
        with self._database.write() as connection:
            for history in histories:
                job: Job | None = None
                try:
                    with connection.begin_nested():
                        for batch, rows in history:
                            job = batch.after
                            self._streams.write_stored(connection, batch, rows)
                            self._progress.met(len(rows))
                        assert job is not None, "a history has events"
                        self._refuse_live(connection, job)
                        _lift_tombstone(connection, job)
                    found.append(Imported(job.id, "imported", job.version))
                    self._progress.done()
                except (NotImported, StreamMoved, JobError, DataError, OverflowError) as error:
                    assert job is not None, "it was being written"
                    found.append(Imported(job.id, "refused", 0, _why(error)))
        return found

    def _refuse_live(self, connection: sa.Connection, job: Job) -> None:
        if job.status not in LIVE:
            return
        if not self._live:
            raise NotImported(f"it is {job.status}, not at rest, and a worker here would go on with it")
        refuse_if_taken(connection, job)


def _lift_tombstone(connection: sa.Connection, job: Job) -> None:
    """Of a job that was pruned here and is back: only what was pruned may take its place."""
    found = tombstone_row(connection, job.id)
    if found is None:
        return
    if (found.versions, found.head) != (job.version, link_of(connection, job.id, job.version).hex()):
        raise NotImported(f"it was pruned here, and its {found.versions} events were not those of the file")
    tombstones.lift(connection, job.id)


def _why(error: Exception) -> str:
    """A database's own words are of one line."""
    if isinstance(error, (DataError, OverflowError)):
        cause = str(error.orig if isinstance(error, DataError) else error).partition("\n")[0]
        return f"it has something that this database cannot keep: {cause}"
    return str(error)


def check(file: ExportFile, progress: Progress | None = None) -> None:
    """Read all of it and fold every history, before anything is written. Raises LinesInvalid, HistoryBroken."""
    so_far = progress or Progress()
    namespace = file.manifest.namespace
    for job_id, events in file.histories():
        job = Job(job_id)
        try:
            for event in events:
                _, job = followed(job, event)
                so_far.met()
        except Impossible as error:
            raise HistoryBroken(job_id, str(error)) from error
        so_far.done()
        if job.facts.namespace != namespace:
            raise HistoryBroken(job_id, f"it is of namespace {job.facts.namespace}, the file of {namespace}")
