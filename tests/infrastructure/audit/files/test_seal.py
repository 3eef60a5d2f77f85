"""A seal says how every chain ended, and the event store is held against it later."""

import hashlib
import json
from pathlib import Path

import pytest

from milepost.domain.commands import CompleteJob
from milepost.domain.job import Job
from milepost.infrastructure.audit.comparing import Breach, Comparison
from milepost.infrastructure.audit.lines import LinesInvalid
from milepost.infrastructure.audit.merkle import MerkleTree
from milepost.infrastructure.audit.new_file import new_file
from milepost.infrastructure.audit.seal import Sealed, SealFile, seal
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, tombstones
from tests.infrastructure.audit.files.archive import Archive
from tests.infrastructure.audit.pruned import (
    edit_tombstone,
    forge_tombstone,
    half_prune,
    long_job,
    prune,
    remove_tombstone,
)
from tests.infrastructure.audit.stored import (
    EVENT,
    chain_anew,
    events_of,
    flip,
    forge_actor,
    remove,
    remove_job,
    renumber,
    swap,
    tamper,
)


def sealed(archive: Archive, path: Path) -> Sealed:
    with new_file(path) as file:
        return seal(archive.database, file, event_store="default", at=archive.scene.surroundings.now())


def found(archive: Archive, path: Path) -> list[Breach]:
    return list(Comparison(archive.database, SealFile(path)).breaches())


def test_a_seal_lists_the_head_of_every_chain_in_all_namespaces(archive: Archive, file: Path) -> None:
    jobs = [archive.scene.completed(), archive.scene.start(namespace="Other"), archive.scene.running()]

    done = sealed(archive, file)

    first, *heads, last = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert (first["format"], first["eventStore"]) == ("milepost-seal", "default")
    assert heads == [
        {
            "jobId": str(job.id),
            "version": job.version,
            "head": (events_of(archive.database, job.id)[-1][3] or b"").hex(),
        }
        for job in jobs
    ]
    assert last == {"jobs": 3, "root": done.root}
    assert SealFile(file).read() == done


def test_an_event_store_that_only_went_on_is_as_it_was_sealed(archive: Archive, file: Path) -> None:
    job = archive.scene.running()
    archive.scene.completed()
    sealed(archive, file)

    archive.scene.succeed(job, 0, 1)
    archive.scene.completed()

    assert found(archive, file) == []


def test_an_empty_event_store_can_be_sealed(archive: Archive, file: Path) -> None:
    assert sealed(archive, file).root == hashlib.sha256().hexdigest()
    archive.scene.start()
    assert found(archive, file) == []


@pytest.fixture
def job(archive: Archive, file: Path) -> Job:
    """One of three that were sealed; it has seven events."""
    archive.scene.completed()
    job = archive.scene.completed()
    archive.scene.completed()
    sealed(archive, file)
    assert job.version == 7
    return job


def test_a_removed_job_is_named(archive: Archive, job: Job, file: Path) -> None:
    tamper(archive.database, f"DELETE FROM {EVENTS_TABLE} WHERE originator_id=?", job.id.hex)

    (breach,) = found(archive, file)

    assert breach == Breach(job.id, "job-missing", 1, 7)
    assert breach.message == f"job {job.id} is not there any more: events 1 to 7 are missing"


def test_events_removed_from_the_end_are_named(archive: Archive, job: Job, file: Path) -> None:
    remove(archive.database, job.id, 6)
    remove(archive.database, job.id, 7)

    (breach,) = found(archive, file)

    assert breach == Breach(job.id, "events-missing", 6, 7)
    assert breach.message == f"job {job.id}: events 6 to 7 are missing"


def test_an_event_removed_from_the_middle_is_named(archive: Archive, job: Job, file: Path) -> None:
    remove(archive.database, job.id, 4)

    (breach,) = found(archive, file)

    assert breach == Breach(job.id, "events-missing", 4, 4)
    assert breach.message == f"job {job.id}: event 4 is missing"


def test_a_removal_that_was_covered_up_by_numbers_is_found_where_it_was(archive: Archive, job: Job, file: Path) -> None:
    remove(archive.database, job.id, 4)
    for version in (5, 6, 7):
        renumber(archive.database, job.id, version, version - 1)

    assert found(archive, file) == [Breach(job.id, "event-changed", 4, 4)]


def test_a_flipped_byte_is_named(archive: Archive, job: Job, file: Path) -> None:
    flip(archive.database, job.id, 3)

    assert found(archive, file) == [Breach(job.id, "event-changed", 3, 3)]


def test_a_changed_last_event_is_named(archive: Archive, job: Job, file: Path) -> None:
    changed = f"UPDATE {EVENTS_TABLE} SET state=?, topic='milepost:JobFailed' WHERE {EVENT}"
    tamper(archive.database, changed, b"{}", job.id.hex, 7)

    assert found(archive, file) == [Breach(job.id, "event-changed", 7, 7)]


@pytest.mark.parametrize("first", [1, 3, 6])
def test_swapped_events_are_named(archive: Archive, job: Job, file: Path, first: int) -> None:
    swap(archive.database, job.id, first, first + 1)

    (breach,) = found(archive, file)

    assert breach == Breach(job.id, "events-swapped", first, first + 1)
    assert breach.message == f"job {job.id}: events {first} and {first + 1} have changed places"


def test_a_history_whose_chain_was_made_anew_is_found_by_the_seal_alone(archive: Archive, job: Job, file: Path) -> None:
    forge_actor(archive.database, job.id, 1, b"ada@engine", b"eve@engine")
    chain_anew(archive.database, job.id)

    assert found(archive, file) == [Breach(job.id, "history-replaced", 1, 7)]


def test_each_job_that_differs_is_named(archive: Archive, job: Job, file: Path) -> None:
    tamper(archive.database, f"DELETE FROM {EVENTS_TABLE} WHERE originator_version > 2")

    assert {(each.kind, each.first, each.last) for each in found(archive, file)} == {("events-missing", 3, 7)}
    assert len(found(archive, file)) == 3


def test_a_backup_that_is_older_than_the_seal_lacks_exactly_what_happened_between(
    archive: Archive, other: Archive, file: Path, tmp_path: Path
) -> None:
    running = archive.scene.running(steps=2)
    archive.export(tmp_path / "backup")
    archive.scene.succeed(running, 0)
    later = archive.scene.completed()
    sealed(archive, file)

    other.import_(tmp_path / "backup", live=True)

    assert found(other, file) == [
        Breach(running.id, "events-missing", 5, 6),
        Breach(later.id, "job-missing", 1, 7),
    ]


def kinds(archive: Archive, path: Path) -> list[str]:
    return [each.kind for each in found(archive, path)]


def test_a_job_that_was_pruned_since_is_as_it_was_sealed(archive: Archive, job: Job, file: Path) -> None:
    prune(archive.scene)
    comparison = Comparison(archive.database, SealFile(file))

    assert list(comparison.breaches()) == []
    assert (comparison.tally.jobs, comparison.tally.pruned) == (3, 3)


def test_a_job_that_went_on_before_it_was_pruned_is_as_it_was_sealed(archive: Archive, file: Path) -> None:
    job = archive.scene.running()
    sealed(archive, file)
    job = archive.scene.succeed(job, 0, 1, 2)
    archive.scene.do(job, CompleteJob(job.claim))
    prune(archive.scene)

    assert found(archive, file) == []


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_job_whose_prune_was_broken_off_is_as_it_was_sealed(
    archive: Archive, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    job = long_job(archive.scene)
    sealed(archive, file)
    half_prune(archive.scene, monkeypatch, job, parts)
    again = sealed(archive, tmp_path / "again")

    assert found(archive, file) == found(archive, tmp_path / "again") == []
    assert (again.jobs, again.pruned) == (1, 1)

    flip(archive.database, job.id, 2)
    for each in (file, tmp_path / "again"):
        assert found(archive, each) == [Breach(job.id, "event-changed", 2, 2)]
    flip(archive.database, job.id, 2)

    left = job.version - 6 * parts
    remove(archive.database, job.id, left)
    for each in (file, tmp_path / "again"):
        assert found(archive, each) == [Breach(job.id, "events-missing", left, job.version)]


@pytest.mark.parametrize("change", [{"head": "0" * 64}, {"versions": 6}, {"head": None}])
def test_a_tombstone_that_is_not_of_what_was_sealed_is_named(
    archive: Archive, job: Job, file: Path, change: dict[str, object]
) -> None:
    prune(archive.scene)
    edit_tombstone(archive.database, job.id, **change)

    assert found(archive, file) == [Breach(job.id, "tombstone-false", 1, 7)]


def test_a_removed_job_that_was_given_a_tombstone_is_named(archive: Archive, job: Job, file: Path) -> None:
    remove_job(archive.database, job.id)
    forge_tombstone(archive.database, job)

    assert found(archive, file) == [Breach(job.id, "tombstone-false", 1, 7)]


def test_a_seal_lists_pruned_jobs_by_their_tombstones(archive: Archive, job: Job, tmp_path: Path) -> None:
    head = (events_of(archive.database, job.id)[-1][3] or b"").hex()
    prune(archive.scene)
    there = archive.scene.start()

    done = sealed(archive, tmp_path / "later")

    heads = {each.job_id: each for each in SealFile(tmp_path / "later").heads()}
    assert (heads[job.id].version, heads[job.id].head) == (7, head)
    assert (heads[job.id].pruned is None, heads[there.id].pruned is None) == (False, True)
    assert (done.jobs, done.pruned) == (4, 3)
    assert SealFile(tmp_path / "later").read() == done
    assert found(archive, tmp_path / "later") == []


@pytest.fixture
def pruned(archive: Archive, job: Job, tmp_path: Path) -> tuple[Job, Path]:
    """A job that had been pruned when this seal was made."""
    prune(archive.scene)
    sealed(archive, tmp_path / "later")
    return job, tmp_path / "later"


def test_a_removed_tombstone_is_named(archive: Archive, pruned: tuple[Job, Path]) -> None:
    job, later = pruned
    remove_tombstone(archive.database, job.id)

    (breach,) = found(archive, later)

    assert breach == Breach(job.id, "tombstone-missing", 1, 7)
    assert "had been pruned when it was sealed" in breach.message


@pytest.mark.parametrize("column", [each.name for each in tombstones.c if each.name not in ("job_id", "remaining")])
def test_a_tombstone_that_was_edited_is_named(archive: Archive, pruned: tuple[Job, Path], column: str) -> None:
    job, later = pruned
    edit_tombstone(archive.database, job.id, **{column: 8 if column == "versions" else "eve"})

    assert kinds(archive, later) == ["tombstone-changed"]


def test_a_pruned_job_that_was_imported_again_is_as_it_was_sealed(
    archive: Archive, job: Job, file: Path, tmp_path: Path
) -> None:
    archive.export(tmp_path / "archive")
    prune(archive.scene)
    sealed(archive, tmp_path / "later")

    assert {each.fate for each in archive.import_(tmp_path / "archive")} == {"imported"}

    assert found(archive, file) == found(archive, tmp_path / "later") == []
    remove(archive.database, job.id, 7)
    assert kinds(archive, file) == kinds(archive, tmp_path / "later") == ["events-missing"]


def test_a_tombstone_whose_id_is_none_is_left_out_of_a_seal(archive: Archive, job: Job, tmp_path: Path) -> None:
    prune(archive.scene)
    edit_tombstone(archive.database, job.id, job_id="forged")

    assert sealed(archive, tmp_path / "later").jobs == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"version":7', b'"version":6', "the root of the list before is another one"),
        (b'"jobs":3', b'"jobs":2', "the root of the list before is another one"),
        (b'{"jobs"', b'{"yobs"', "line 5"),
        (b'{"jobs":3', b'{"jobId":3', "line 5: "),
        (b"milepost-seal", b"milepost-sale", "it is no milepost-seal"),
        (b'"formatVersion":1', b'"formatVersion":2', "a newer one wrote it"),
    ],
)
def test_a_seal_that_was_altered_is_refused(
    archive: Archive, job: Job, file: Path, old: bytes, new: bytes, said: str
) -> None:
    file.write_bytes(file.read_bytes().replace(old, new, 1))

    with pytest.raises(LinesInvalid, match=said):
        found(archive, file)


def test_a_seal_that_was_cut_off_is_refused(archive: Archive, job: Job, file: Path) -> None:
    whole = file.read_bytes()
    first, second, third, fourth, last = whole.splitlines(keepends=True)

    for cut in (whole[:-1], first + second, b"".join([first, third, second, fourth, last]), whole + second):
        file.write_bytes(cut)
        with pytest.raises(LinesInvalid):
            found(archive, file)


# Of RFC 6962: the tree over these eight inputs, as the Certificate Transparency project publishes it.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_root_is_the_merkle_tree_hash_of_certificate_transparency() -> None:
    tree = MerkleTree()
    for entry, root in zip(INPUTS, ROOTS, strict=True):
        tree.add(entry)
        assert tree.root.hex() == root


def test_the_root_is_what_the_definition_says_for_any_number_of_entries() -> None:
    def defined(entries: list[bytes]) -> bytes:
        if len(entries) == 1:
            return hashlib.sha256(b"\x00" + entries[0]).digest()
        half = 1 << (len(entries) - 1).bit_length() - 1
        return hashlib.sha256(b"\x01" + defined(entries[:half]) + defined(entries[half:])).digest()

    tree, entries = MerkleTree(), list[bytes]()
    for number in range(70):
        entries.append(bytes([number]))
        tree.add(entries[-1])
        assert tree.root == defined(entries)
