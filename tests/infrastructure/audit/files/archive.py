"""An event store, and short words for files out of it and into it."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from milepost.domain.commands import ReportFailure, StartStep
from milepost.domain.events import ErrorDetail
from milepost.infrastructure.audit.export_file import ExportFile
from milepost.infrastructure.audit.exporting import Exported, export
from milepost.infrastructure.audit.importing import Imported, Importer, check
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.job_filter import ALL_JOBS, JobFilter
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.event_store.scene import Scene

ERROR = ErrorDetail(type="E", message="ausgefallen: 50 °C")
StoredRow = tuple[str, int, str, bytes]


@dataclass
class Archive:
    """A store, and short words for files out of it and into it."""

    scene: Scene

    @property
    def store(self) -> JobStore:
        return self.scene.store

    @property
    def database(self) -> Database:
        return self.scene.store.database

    def export(
        self, path: Path, meant: JobFilter | list[str] = ALL_JOBS, *, replace: bool = False, namespace: str = "Default"
    ) -> Exported:
        return export(self.database, path, event_store="default", namespace=namespace, meant=meant, replace=replace)

    def import_(self, path: Path, *, live: bool = False) -> list[Imported]:
        file = ExportFile(path)
        check(file)
        return list(Importer(self.database, self.scene.surroundings, live=live).run(file))

    def events(self) -> list[StoredRow]:
        """All that is stored, as it is."""
        with self.database.read() as connection:
            rows = connection.exec_driver_sql(
                "SELECT originator_id, originator_version, topic, state FROM milepost_events ORDER BY 1, 2"
            ).all()
        return [(UUID(str(job_id)).hex, version, topic, bytes(state)) for job_id, version, topic, state in rows]

    def furnish(self) -> list[UUID]:
        """A completed job, one that is stopping after a failure, and a stopped one."""
        completed = self.scene.completed()
        failing = self.scene.running(steps=2)
        failing = self.scene.do(failing, StartStep(failing.claim, 1), ReportFailure(failing.claim, 1, 1, 0.5, ERROR))
        stopped = self.scene.stop(self.scene.start().id).job
        self.scene.stop(failing.id)
        return [completed.id, failing.id, stopped.id]
