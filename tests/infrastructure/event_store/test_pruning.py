"""What a prune takes out, what it leaves alone, and what stays of a job that is gone."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise, permutations
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from milepost.domain.commands import CancelJob, CompleteJob, RemoveJob, StopJob
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.audit.chain import GENESIS, links
from milepost.infrastructure.audit.export_file import ExportFile
from milepost.infrastructure.audit.exporting import export
from milepost.infrastructure.audit.importing import Importer
from milepost.infrastructure.event_store import pruning
from milepost.infrastructure.event_store.all_streams import AllStreams, PlaceGone
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.infrastructure.event_store.job_not_found import JobNotFound, JobPruned
from milepost.infrastructure.event_store.pruning import ENDED, Prunable, Pruned, PruneRule, Pruning
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, metadata, steps, tombstones
from milepost.infrastructure.event_store.streams import StreamMoved
from tests.infrastructure.event_store.scene import OPERATOR, Scene

S = JobStatus


@pytest.fixture
def pruner(scene: Scene) -> Pruning:
    return Pruning(scene.store.database, scene.surroundings)


def rule(scene: Scene, *statuses: JobStatus, keep: int = 0, types: tuple[str, ...] = ()) -> PruneRule:
    return PruneRule("Default", scene.surroundings.now(), statuses or ENDED, types, keep)


def prune(scene: Scene, limit: int = 1_000) -> Pruned:
    scene.surroundings.wait(60)
    return Pruning(scene.store.database, scene.surroundings).prune(rule(scene), OPERATOR, limit=limit)


def rows_of(database: Database, job_id: UUID) -> dict[str, int]:
    """In how many rows of each table, but its tombstone, the job is named."""
    found: dict[str, int] = {}
    with database.read() as connection:
        for table in metadata.tables.values():
            column = table.c.get("job_id") if table.name != "milepost_jobs" else table.c.id
            if column is not None and table is not tombstones:
                asked = sa.select(sa.func.count()).select_from(table).where(column == str(job_id))
                found[table.name] = connection.scalar(asked) or 0
        stream = sa.text(f"SELECT count(*) FROM {EVENTS_TABLE} WHERE originator_id = :job")
        found[EVENTS_TABLE] = connection.scalar(stream, {"job": job_id.hex}) or 0
    return {table: count for table, count in found.items() if count}


def head_of(database: Database, job: Job) -> bytes:
    """Its chain made anew from what is stored."""
    stored = AllStreams(database).of_job(EventKey(job.id, 0), 1_000).events
    return links(GENESIS, job.id, [(each.version, each.topic, each.state) for each in stored])[-1]


def keys(database: Database, after: EventKey | None = None) -> list[EventKey]:
    return [each.key for each in AllStreams(database).after(after, 10_000).events]


def test_all_of_a_job_goes_but_its_tombstone(scene: Scene) -> None:
    gone, kept = scene.completed(), scene.completed()
    scene.store.take_snapshot(gone)
    other = rows_of(scene.store.database, kept.id)
    scene.store.execute("Default", gone.id, lambda _: RemoveJob(), OPERATOR, command_id="c-1")
    removed = scene.store.load(gone.id)
    head = head_of(scene.store.database, removed)
    scene.surroundings.wait(60)
    only_removed = rule(scene, S.REMOVED)

    done = Pruning(scene.store.database, scene.surroundings).prune(only_removed, OPERATOR, limit=10)

    assert done == Pruned((Prunable("import", "Removed", 1, removed.version),), more=False)
    assert rows_of(scene.store.database, gone.id) == {}
    assert rows_of(scene.store.database, kept.id) == other
    with pytest.raises(JobPruned) as refused:
        JobQueries(scene.store.database).job("Default", str(gone.id))
    told = refused.value.tombstone
    assert told.head == head.hex()
    assert (told.status, told.versions, told.actor, told.reason) == (
        "Removed",
        removed.version,
        "ada@engine",
        "because",
    )
    assert "was pruned at 2026-01-02T03:05:05" in str(refused.value)


def test_what_would_go_is_told_and_nothing_is_changed(scene: Scene, pruner: Pruning) -> None:
    job = scene.completed()
    scene.surroundings.wait(60)

    assert pruner.meant(rule(scene)) == (Prunable("import", "CompletedSuccessfully", 1, job.version),)
    assert pruner.ids(rule(scene), 10) == [str(job.id)]
    assert scene.store.load(job.id) == job


def test_a_job_that_may_go_on_is_left_alone(scene: Scene) -> None:
    waits, runs, stopped = scene.start(), scene.running(), scene.running()
    scene.store.execute("Default", stopped.id, lambda _: StopJob(worker_alive=False), OPERATOR)

    assert prune(scene) == Pruned((), more=False)
    assert all(rows_of(scene.store.database, job.id) for job in (waits, runs, stopped))


def test_a_job_that_was_stopped_and_removed_goes_by_the_time_of_its_removal(scene: Scene, pruner: Pruning) -> None:
    job = scene.running()
    scene.store.execute("Default", job.id, lambda _: StopJob(worker_alive=False), OPERATOR)
    scene.surroundings.wait(3600)
    scene.store.execute("Default", job.id, lambda _: RemoveJob(), OPERATOR)
    an_hour_ago = PruneRule("Default", scene.surroundings.now() - timedelta(minutes=30))
    assert pruner.meant(an_hour_ago) == ()

    assert [each.status for each in prune(scene).found] == ["Removed"]


def test_only_jobs_that_ended_before_the_time_go(scene: Scene, pruner: Pruning) -> None:
    old = scene.completed()
    scene.surroundings.wait(3600)
    scene.completed()

    before = PruneRule("Default", scene.surroundings.now() - timedelta(minutes=30))
    assert pruner.ids(before, 10) == [str(old.id)]


def test_of_each_type_the_newest_stay(scene: Scene, pruner: Pruning) -> None:
    ids = [str(scene.completed().id) for _ in range(4)]
    scene.surroundings.wait(60)

    assert pruner.ids(rule(scene, keep=3), 10) == ids[:1]
    assert pruner.ids(rule(scene, keep=4), 10) == []
    assert pruner.ids(rule(scene, keep=1, types=("export",)), 10) == []


def test_a_job_of_another_namespace_stays(scene: Scene, pruner: Pruning) -> None:
    job = scene.completed()
    scene.surroundings.wait(60)

    elsewhere = PruneRule("Elsewhere", scene.surroundings.now())
    assert pruner.prune(elsewhere, OPERATOR, limit=10) == Pruned((), more=False)
    everywhere = PruneRule(None, scene.surroundings.now())
    assert pruner.ids(everywhere, 10) == [str(job.id)]


def test_the_oldest_go_first_and_it_is_told_that_there_is_more(scene: Scene) -> None:
    first, second = scene.completed(), scene.completed()

    assert prune(scene, limit=1).more
    assert rows_of(scene.store.database, first.id) == {}
    assert rows_of(scene.store.database, second.id)
    assert not prune(scene, limit=1).more


class Meanwhile:
    """Something happens once, between two batches."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens = happens

    def __call__(self, _seconds: float) -> None:
        happens, self.happens = self.happens, lambda: None
        happens()


def test_a_job_that_went_on_after_it_was_seen_is_left_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "JOBS_AT_ONCE", 1)
    first, second = scene.completed(), scene.completed()
    scene.surroundings.wait(60)
    at = rule(scene)
    meanwhile = Meanwhile(lambda: scene.store.execute("Default", second.id, lambda _: RemoveJob(), OPERATOR))

    done = Pruning(scene.store.database, scene.surroundings, meanwhile).prune(at, OPERATOR, limit=10)

    assert done.found == (Prunable("import", "CompletedSuccessfully", 1, first.version),)
    assert scene.store.load(second.id).status is S.REMOVED


class BrokenOff(Exception):
    """The process was killed, say."""


def broken_off() -> None:
    raise BrokenOff


def test_a_large_job_goes_in_parts_and_what_was_broken_off_is_finished(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "EVENTS_AT_ONCE", 3)
    job = scene.running(steps=8)
    job = scene.do(scene.succeed(job, *range(8)), CompleteJob(job.claim))
    scene.surroundings.wait(60)
    at = rule(scene)
    with pytest.raises(BrokenOff):
        Pruning(scene.store.database, scene.surroundings, Meanwhile(broken_off)).prune(at, OPERATOR, limit=10)
    left = rows_of(scene.store.database, job.id)
    assert left[EVENTS_TABLE] == job.version
    assert set(left) == {EVENTS_TABLE, "milepost_steps"}

    # Nobody sees it, and nobody can go on with it.
    with pytest.raises(JobPruned):
        scene.store.execute("Default", job.id, lambda _: RemoveJob(), OPERATOR)
    with pytest.raises(JobPruned):
        JobQueries(scene.store.database).resolve("Default", str(job.id)[:30])
    assert keys(scene.store.database) == []

    prune(scene)
    assert rows_of(scene.store.database, job.id) == {}
    with scene.store.database.read() as connection:
        assert connection.scalars(sa.select(tombstones.c.remaining)).all() == [0]


@pytest.mark.parametrize("broken_off_at", [1, 3, 5])
def test_a_large_job_that_another_one_finished_and_imported_again_is_left_alone(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_off_at: int
) -> None:
    monkeypatch.setattr(pruning, "EVENTS_AT_ONCE", 3)
    job = scene.running(steps=8)
    job = scene.do(scene.succeed(job, *range(8)), CompleteJob(job.claim))
    database, file = scene.store.database, tmp_path / "kept.jsonl"
    export(database, file, event_store="default", namespace="Default", meant=[str(job.id)])
    scene.surroundings.wait(60)

    def brought_back() -> None:
        Pruning(database, scene.surroundings, lambda _: None).finish()
        [fate] = Importer(database, scene.surroundings, live=False).run(ExportFile(file))
        assert fate.fate == "imported"

    pauses = iter(range(1, 1_000))
    frozen = Pruning(database, scene.surroundings, lambda _: brought_back() if next(pauses) == broken_off_at else None)
    frozen.prune(rule(scene), OPERATOR, limit=10)

    assert scene.store.load(job.id) == job
    assert len(list(scene.store.history(job.id))) == job.version
    assert rows_of(database, job.id)["milepost_steps"] == 8


def test_a_worker_that_was_frozen_until_its_job_was_pruned_can_append_nothing(scene: Scene) -> None:
    seen = scene.running()
    job = scene.succeed(seen, 0, 1, 2)
    scene.do(job, CompleteJob(job.claim))
    prune(scene)

    with pytest.raises(StreamMoved):
        scene.succeed(seen, 0)
    assert rows_of(scene.store.database, job.id) == {}


def test_a_command_on_a_pruned_job_says_that_it_was_pruned(scene: Scene) -> None:
    job = scene.completed()
    prune(scene)

    with pytest.raises(JobPruned, match="was pruned"):
        scene.store.execute("Default", job.id, lambda _: RemoveJob(), OPERATOR)
    with pytest.raises(JobNotFound) as elsewhere:
        scene.store.execute("Elsewhere", job.id, lambda _: RemoveJob(), OPERATOR)
    assert not isinstance(elsewhere.value, JobPruned)


def test_an_id_that_begins_as_a_pruned_one_says_so_unless_a_job_has_it(scene: Scene) -> None:
    job = scene.completed()
    prune(scene)
    queries = JobQueries(scene.store.database)

    with pytest.raises(JobPruned):
        queries.resolve("Default", str(job.id)[:8])
    with pytest.raises(JobNotFound) as elsewhere:
        queries.resolve("Elsewhere", str(job.id)[:8])
    assert not isinstance(elsewhere.value, JobPruned)
    there = scene.start()
    assert queries.resolve("Default", str(there.id)[:8]) == str(there.id)


def test_whoever_stood_at_any_pruned_event_goes_on_with_exactly_what_came_after_it(scene: Scene) -> None:
    """Three jobs take turns; whatever is pruned, in whatever order, nobody misses or hears anything twice."""
    for order in permutations(range(3)):
        with scene.store.database.write() as connection:
            connection.exec_driver_sql(f"DELETE FROM {EVENTS_TABLE}")
        first, second, third = scene.running(), scene.running(), scene.running()
        for step in range(3):
            first, second = scene.succeed(first, step), scene.succeed(second, step)
        third = scene.succeed(third, 0)
        first, second = (scene.do(job, CompleteJob(job.claim)) for job in (first, second))
        third = scene.succeed(third, 1, 2)
        third = scene.do(third, CompleteJob(third.claim))
        before = keys(scene.store.database)
        for job in (
            job for _, job in sorted(zip(order, (first, second, third), strict=True), key=lambda each: each[0])
        ):
            scene.surroundings.wait(60)
            scene.store.execute("Default", job.id, lambda _: RemoveJob(), OPERATOR)
            before = [*before, *keys(scene.store.database, before[-1])]
            Pruning(scene.store.database, scene.surroundings).prune(
                PruneRule("Default", scene.surroundings.now() + timedelta(seconds=1), (S.REMOVED,)), OPERATOR, limit=10
            )
            there = set(keys(scene.store.database))
            for place, key in enumerate(before):
                expected = [each for each in before[place + 1 :] if each in there]
                assert keys(scene.store.database, key) == expected
                assert AllStreams(scene.store.database).namespace_of(key) == "Default"


def test_a_page_that_finds_nothing_ends_at_an_event_that_is_there(scene: Scene) -> None:
    kept, gone = scene.start(), scene.completed()
    prune(scene)
    streams = AllStreams(scene.store.database)

    page = streams.after(EventKey(gone.id, gone.version), 10)

    assert page.last == streams.newest() == EventKey(kept.id, 1)
    assert streams.after(EventKey(gone.id, gone.version), 10, until=EventKey(gone.id, gone.version)).events == []


def test_a_place_that_never_was_is_gone_still(scene: Scene) -> None:
    job = scene.completed()
    prune(scene)

    for key in (EventKey(job.id, job.version + 1), EventKey(job.id, 0), EventKey(UUID(int=7), 1)):
        with pytest.raises(PlaceGone):
            AllStreams(scene.store.database).after(key, 10)


def test_where_places_are_too_many_events_come_again_and_none_is_missed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PLACES_MOST", 2)
    one, other = scene.running(), scene.running()
    for step in range(3):
        one, other = scene.succeed(one, step), scene.succeed(other, step)
    one = scene.do(one, CompleteJob(one.claim))
    before = keys(scene.store.database)

    prune(scene)

    for place, key in enumerate(before):
        expected = [each for each in before[place + 1 :] if each.job_id == other.id]
        assert keys(scene.store.database, key)[-len(expected) or 10_000 :] == expected


def test_steps_that_never_ran_count_in_what_goes_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was cancelled as soon as it was planned has few events, and may have 100,000 steps."""
    monkeypatch.setattr(pruning, "EVENTS_AT_ONCE", 12)
    ids = [scene.running(steps=30).id for _ in range(2)]
    for job_id in ids:
        scene.store.execute("Default", job_id, lambda _: CancelJob(worker_alive=False), OPERATOR)
    scene.surroundings.wait(60)
    there: list[int] = []

    def paused(_seconds: float) -> None:
        with scene.store.database.read() as connection:
            there.append(connection.scalar(sa.select(sa.func.count()).select_from(steps)) or 0)

    Pruning(scene.store.database, scene.surroundings, paused).prune(rule(scene), OPERATOR, limit=10)

    assert all(before - after <= 12 for before, after in pairwise([60, *there]))
    assert [rows_of(scene.store.database, job_id) for job_id in ids] == [{}, {}]
