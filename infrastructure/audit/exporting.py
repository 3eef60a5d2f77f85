"""Takes the histories of jobs out of an event store into a file, to the byte, as all of them were at one moment."""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.audit.chain import GENESIS, link
from milepost.infrastructure.audit.export_format import ExportEnd, ExportManifest, event_line
from milepost.infrastructure.audit.lines import written
from milepost.infrastructure.audit.linked_events import linked_events
from milepost.infrastructure.audit.new_file import new_file
from milepost.infrastructure.audit.progress import Progress
from milepost.infrastructure.event_store import tombstones
from milepost.infrastructure.event_store.all_streams import mark
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.event_store.job_not_found import JobPruned
from milepost.infrastructure.event_store.queries import chosen_ids
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs

ASKED_AT_ONCE: Final = 500  # ids in one query
_TAKEN: Final = struct.Struct(">16sQ")  # a job and how many events it had: of a million jobs, 24 MB


class HistoryGone(Exception):
    """Events are not there: they were taken away while they were being exported, or before."""

    def __init__(self, job_id: UUID, version: int) -> None:
        self.job_id, self.version = job_id, version
        super().__init__(
            f"Event {version} of job {job_id} is not there, and later ones are, or were when the export began."
            " No file was made"
        )


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `broken`: of each job whose chain does not hold, the first event that does not follow."""

    jobs: int
    events: int
    sha256: str
    broken: tuple[tuple[UUID, int], ...]


class Selection:
    """The jobs that are to be exported, by their ids, each up to the version it had when it was chosen."""

    def __init__(self, jobs: Iterable[tuple[UUID, int]]) -> None:
        self._taken = bytearray()
        self.events = 0
        for job_id, version in jobs:
            self._taken += _TAKEN.pack(job_id.bytes, version)
            self.events += version

    def __len__(self) -> int:
        return len(self._taken) // _TAKEN.size

    def __iter__(self) -> Iterator[tuple[UUID, int]]:
        for taken, version in _TAKEN.iter_unpack(self._taken):
            yield UUID(bytes=taken), version


def chosen(database: Database, namespace: str, meant: JobFilter | Sequence[str]) -> Selection:
    """Those that a filter means, or these ids, as all of them are at one moment."""
    with database.read() as connection:
        return Selection(
            found for page in _pages(connection, namespace, meant) for found in _versions(connection, page)
        )


def still_there(database: Database, ids: Sequence[str]) -> Selection:
    """Those of these jobs that were not pruned, as all of them are at one moment."""
    with database.read() as connection:
        return Selection(found for page in _there(connection, ids) for found in _versions(connection, page))


def _there(connection: sa.Connection, ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """By their rows, which are the first of a job to go."""
    ordered = sorted(set(ids))
    for first in range(0, len(ordered), ASKED_AT_ONCE):
        of_page = ordered[first : first + ASKED_AT_ONCE]
        if page := connection.scalars(sa.select(jobs.c.id).where(jobs.c.id.in_(of_page))).all():
            yield page


def _pages(connection: sa.Connection, namespace: str, meant: JobFilter | Sequence[str]) -> Iterator[Sequence[str]]:
    if not isinstance(meant, JobFilter):
        ids = sorted(set(meant))
        for first in range(0, len(ids), ASKED_AT_ONCE):
            of_page = ids[first : first + ASKED_AT_ONCE]
            for each in of_page:
                if (pruned := tombstones.find(connection, each)) is not None:
                    raise JobPruned(pruned)
            yield of_page
        return
    after = ""
    chosen = chosen_ids(namespace, meant).order_by(jobs.c.id).limit(ASKED_AT_ONCE)
    while page := connection.scalars(chosen.where(jobs.c.id > after)).all():
        yield page
        after = page[-1]


def _versions(connection: sa.Connection, ids: Sequence[str]) -> Iterator[tuple[UUID, int]]:
    """By the events themselves: a read model may say anything."""
    sign = mark(connection)
    asked = (
        f"SELECT originator_id, max(originator_version) FROM {EVENTS_TABLE}"
        f" WHERE originator_id IN ({', '.join([sign] * len(ids))}) GROUP BY originator_id ORDER BY originator_id"
    )
    for job_id, version in connection.exec_driver_sql(asked, tuple(UUID(each).hex for each in ids)):
        yield UUID(str(job_id)), version


def export(
    database: Database,
    path: Path,
    *,
    event_store: str,
    namespace: str,
    meant: JobFilter | Sequence[str],
    replace: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the histories of what is meant. Raises FileThere, FileUnusable, JobPruned, HistoryGone; then no file."""
    with new_file(path, replace=replace) as file:
        taken = chosen(database, namespace, meant)
        return write(database, file, taken, event_store=event_store, namespace=namespace, progress=progress)


def write(
    database: Database,
    file: BinaryIO,
    chosen: Selection,
    *,
    event_store: str,
    namespace: str,
    progress: Progress | None = None,
) -> Exported:
    """Write the histories of these jobs of one namespace. Raises HistoryGone."""
    so_far = progress or Progress()
    manifest = ExportManifest(event_store=event_store, namespace=namespace, jobs=len(chosen), events=chosen.events)
    hashed = hashlib.sha256()

    def put(line: bytes) -> None:
        hashed.update(line)
        file.write(line)

    put(written(manifest))
    broken: list[tuple[UUID, int]] = []
    for job_id, last in chosen:
        version, previous, follows = 0, GENESIS, True
        for event in linked_events(database, job_id, last):
            version += 1
            if event.version != version:
                raise HistoryGone(job_id, version)
            if follows and link(previous, *event[:4]) != event.chain:
                broken.append((job_id, version))
                follows = False
            previous = event.chain
            put(event_line(event))
            so_far.met()
        so_far.done()
        if version != last:
            raise HistoryGone(job_id, version + 1)
    end = hashed.hexdigest()
    file.write(written(ExportEnd(sha256=end)))
    return Exported(manifest.jobs, manifest.events, end, tuple(broken))
