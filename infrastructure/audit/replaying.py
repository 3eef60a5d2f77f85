"""Folds the histories of an export with no event store at all: what each job was after each of its events."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from milepost.domain.envelope import RecordedEvent
from milepost.domain.job import Job
from milepost.infrastructure.audit.export_file import ExportFile
from milepost.infrastructure.audit.importing import HistoryBroken
from milepost.infrastructure.audit.possible import Impossible, followed


class NotInFile(Exception):
    """No job of the file has an id that begins so."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text
        super().__init__(f"No job in {path} has an id that begins with '{text}'")


class SeveralInFile(Exception):
    """Several jobs of the file have an id that begins so."""

    def __init__(self, text: str, ids: tuple[UUID, ...]) -> None:
        self.text, self.ids = text, ids
        super().__init__(f"'{text}' is the beginning of several job ids: {ids[0]}, {ids[1]}")


class Moment(NamedTuple):
    """An event, and the job as it was before and after it."""

    recorded: RecordedEvent
    before: Job
    job: Job


def replayed(path: Path, prefix: str | None = None) -> Iterator[Moment]:
    """Every event of the file, or of the one job whose id begins so, once the whole file was found unaltered.

    Raises LinesInvalid, FileUnusable, NotInFile, SeveralInFile; at the event that cannot have happened HistoryBroken.
    """
    file = ExportFile(path)
    only = _checked(file, path, prefix)
    for job_id, events in file.histories():
        if only is not None and job_id != only:
            continue
        job = Job(job_id)
        for event in events:
            before = job
            try:
                happened, job = followed(job, event)
            except Impossible as error:
                raise HistoryBroken(job_id, str(error)) from error
            yield Moment(happened, before, job)


def _checked(file: ExportFile, path: Path, prefix: str | None) -> UUID | None:
    """Reads all of it; the job that is meant, if one is."""
    digits = (prefix or "").strip().lower().replace("-", "")
    found: list[UUID] = []
    for job_id, _ in file.histories():
        if prefix is not None and job_id.hex.startswith(digits):
            found.append(job_id)
    if prefix is None:
        return None
    if not found:
        raise NotInFile(path, prefix)
    if len(found) > 1:
        raise SeveralInFile(prefix, tuple(found))
    return found[0]
