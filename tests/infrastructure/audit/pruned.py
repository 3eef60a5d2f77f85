"""Jobs that are pruned, or are half-way, and other hands that change their tombstones."""

from contextlib import suppress
from uuid import UUID

import pytest
import sqlalchemy as sa

from milepost.domain.commands import CompleteJob
from milepost.domain.job import Job
from milepost.infrastructure.event_store import pruning
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.pruning import PruneRule, Pruning
from milepost.infrastructure.event_store.schema import tombstones
from tests.infrastructure.event_store.scene import OPERATOR, Scene


class BrokenOff(Exception):
    """As by the loss of power."""


def prune(scene: Scene) -> None:
    """All that has ended."""
    scene.surroundings.wait(60)
    Pruning(scene.store.database, scene.surroundings, lambda _: None).prune(rule_of(scene), OPERATOR, limit=100)


def rule_of(scene: Scene) -> PruneRule:
    return PruneRule("Default", scene.surroundings.now())


def long_job(scene: Scene) -> Job:
    """Completed, of 21 events."""
    job = scene.running(steps=8)
    return scene.do(scene.succeed(job, *range(8)), CompleteJob(job.claim))


def half_pruned(scene: Scene, monkeypatch: pytest.MonkeyPatch, parts: int) -> Job:
    """A long job whose prune was broken off when so many parts of six events were gone; 0: its rows alone."""
    job = long_job(scene)
    half_prune(scene, monkeypatch, job, parts)
    return job


def half_prune(scene: Scene, monkeypatch: pytest.MonkeyPatch, job: Job, parts: int) -> None:
    monkeypatch.setattr(pruning, "EVENTS_AT_ONCE", 6)
    scene.surroundings.wait(60)

    def pause(_: float) -> None:
        if remaining(scene.store.database, job.id) == job.version - 6 * parts:
            raise BrokenOff

    with suppress(BrokenOff):
        Pruning(scene.store.database, scene.surroundings, pause).prune(rule_of(scene), OPERATOR, limit=100)
    assert remaining(scene.store.database, job.id) == job.version - 6 * parts > 0


def remaining(database: Database, job_id: UUID) -> int:
    with database.read() as connection:
        asked = sa.select(tombstones.c.remaining).where(tombstones.c.job_id == str(job_id))
        return int(connection.execute(asked).scalar_one())


def edit_tombstone(database: Database, of: UUID, **values: object) -> None:
    with database.write() as connection:
        changed = tombstones.update().where(tombstones.c.job_id == str(of)).values(**values)
        assert connection.execute(changed).rowcount == 1


def remove_tombstone(database: Database, job_id: UUID) -> None:
    with database.write() as connection:
        assert connection.execute(tombstones.delete().where(tombstones.c.job_id == str(job_id))).rowcount == 1


def forge_tombstone(database: Database, job: Job, **values: object) -> None:
    """As a prune would have left it, but for these values."""
    when = "2026-01-02T03:04:05.000000+00:00"
    made: dict[str, object] = {
        "job_id": str(job.id), "namespace": "Default", "type": "import", "status": "CompletedSuccessfully",
        "versions": job.version, "head": "0" * 64, "created_at": when, "ended_at": when, "pruned_at": when,
        "actor": "eve@engine", "source": "cli", "reason": "", "places": "[]", "remaining": 0,
    }  # fmt: skip
    with database.write() as connection:
        connection.execute(tombstones.insert().values(made | values))
