"""What is pruned with an archive is in a whole file before, and nothing goes that is not."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from milepost.domain.commands import RemoveJob
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.audit import archiving, exporting
from milepost.infrastructure.audit.archiving import Archive, Archived, ArchiveFailed
from milepost.infrastructure.audit.export_file import ExportFile
from milepost.infrastructure.audit.export_format import StoredEvent
from milepost.infrastructure.audit.exporting import export
from milepost.infrastructure.audit.importing import Importer, check
from milepost.infrastructure.audit.linked_events import linked_events
from milepost.infrastructure.event_store import pruning
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.job_not_found import JobPruned
from milepost.infrastructure.event_store.pruning import Pruned, PruneRule, Pruning
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, tombstones
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.audit.stored import tamper
from tests.infrastructure.event_store.scene import OPERATOR, Scene, Surroundings
from tests.infrastructure.event_store.test_pruning import Meanwhile, rows_of


def prune(scene: Scene, folder: Path, namespace: str | None = "Default") -> tuple[Pruned, list[Archived]]:
    scene.surroundings.wait(60)
    files: list[Archived] = []
    archive = Archive(scene.store.database, scene.surroundings, folder, "default", files.append)
    rule = PruneRule(namespace, scene.surroundings.now())
    return Pruning(scene.store.database, scene.surroundings).prune(rule, OPERATOR, limit=100, archive=archive), files


def test_what_was_pruned_can_be_imported_elsewhere_to_the_byte(scene: Scene, tmp_path: Path) -> None:
    gone = [scene.completed() for _ in range(3)]
    kept = scene.start()
    whole = export(
        scene.store.database,
        tmp_path / "before.jsonl",
        event_store="default",
        namespace="Default",
        meant=[str(job.id) for job in gone],
    )
    folder = tmp_path / "archive"
    folder.mkdir()

    done, (file,) = prune(scene, folder)

    assert sum(each.jobs for each in done.found) == len(gone)
    assert file.file.read_bytes() == (tmp_path / "before.jsonl").read_bytes()
    assert file.sha256 == whole.sha256
    elsewhere = open_database(f"sqlite:///{tmp_path / 'elsewhere.sqlite'}")
    there = JobStore(elsewhere, Surroundings())
    exported = ExportFile(file.file)
    check(exported)
    assert [each.fate for each in Importer(elsewhere, Surroundings(), live=False).run(exported)] == ["imported"] * 3
    assert [there.load(job.id) for job in gone] == gone
    assert scene.store.load(kept.id) == kept
    elsewhere.close()


def test_the_tombstone_names_the_file(scene: Scene, tmp_path: Path) -> None:
    job = scene.completed()

    _, (file,) = prune(scene, tmp_path)

    with pytest.raises(JobPruned) as refused:
        JobQueries(scene.store.database).job("Default", str(job.id))
    assert refused.value.tombstone.archive == file.file.name
    assert str(refused.value).endswith(f"; its history is in the archive {file.file.name}")


def test_without_its_folder_nothing_is_pruned(scene: Scene, tmp_path: Path) -> None:
    job = scene.completed()

    with pytest.raises(ArchiveFailed, match="nothing of it was pruned"):
        prune(scene, tmp_path / "not-there")

    assert scene.store.load(job.id) == job


def test_a_history_that_no_import_would_take_stays_with_all_that_were_to_go_with_it(
    scene: Scene, tmp_path: Path
) -> None:
    job, other = scene.completed(), scene.completed()
    statement = f"UPDATE {EVENTS_TABLE} SET chain = ? WHERE originator_id = ? AND originator_version = 2"
    tamper(scene.store.database, statement, b"x" * 32, job.id.hex)

    with pytest.raises(ArchiveFailed, match=f"event 2 of job {job.id} does not follow"):
        prune(scene, tmp_path)

    assert list(tmp_path.glob("*.jsonl")) == []
    assert rows_of(scene.store.database, job.id)
    assert rows_of(scene.store.database, other.id)


def test_no_file_is_ever_replaced(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "ARCHIVED_AT_ONCE", 1)
    jobs = [scene.completed() for _ in range(3)]
    scene.surroundings.wait(60)
    second = "default-Default-20260102T030505Z"
    (tmp_path / f"{second}-0002.jsonl").write_text("somebody's")
    scene.surroundings.wait(-60)

    _, files = prune(scene, tmp_path)

    assert [each.file.name for each in files] == [f"{second}-000{number}.jsonl" for number in (1, 3, 4)]
    assert [list(each.versions) for each in files] == [[str(job.id)] for job in jobs]
    assert (tmp_path / f"{second}-0002.jsonl").read_text() == "somebody's"


def test_each_namespace_has_files_of_its_own(scene: Scene, tmp_path: Path) -> None:
    for namespace in ("Default", "Elsewhere"):
        job_id = scene.stop(scene.start(namespace=namespace).id, namespace).job.id
        scene.store.execute(namespace, job_id, lambda _: RemoveJob(), OPERATOR)

    _, files = prune(scene, tmp_path, namespace=None)

    assert [ExportFile(each.file).manifest.namespace for each in files] == ["Default", "Elsewhere"]
    for each in files:
        check(ExportFile(each.file))


def test_a_job_that_went_on_after_it_was_archived_stays(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, other = scene.completed(), scene.completed()
    scene.surroundings.wait(60)

    def goes_on(_kept: Archived) -> None:
        scene.store.execute("Default", job.id, lambda _: RemoveJob(), OPERATOR)

    archive = Archive(scene.store.database, scene.surroundings, tmp_path, "default", goes_on)
    rule = PruneRule("Default", scene.surroundings.now())
    done = Pruning(scene.store.database, scene.surroundings).prune(rule, OPERATOR, limit=10, archive=archive)

    assert sum(each.jobs for each in done.found) == 1
    assert scene.store.load(job.id).status is JobStatus.REMOVED
    assert rows_of(scene.store.database, other.id) == {}


def test_a_job_that_went_on_before_it_was_archived_is_in_no_file(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "ARCHIVED_AT_ONCE", 1)
    first, second = scene.completed(), scene.completed()
    scene.surroundings.wait(60)
    files: list[Archived] = []
    archive = Archive(scene.store.database, scene.surroundings, tmp_path, "default", files.append)
    rule = PruneRule("Default", scene.surroundings.now())
    meanwhile = Meanwhile(lambda: scene.store.execute("Default", second.id, lambda _: RemoveJob(), OPERATOR))

    Pruning(scene.store.database, scene.surroundings, meanwhile).prune(rule, OPERATOR, limit=10, archive=archive)

    assert [list(each.versions) for each in files] == [[str(first.id)]]
    assert scene.store.load(second.id).status is JobStatus.REMOVED


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_what_another_one_prunes_meanwhile_keeps_nothing_else_from_being_archived(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Before each history that is read and between two files: the other one takes out the oldest that is there."""
    monkeypatch.setattr(pruning, "ARCHIVED_AT_ONCE", 2)
    ids = {str(scene.completed().id) for _ in range(4)}
    scene.surroundings.wait(60)
    rule = PruneRule("Default", scene.surroundings.now())
    points, files = count(1), list[Archived]()

    def point(*_: object) -> None:
        if next(points) == at:
            Pruning(scene.store.database, scene.surroundings, lambda _: None).prune(rule, OPERATOR, limit=1)

    def read(database: Database, job_id: UUID, upto: int) -> Iterator[StoredEvent]:
        point()
        yield from linked_events(database, job_id, upto)

    monkeypatch.setattr(exporting, "linked_events", read)
    archive = Archive(scene.store.database, scene.surroundings, tmp_path, "default", files.append)
    Pruning(scene.store.database, scene.surroundings, point).prune(rule, OPERATOR, limit=10, archive=archive)

    assert all(rows_of(scene.store.database, UUID(each)) == {} for each in ids)
    with scene.store.database.read() as connection:
        ours = sa.select(tombstones.c.job_id, tombstones.c.archive).where(tombstones.c.archive.is_not(None))
        by_us = connection.execute(ours).all()
    assert len(by_us) == len(ids) - 1
    assert {(each, file.file.name) for file in files for each in file.versions} >= {
        (row.job_id, row.archive) for row in by_us
    }
    assert list(tmp_path.glob(".*")) == []


def test_a_job_with_more_events_than_its_row_says_stays(scene: Scene, tmp_path: Path) -> None:
    """The row was written by other hands: what it does not know of would be lost."""
    job = scene.completed()
    tamper(scene.store.database, "UPDATE milepost_jobs SET version = version - 1 WHERE id = ?", str(job.id))

    done, files = prune(scene, tmp_path)

    assert (done.found, files) == ((), [])
    assert scene.store.load(job.id) == job


class DiskFull(OSError):
    """As writing says it."""


def test_where_the_file_cannot_be_written_nothing_goes_and_no_half_of_it_stays(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, folder = scene.completed(), tmp_path / "archive"
    folder.mkdir()

    def full(*_: object, **__: object) -> None:
        raise DiskFull(28, "No space left on device")

    monkeypatch.setattr(archiving, "write", full)
    with pytest.raises(ArchiveFailed, match="No space left on device"):
        prune(scene, folder)

    assert list(folder.iterdir()) == []
    assert scene.store.load(job.id) == job


@pytest.mark.parametrize("when", ["write", "check"])
def test_where_the_folder_goes_away_meanwhile_nothing_is_pruned(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    job, folder = scene.completed(), tmp_path / "archive"
    folder.mkdir()
    real = getattr(archiving, when)

    def goes_away(*given: Any, **more: Any) -> Any:
        rmtree(folder)
        folder.write_text("a file")
        return real(*given, **more)

    monkeypatch.setattr(archiving, when, goes_away)
    with pytest.raises(ArchiveFailed, match=str(folder)):
        prune(scene, folder)

    assert scene.store.load(job.id) == job


def test_others_write_while_a_file_is_written(scene: Scene, tmp_path: Path) -> None:
    """In the same thread: if the write lock were held, this would not come back."""
    scene.completed()
    scene.surroundings.wait(60)
    started: list[object] = []
    archive = Archive(
        scene.store.database, scene.surroundings, tmp_path, "default", lambda _: started.append(scene.start().id)
    )
    meanwhile = Meanwhile(lambda: started.append(scene.start().id))
    rule = PruneRule("Default", scene.surroundings.now())

    Pruning(scene.store.database, scene.surroundings, meanwhile).prune(rule, OPERATOR, limit=10, archive=archive)

    assert len(started) == 2


def test_a_prune_after_an_archive_was_brought_back_ends_with_one_tombstone(scene: Scene, tmp_path: Path) -> None:
    """Whether the event store that it was pruned from takes it again is for the import to say."""
    job = scene.completed()
    _, (file,) = prune(scene, tmp_path)
    list(Importer(scene.store.database, scene.surroundings, live=False).run(ExportFile(file.file)))

    prune(scene, tmp_path)

    assert rows_of(scene.store.database, job.id) == {}
    with pytest.raises(JobPruned):
        JobQueries(scene.store.database).job("Default", str(job.id))
