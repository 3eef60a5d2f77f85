"""What an export holds, and when there is none."""

import base64
import hashlib
import json
import stat
from pathlib import Path
from uuid import UUID

import pytest

from milepost.infrastructure.audit.chain import GENESIS, link
from milepost.infrastructure.audit.export_file import ExportFile
from milepost.infrastructure.audit.export_format import ExportedEvent, StoredEvent, event_line, event_of
from milepost.infrastructure.audit.exporting import HistoryGone
from milepost.infrastructure.audit.lines import LinesInvalid
from milepost.infrastructure.audit.new_file import FileThere, FileUnusable
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.event_store.job_not_found import JobPruned
from milepost.infrastructure.event_store.schema import EVENTS_TABLE
from tests.infrastructure.audit.files.archive import Archive
from tests.infrastructure.audit.pruned import half_pruned
from tests.infrastructure.audit.stored import tamper

JOB_ID = UUID("0198c0de-0000-7000-8000-000000000001")


def test_an_export_holds_every_event_as_it_is_stored(archive: Archive, file: Path) -> None:
    archive.furnish()

    done = archive.export(file)

    exported = [(event.job_id.hex, event.version, event.topic, event.state) for event in ExportFile(file).events()]
    assert exported == archive.events()
    assert (done.jobs, done.events, done.broken) == (3, len(exported), ())


def test_the_manifest_says_what_is_in_it_and_the_last_line_is_the_digest_of_the_rest(
    archive: Archive, file: Path
) -> None:
    archive.furnish()
    done = archive.export(file)

    first, *events, last = file.read_bytes().splitlines(keepends=True)

    assert json.loads(first) == {
        "format": "milepost-export",
        "formatVersion": 1,
        "eventStore": "default",
        "namespace": "Default",
        "jobs": 3,
        "events": len(events),
    }
    assert json.loads(last) == {"sha256": hashlib.sha256(b"".join([first, *events])).hexdigest()}
    assert json.loads(last)["sha256"] == done.sha256


def test_each_event_has_its_link_in_the_chain_of_its_job(archive: Archive, file: Path) -> None:
    job_id = archive.scene.completed().id
    archive.export(file)

    previous = GENESIS
    for event in ExportFile(file).events():
        previous = link(previous, job_id, event.version, event.topic, event.state)
        assert event.chain == previous


def test_the_same_histories_are_the_same_file(archive: Archive, file: Path, tmp_path: Path) -> None:
    archive.furnish()
    archive.export(file)
    archive.scene.surroundings.wait(1000)

    archive.export(tmp_path / "again")

    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_only_what_is_meant_is_exported(archive: Archive, file: Path) -> None:
    completed, _, stopped = archive.furnish()
    archive.scene.start(namespace="Other")

    archive.export(file, JobFilter(statuses=("Stopped",), types=("import",)))
    assert stopped in {job_id for job_id, _ in ExportFile(file).histories()}
    assert completed not in {job_id for job_id, _ in ExportFile(file).histories()}

    archive.export(file, [str(completed)], replace=True)
    assert [job_id for job_id, _ in ExportFile(file).histories()] == [completed]

    assert archive.export(file, JobFilter(types=("nothing",)), replace=True).jobs == 0
    assert list(ExportFile(file).events()) == []


def test_a_file_that_is_there_is_replaced_only_where_that_is_asked_for(archive: Archive, file: Path) -> None:
    archive.furnish()
    file.write_text("mine")

    with pytest.raises(FileThere):
        archive.export(file)
    assert file.read_text() == "mine"

    archive.export(file, replace=True)
    assert ExportFile(file).manifest.jobs == 3


@pytest.mark.parametrize("replace", [False, True])
def test_nothing_is_left_of_an_export_that_fails(archive: Archive, tmp_path: Path, replace: bool) -> None:
    archive.furnish()
    (tmp_path / "folder").mkdir()

    with pytest.raises(FileUnusable):
        archive.export(tmp_path / "folder", replace=replace)
    with pytest.raises(FileUnusable):
        archive.export(tmp_path / "nowhere" / "file")

    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == []


def test_only_its_owner_may_read_it(archive: Archive, file: Path) -> None:
    archive.export(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("state", [b'{"a": "\xe2\x82\xac\\u00e9\\n" }\n', b"[1,  2.50]", b'"\xf0\x9f\x9a\x82"'])
def test_stored_json_is_kept_as_text_to_the_byte(state: bytes) -> None:
    event = StoredEvent(JOB_ID, 1, "Töpic", state, GENESIS)

    line = event_line(event)

    assert line.isascii()
    assert json.loads(line)["state"] == state.decode()
    assert event_of(ExportedEvent.model_validate_json(line)) == event


@pytest.mark.parametrize("state", [b"\xff\xfe", b"no json", b"", b"[" * 100_000, b'{"a":"\xed\xa0\x80"}'])
def test_what_is_no_json_is_kept_in_base64(state: bytes) -> None:
    event = StoredEvent(JOB_ID, 1, "T", state, GENESIS)

    line = event_line(event)

    assert base64.b64decode(json.loads(line)["stateBase64"]) == state
    assert event_of(ExportedEvent.model_validate_json(line)) == event


def test_a_chain_that_does_not_hold_is_exported_as_it_is_and_told(archive: Archive, file: Path) -> None:
    good, bad = archive.scene.completed(), archive.scene.completed()
    tamper(
        archive.database,
        f"UPDATE {EVENTS_TABLE} SET state=? WHERE originator_id=? AND originator_version=?",
        b"{}",
        bad.id.hex,
        4,
    )

    done = archive.export(file)

    assert done.broken == ((bad.id, 4),)
    assert file.read_bytes().count(str(good.id).encode()) == file.read_bytes().count(str(bad.id).encode())
    with pytest.raises(LinesInvalid, match=f"event 4 of job {bad.id} does not follow in the chain"):
        list(ExportFile(file).events())


def test_no_file_is_made_of_a_history_that_has_a_gap(archive: Archive, file: Path) -> None:
    job = archive.scene.completed()
    tamper(archive.database, f"DELETE FROM {EVENTS_TABLE} WHERE originator_version = 3")

    with pytest.raises(HistoryGone, match=f"Event 3 of job {job.id} is not there, and later ones are"):
        archive.export(file)

    assert not file.exists()


def test_what_is_left_of_a_job_that_is_being_pruned_is_not_exported(
    archive: Archive, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = half_pruned(archive.scene, monkeypatch, parts=1)

    with pytest.raises(JobPruned):
        archive.export(file, [str(job.id)])
    assert not file.exists()
    assert archive.export(file).jobs == 0
