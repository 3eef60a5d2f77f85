"""Histories out of an event store and into it, and its seal: what `milepost audit` does with files."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from milepost.infrastructure.audit.comparing import Comparison
from milepost.infrastructure.audit.export_file import ExportFile
from milepost.infrastructure.audit.exporting import export
from milepost.infrastructure.audit.importing import Importer, check
from milepost.infrastructure.audit.new_file import new_file
from milepost.infrastructure.audit.progress import Progress
from milepost.infrastructure.audit.replaying import Moment, replayed
from milepost.infrastructure.audit.seal import Sealed, SealFile, seal
from milepost.infrastructure.audit.verifying import Tally
from milepost.infrastructure.event_store.read_models import job_row, status_row
from milepost.interfaces.audit_documents import (
    BrokenChain,
    ExportResult,
    ImportResult,
    JobLeftOut,
    ReplayedEvent,
    SealResult,
)
from milepost.interfaces.bootstrap import Application, JobFilter, Row
from milepost.interfaces.local_service import event_document
from milepost.interfaces.read_documents import as_of, job_document

STANDARD_OUTPUT: Final = "-"


class AuditService:
    """Of one event store, opened here. All raise CannotOpenDatabase and DatabaseUnavailable."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._name = app.settings.event_store.value

    def export(
        self, path: Path, meant: JobFilter | Sequence[str], *, replace: bool, progress: Progress
    ) -> ExportResult:
        """Raises FileThere, FileUnusable, JobPruned, HistoryGone."""
        namespace = self._app.namespace
        done = export(
            self._app.existing,
            path,
            event_store=self._name,
            namespace=namespace,
            meant=meant,
            replace=replace,
            progress=progress,
        )
        broken = [BrokenChain(str(job_id), version) for job_id, version in done.broken]
        return ExportResult(str(path), self._name, namespace, done.jobs, done.events, done.sha256, broken)

    def import_(
        self,
        path: Path,
        *,
        live: bool,
        told: Callable[[str, str], None],
        checking: Progress,
        importing: Progress,
    ) -> ImportResult:
        """Nothing is written before the whole file was found good. `told` hears of each job that was here already.

        Raises LinesInvalid, FileUnusable, HistoryBroken.
        """
        file = ExportFile(path)
        check(file, checking)
        store = self._app.store
        imported = events = there = 0
        refused: list[JobLeftOut] = []
        for each in Importer(store.database, store.surroundings, live=live, progress=importing).run(file):
            match each.fate:
                case "imported":
                    imported += 1
                    events += each.events
                case "there":
                    there += 1
                    told(str(each.job_id), each.why)
                case "refused":
                    refused.append(JobLeftOut(str(each.job_id), each.why))
        return ImportResult(str(path), self._name, file.manifest.namespace, imported, events, there, refused)

    def seal(self, path: Path | None, *, replace: bool) -> SealResult:
        """Into a new file, else to standard output. Raises FileThere, FileUnusable."""
        if path is None:
            sys.stdout.flush()
            return self._sealed(STANDARD_OUTPUT, self._write_seal(sys.stdout.buffer))
        with new_file(path, replace=replace) as file:
            sealed = self._write_seal(file)
        return self._sealed(str(path), sealed)

    def comparison(self, path: Path, progress: Callable[[Tally], None]) -> Comparison:
        """With a seal, which is read whole first. Raises LinesInvalid, FileUnusable."""
        return Comparison(self._app.existing, SealFile(path), progress)

    def _write_seal(self, file: BinaryIO) -> Sealed:
        return seal(self._app.existing, file, event_store=self._name, at=self._app.now())

    def _sealed(self, file: str, sealed: Sealed) -> SealResult:
        at = sealed.sealed_at.isoformat(timespec="microseconds")
        return SealResult(file, self._name, sealed.jobs, sealed.pruned, sealed.root, at)


def replay(path: Path, prefix: str | None = None) -> Iterator[ReplayedEvent]:
    """Each event of an exported history with the job right after it; no event store is needed.

    Raises LinesInvalid, FileUnusable, NotInFile, SeveralInFile, HistoryBroken.
    """
    changes: list[Row] = []
    for moment in replayed(path, prefix):
        if moment.recorded.version == 1:
            changes = []
        if moment.job.status is not moment.before.status:
            changes.append(status_row(moment.recorded, moment.job.status))
        yield _document(moment, changes)


def _document(moment: Moment, changes: Sequence[Row]) -> ReplayedEvent:
    recorded, job = moment.recorded, moment.job
    step: int | None = getattr(recorded.event, "step", None)
    names = {} if step is None else {step: job.steps[step].name}
    at = recorded.recorded_at
    shown = job_document(job_row(job), at, changes=changes, as_of=as_of(job.version, at))
    return ReplayedEvent(event_document(recorded, names), shown)
