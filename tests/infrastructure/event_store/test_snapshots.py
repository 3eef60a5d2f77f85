"""A snapshot is a cache of the fold: it may be missing, old or unreadable, and never shows."""

from dataclasses import fields
from uuid import UUID

import pytest
import sqlalchemy as sa

from milepost.domain.commands import ReportFailure, ReportProgress, StartStep
from milepost.domain.events import ErrorDetail, Progress
from milepost.domain.job import Job, replay
from milepost.infrastructure.event_store import snapshots as module
from milepost.infrastructure.event_store.schema import snapshots
from milepost.infrastructure.event_store.snapshots import packed, snapshot_due, unpacked
from tests.infrastructure.event_store.scene import Scene


def eventful(scene: Scene) -> Job:
    """A job that has something in every field."""
    job = scene.running(steps=4)
    error = ErrorDetail(type="E", message="m", causes=("c",), cut=True)
    progress = Progress(done=0.1, total=3, unit="rows", message="é", checkpoint={"row": [1, None, {"a": 1e-7}]})
    return scene.do(
        scene.succeed(job, 0),
        StartStep(1, 1),
        ReportProgress(1, 1, 1, progress),
        ReportFailure(1, 1, 1, 0.25, error),
        StartStep(1, 2),
        ReportProgress(1, 2, 1, progress),
    )


def stored(scene: Scene) -> list[tuple[int, int]]:
    with scene.store.database.read() as connection:
        found = connection.execute(sa.select(snapshots.c.version, snapshots.c.format).order_by(snapshots.c.version))
        return [(version, number) for version, number in found]


def test_what_is_unpacked_is_what_was_packed(scene: Scene) -> None:
    job = eventful(scene)

    assert unpacked(job.id, job.version, packed(job)) == job


def test_no_field_of_a_job_is_forgotten() -> None:
    kept = set(module.State.model_fields)

    assert kept == {field.name for field in fields(Job)} - {"id", "version"}


def test_a_snapshot_and_the_events_after_it_are_the_whole_fold(scene: Scene) -> None:
    job = scene.running(steps=4)
    scene.store.take_snapshot(job)
    job = scene.succeed(job, 0, 1)

    loaded = scene.store.load(job.id)

    assert loaded == job == replay(job.id, scene.store.history(job.id))
    assert scene.store.snapshot_version(job.id) == 4


def test_what_a_snapshot_covers_is_not_folded_again(scene: Scene) -> None:
    job = eventful(scene)
    scene.store.take_snapshot(job)
    with scene.store.database.write() as connection:
        connection.execute(sa.text("UPDATE milepost_events SET state='' WHERE originator_id=:job"), {"job": job.id.hex})

    assert scene.store.load(job.id) == job


def test_a_newer_snapshot_replaces_the_older_ones(scene: Scene) -> None:
    job = scene.running()
    scene.store.take_snapshot(job)
    job = scene.succeed(job, 0)
    scene.store.take_snapshot(job)

    assert stored(scene) == [(job.version, module.FORMAT)]


def test_an_older_snapshot_does_not_replace_a_newer_one(scene: Scene) -> None:
    older = scene.running()
    newer = scene.succeed(older, 0)
    scene.store.take_snapshot(newer)
    scene.store.take_snapshot(older)

    assert stored(scene) == [(newer.version, module.FORMAT)]


def test_snapshots_of_another_format_are_ignored(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    job = scene.running()
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    scene.store.take_snapshot(job)
    monkeypatch.undo()

    assert scene.store.snapshot_version(job.id) == 0
    assert scene.store.load(job.id) == job


@pytest.mark.parametrize("state", [b"", b"nonsense"])
def test_a_snapshot_that_cannot_be_read_is_ignored(scene: Scene, state: bytes) -> None:
    job = scene.running()
    scene.store.take_snapshot(job)
    with scene.store.database.write() as connection:
        connection.execute(snapshots.update().values(state=state))

    assert scene.store.load(job.id) == job


def test_a_short_history_needs_no_snapshot() -> None:
    job = Job(id=UUID(int=1), version=module.EVENTS_BETWEEN - 1)

    assert not snapshot_due(job, 0)


def test_a_snapshot_is_due_after_so_many_events() -> None:
    job = Job(id=UUID(int=1), version=3 * module.EVENTS_BETWEEN)

    assert snapshot_due(job, 2 * module.EVENTS_BETWEEN)
    assert not snapshot_due(job, 2 * module.EVENTS_BETWEEN + 1)


def test_snapshots_of_many_steps_are_rarer_so_that_their_cost_per_event_stays_the_same(scene: Scene) -> None:
    job = scene.running(steps=50_000)

    assert not snapshot_due(job, job.version - 24_999)
    assert snapshot_due(job, job.version - 25_000)
