"""What a prune leaves does not differ, and what no prune leaves does."""

import hashlib
from collections.abc import Callable
from uuid import UUID

import pytest

from milepost.domain.job import Job
from milepost.infrastructure.audit.differences import Difference, Kind
from milepost.infrastructure.audit.tombstone_rows import tombstone_rows
from milepost.infrastructure.audit.verifying import NothingStored, Verifier
from milepost.infrastructure.event_store.database import Database
from tests.infrastructure.audit.pruned import (
    edit_tombstone,
    forge_tombstone,
    half_pruned,
    prune,
    remove_tombstone,
)
from tests.infrastructure.audit.stored import events_of, flip, remove, remove_job, tamper
from tests.infrastructure.event_store.scene import Scene


def only(scene: Scene) -> Difference:
    (found,) = Verifier(scene.store.database).all()
    return found


def test_pruned_jobs_do_not_differ_and_are_counted(scene: Scene) -> None:
    gone, stays = [scene.completed(), scene.completed()], scene.start()
    prune(scene)
    verifier = Verifier(scene.store.database)

    assert list(verifier.all()) == []
    assert (verifier.tally.jobs, verifier.tally.events, verifier.tally.pruned) == (1, stays.version, 2)
    assert list(verifier.jobs([gone[0].id])) == []


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_job_whose_prune_was_broken_off_does_not_differ(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    job = half_pruned(scene, monkeypatch, parts)
    verifier = Verifier(scene.store.database)

    assert list(verifier.all()) == []
    assert (verifier.tally.events, verifier.tally.pruned) == (job.version - 6 * parts, 1)


def test_the_beginning_that_a_prune_has_left_so_far_is_verified(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    job, database = half_pruned(scene, monkeypatch, 2), scene.store.database
    left = len(events_of(database, job.id))

    flip(database, job.id, 3)
    assert (only(scene).kind, only(scene).version) == (Kind.EVENT_CHANGED, 3)
    flip(database, job.id, 3)

    remove(database, job.id, left)
    assert (only(scene).kind, only(scene).version) == (Kind.EVENT_MISSING, left)


Forge = Callable[[Database, Job], object]
FORGED: dict[str, tuple[Forge, str]] = {
    "no head": (lambda database, job: edit_tombstone(database, job.id, head=None), "head"),
    "a head that is none": (lambda database, job: edit_tombstone(database, job.id, head="f" * 63), "head"),
    "no events": (lambda database, job: edit_tombstone(database, job.id, versions=0), "versions"),
    "more left than there were": (lambda database, job: edit_tombstone(database, job.id, remaining=99), "remaining"),
    "less than nothing left": (lambda database, job: edit_tombstone(database, job.id, remaining=-1), "remaining"),
}


@pytest.mark.parametrize(("forge", "column"), FORGED.values(), ids=FORGED)
def test_a_tombstone_that_no_prune_writes_is_found(scene: Scene, forge: Forge, column: str) -> None:
    job = scene.completed()
    prune(scene)
    forge(scene.store.database, job)

    found = only(scene)

    assert (found.kind, found.table, found.column) == (Kind.TOMBSTONE_FALSE, "milepost_tombstones", column)
    assert found.job_id == str(job.id)


def test_a_tombstone_that_says_more_is_left_than_there_is_is_found(scene: Scene) -> None:
    job = scene.completed()
    prune(scene)
    edit_tombstone(scene.store.database, job.id, remaining=2)

    assert (only(scene).kind, only(scene).version) == (Kind.EVENT_MISSING, 1)


def test_a_tombstone_of_a_job_that_is_there_is_found(scene: Scene) -> None:
    job, database = scene.completed(), scene.store.database
    forge_tombstone(database, job)
    assert (only(scene).kind, only(scene).job_id) == (Kind.TOMBSTONE_FALSE, str(job.id))

    tamper(database, "DELETE FROM milepost_events WHERE originator_id=?", job.id.hex)
    assert "milepost_jobs has rows of it" in only(scene).message
    for table, key in (("milepost_jobs", "id"), ("milepost_status_changes", "job_id")):
        tamper(database, f"DELETE FROM {table} WHERE {key}=?", str(job.id))
    assert "milepost_steps has rows of it" in only(scene).message


def test_a_tombstone_beside_all_events_and_no_rows_is_found(scene: Scene) -> None:
    job, database = scene.completed(), scene.store.database
    forge_tombstone(database, job)
    for table, key in (("milepost_jobs", "id"), ("milepost_steps", "job_id"), ("milepost_status_changes", "job_id")):
        tamper(database, f"DELETE FROM {table} WHERE {key}=?", str(job.id))

    assert (only(scene).kind, only(scene).column) == (Kind.TOMBSTONE_FALSE, "remaining")
    edit_tombstone(database, job.id, remaining=job.version)
    assert (only(scene).kind, only(scene).column) == (Kind.TOMBSTONE_FALSE, "head")
    edit_tombstone(database, job.id, head=(events_of(database, job.id)[-1][3] or b"").hex())
    assert list(Verifier(database).all()) == []


def test_a_tombstone_of_no_job_is_found(scene: Scene) -> None:
    job = scene.completed()
    prune(scene)
    edit_tombstone(scene.store.database, job.id, job_id="forged")

    assert (only(scene).kind, only(scene).job_id) == (Kind.ID_INVALID, "forged")


def test_where_the_tombstone_was_removed_too_only_a_seal_can_tell(scene: Scene) -> None:
    job, removed = scene.completed(), scene.completed()
    remove_job(scene.store.database, removed.id)
    prune(scene)
    remove_tombstone(scene.store.database, job.id)

    verifier = Verifier(scene.store.database)
    assert list(verifier.all()) == []
    with pytest.raises(NothingStored):
        list(verifier.jobs([job.id]))


def test_the_digest_of_a_tombstone_is_the_same_for_ever(scene: Scene) -> None:
    job = Job(UUID("0192f0c1-2a3b-7c4d-8e5f-000102030405"))
    forge_tombstone(scene.store.database, job, versions=7, reason="für immer")
    when = "2026-01-02T03:04:05.000000+00:00"
    written = (
        f'["{job.id}","Default","import","CompletedSuccessfully",7,"{"0" * 64}","{when}","{when}","{when}",'
        '"eve@engine","cli","f\\u00fcr immer","[]",null]'
    )

    with scene.store.database.read() as connection:
        (row,) = tombstone_rows(connection)

    assert row.digest == hashlib.sha256(written.encode()).hexdigest()
