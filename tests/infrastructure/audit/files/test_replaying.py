"""A file is enough to see what a job was after each of its events."""

from pathlib import Path

import pytest

from milepost.domain.job import replay
from milepost.infrastructure.audit.importing import HistoryBroken
from milepost.infrastructure.audit.lines import LinesInvalid
from milepost.infrastructure.audit.new_file import FileUnusable
from milepost.infrastructure.audit.replaying import NotInFile, SeveralInFile, replayed
from milepost.infrastructure.event_store.schema import EVENTS_TABLE
from tests.infrastructure.audit.files.archive import Archive
from tests.infrastructure.audit.stored import tamper


def test_each_event_is_told_with_the_job_before_and_after_it(archive: Archive, file: Path) -> None:
    ids = archive.furnish()
    archive.export(file)

    moments = list(replayed(file))

    for job_id in ids:
        history = list(archive.store.history(job_id))
        of_job = [moment for moment in moments if moment.job.id == job_id]
        assert [moment.recorded for moment in of_job] == history
        assert [moment.job for moment in of_job] == [replay(job_id, history[:n]) for n in range(1, len(history) + 1)]
        assert [moment.before for moment in of_job[1:]] == [moment.job for moment in of_job[:-1]]
        assert of_job[0].before.version == 0


def test_one_job_of_many_is_told_by_the_beginning_of_its_id(archive: Archive, file: Path) -> None:
    first, *_ = archive.furnish()
    archive.export(file)

    assert {moment.job.id for moment in replayed(file, str(first).upper())} == {first}
    with pytest.raises(SeveralInFile):
        next(replayed(file, str(first)[:3]))
    with pytest.raises(NotInFile):
        next(replayed(file, "f" * 32))
    with pytest.raises(NotInFile):
        next(replayed(file, "no id"))


def test_nothing_is_told_of_a_file_that_was_altered(archive: Archive, file: Path) -> None:
    archive.furnish()
    archive.export(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10] + b"0" + whole[-9:])

    with pytest.raises(LinesInvalid):
        next(replayed(file))


def test_a_history_is_told_up_to_the_event_that_cannot_have_happened(archive: Archive, file: Path) -> None:
    job = archive.scene.start()
    archive.scene.stop(job.id)
    archive.scene.completed()
    tamper(archive.database, f"UPDATE {EVENTS_TABLE} SET topic='milepost:Later' WHERE originator_version=2")
    chain_anew(archive)
    archive.export(file)
    moments = replayed(file)

    assert next(moments).job.version == 1
    with pytest.raises(HistoryBroken, match="this Milepost does not know such events"):
        next(moments)


def chain_anew(archive: Archive) -> None:
    """As if a newer Milepost had written such events."""
    from milepost.infrastructure.audit.chaining import chain_all

    with archive.database.write() as connection:
        chain_all(connection)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="No such file"):
        next(replayed(tmp_path / "nothing"))
