"""Keeps the histories of jobs in files of a folder before they are pruned: exports that were read again and hold."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final
from uuid import UUID

from milepost.infrastructure.audit.export_file import ExportFile
from milepost.infrastructure.audit.exporting import Exported, HistoryGone, Selection, still_there, write
from milepost.infrastructure.audit.importing import HistoryBroken, check
from milepost.infrastructure.audit.lines import LinesInvalid
from milepost.infrastructure.audit.new_file import FileThere, FileUnusable, new_file
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import Database

_WHEN: Final = "%Y%m%dT%H%M%SZ"  # in the order of time, and a name on every file system


class ArchiveFailed(Exception):
    """Histories could not be archived, and so were not pruned."""

    def __init__(self, folder: Path, cause: str) -> None:
        self.folder, self.cause = folder, cause
        super().__init__(f"The archive in {folder} could not be written, so nothing of it was pruned: {cause}")


@dataclass(frozen=True, slots=True)
class Archived:
    """A file that is on the disk, and of which jobs it holds the histories, each up to its version."""

    file: Path
    versions: Mapping[str, int]
    events: int
    sha256: str


class Archive:
    """A folder for the exports of one event store. `told` hears of each file that was written.

    Nothing that is in it is replaced, and a file is there whole or not at all.
    """

    def __init__(
        self,
        database: Database,
        surroundings: Surroundings,
        folder: Path,
        event_store: str,
        told: Callable[[Archived], object] = lambda _: None,
    ) -> None:
        self._database, self._surroundings = database, surroundings
        self._folder, self._event_store, self._told = folder, event_store, told

    def keep(self, namespace: str, versions: Mapping[str, int]) -> Archived | None:
        """Those of these jobs that are at that version still; None where none is. Raises ArchiveFailed."""
        while same := self._same(versions):
            try:
                path, done = self._written(namespace, Selection(same))
                self._prove(path)
            except FileUnusable as error:
                raise ArchiveFailed(self._folder, str(error)) from error
            except HistoryGone as error:
                if self._same({str(error.job_id): versions[str(error.job_id)]}):
                    raise ArchiveFailed(self._folder, str(error)) from error
                continue  # another one has pruned it meanwhile: the rest goes on without it
            kept = Archived(path, {str(job_id): version for job_id, version in same}, done.events, done.sha256)
            self._told(kept)
            return kept
        return None

    def _same(self, versions: Mapping[str, int]) -> list[tuple[UUID, int]]:
        found = still_there(self._database, list(versions))
        return [(job_id, version) for job_id, version in found if versions[str(job_id)] == version]

    def _written(self, namespace: str, jobs: Selection) -> tuple[Path, Exported]:
        begun = f"{self._event_store}-{namespace}-{self._surroundings.now():{_WHEN}}"
        for number in count(1):
            path = self._folder / f"{begun}-{number:04}.jsonl"
            with suppress(FileThere), new_file(path) as file:
                return path, write(self._database, file, jobs, event_store=self._event_store, namespace=namespace)
        raise AssertionError("numbers do not end")

    def _prove(self, path: Path) -> None:
        """Read it again, as an import does: what could not be imported one day is no archive, and goes again."""
        try:
            check(ExportFile(path))
        except (LinesInvalid, HistoryBroken) as error:
            with suppress(OSError):  # its folder may be gone by now
                path.unlink()
            raise ArchiveFailed(self._folder, str(error)) from error
