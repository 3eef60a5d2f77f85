"""Rows are made what follows from the events again, whatever was done to them, and nothing else is touched."""

import threading
from functools import partial
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.domain.commands import StartStep
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.audit import rebuilding, walking
from milepost.infrastructure.audit.orphans import remove_orphans
from milepost.infrastructure.audit.rebuilding import Comparison, compare, mend
from milepost.infrastructure.audit.verifying import Verifier
from milepost.infrastructure.audit.walking import Span, one, part
from milepost.infrastructure.event_store import schema, snapshots
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.audit.damage import damage
from tests.infrastructure.audit.pruned import forge_tombstone, half_pruned
from tests.infrastructure.audit.stored import tamper
from tests.infrastructure.event_store.scene import Scene, Surroundings
from tests.length import FULL
from tests.postgres import fresh_url

EVERYTHING = [*schema.metadata.sorted_tables]


def compared(
    database: Database, *, trust_history: bool = False, live: bool = True, namespace: str = "Default"
) -> list[Comparison]:
    found: list[Comparison] = []
    after: str | None = ""
    while after is not None:
        look = partial(compare, trust_history=trust_history, live=live)
        seen = part(database, namespace, Span(after), look)
        found, after = found + seen.seen, seen.last
    return found


def rebuild(database: Database, *, trust_history: bool = False, namespace: str = "Default") -> int:
    """How many rows were written."""
    found = compared(database, trust_history=trust_history, namespace=namespace)
    rows = sum(mend(database, each) for each in found if each.mends)
    return rows + (remove_orphans(database, "", None) if trust_history else 0)


def contents(database: Database) -> dict[str, list[Any]]:
    with database.read() as connection:
        kept = {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
            for table in EVERYTHING
        }
        events = connection.exec_driver_sql("SELECT * FROM milepost_events ORDER BY 1, 2").all()
    return kept | {"events": [tuple(row) for row in events]}


def differing(database: Database) -> list[str]:
    return [each.message for each in Verifier(database).all()]


@pytest.fixture
def job(scene: Scene) -> Job:
    scene.completed()
    job = scene.succeed(scene.running(steps=3), 0)
    scene.stop(scene.start().id)
    return job


DAMAGES = {
    "a column of a job": "UPDATE milepost_jobs SET total = 77, error = 'x', worker = NULL WHERE id=?",
    "a job's status": "UPDATE milepost_jobs SET status = 'Failed', live = NOT live WHERE id=?",
    "a job's namespace": "UPDATE milepost_jobs SET namespace = 'elsewhere' WHERE id=?",
    "a job's version": "UPDATE milepost_jobs SET version = version + 3 WHERE id=?",
    "a job's row": "DELETE FROM milepost_jobs WHERE id=?",
    "a step": "UPDATE milepost_steps SET status = 'Failed', errors = '[]', name = 'ß' WHERE job_id=? AND step=1",
    "all steps": "DELETE FROM milepost_steps WHERE job_id=?",
    "a step's place": "UPDATE milepost_steps SET step = 9 WHERE job_id=? AND step=1",
    "a change": "UPDATE milepost_status_changes SET actor = 'eve' WHERE job_id=? AND version=1",
    "all changes": "DELETE FROM milepost_status_changes WHERE job_id=?",
    "an invented change": "INSERT INTO milepost_status_changes"
    " SELECT job_id, 2, status, occurred, 'eve', source, reason FROM milepost_status_changes"
    " WHERE job_id=? AND version=1",
}


@pytest.mark.parametrize("what", [*DAMAGES])
def test_what_was_damaged_is_as_it_was(scene: Scene, job: Job, what: str) -> None:
    database, before = scene.store.database, contents(scene.store.database)
    if what == "an invented change":
        tamper(database, "DELETE FROM milepost_status_changes WHERE job_id=? AND version=2", str(job.id))
    tamper(database, DAMAGES[what], str(job.id))
    assert differing(database)

    rebuild(database)

    assert contents(database) == before
    assert differing(database) == []


def test_what_is_right_is_not_written(scene: Scene, job: Job) -> None:
    assert not any(each.mends or each.refused for each in compared(scene.store.database))


def test_only_rows_that_differ_are_written(scene: Scene, job: Job) -> None:
    tamper(scene.store.database, "UPDATE milepost_steps SET attempt = 7 WHERE job_id=? AND step=1", str(job.id))

    (found,) = [each for each in compared(scene.store.database) if each.mends]

    assert found.wrong == [(schema.steps, 1)]


def test_a_job_of_which_the_lists_know_more_than_there_is_keeps_its_rows(scene: Scene, job: Job) -> None:
    database = scene.store.database
    where = "originator_id=? AND originator_version=?"
    tamper(database, f"DELETE FROM milepost_events WHERE {where}", job.id.hex, job.version)
    before = contents(database)

    assert rebuild(database) == 0
    assert [f"knows of version {job.version}" in each.refused for each in compared(database) if each.refused] == [True]
    assert contents(database) == before

    assert rebuild(database, trust_history=True) > 0
    assert differing(database) == []


def test_a_job_whose_end_was_removed_is_live_again_only_where_that_is_meant(scene: Scene) -> None:
    job, database = scene.completed(), scene.store.database
    where = "originator_id=? AND originator_version=?"
    tamper(database, f"DELETE FROM milepost_events WHERE {where}", job.id.hex, job.version)

    (found,) = compared(database, trust_history=True, live=False)

    assert found.refused == (
        f"The events that are left of job {job.id} say that it is Running: a worker would go on with it"
    )
    assert rebuild(database, trust_history=True) > 0
    assert differing(database) == []
    assert scene.store.load(job.id).status is JobStatus.RUNNING


def test_a_job_whose_history_was_changed_keeps_its_rows(scene: Scene, job: Job) -> None:
    database = scene.store.database
    tamper(
        database, "UPDATE milepost_events SET state=? WHERE originator_id=? AND originator_version=3", b"{}", job.id.hex
    )
    tamper(database, "UPDATE milepost_jobs SET total = 77")
    for trust_history in (False, True):
        rebuild(database, trust_history=trust_history)

        (found,) = [each for each in compared(database, trust_history=trust_history) if each.refused]
        assert f"Event 3 of job {job.id} is not what was recorded" in found.refused
    with database.read() as connection:
        assert connection.scalar(sa.select(schema.jobs.c.total).where(schema.jobs.c.id == str(job.id))) == 77


@pytest.mark.parametrize(
    "invented", ["0192f0c1-2a3b-7c4d-8e5f-000102030405", "nobody", "019B76DA-A803-7893-923F-0824128B2F33", "0"]
)
def test_a_job_that_was_invented_is_removed_where_the_histories_are_trusted(
    scene: Scene, job: Job, invented: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "JOBS_OF_A_READ", 1)
    database, before = scene.store.database, contents(scene.store.database)
    for table in (schema.jobs, schema.steps, schema.status_changes):
        key = next(iter(table.primary_key)).name
        columns = ", ".join(f'"{column.name}"' for column in table.c if column.name != key)
        tamper(database, f"INSERT INTO {table.name} ({key}, {columns})"
               f" SELECT ?, {columns} FROM {table.name} WHERE {key}=?", invented, str(job.id))  # fmt: skip

    assert rebuild(database) == 0
    rebuild(database, trust_history=True)

    assert contents(database) == before


def test_rows_whose_job_is_nowhere_are_removed_where_the_histories_are_trusted(
    scene: Scene, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milepost.infrastructure.audit.orphans.ROWS_AT_ONCE", 2)
    database, before = scene.store.database, contents(scene.store.database)
    for table in ("milepost_steps", "milepost_status_changes"):
        column = "step" if table == "milepost_steps" else "version"
        columns = (
            "name, arguments, status, attempt, seconds"
            if column == "step"
            else "status, occurred, actor, source, reason"
        )
        tamper(database, f"INSERT INTO {table} (job_id, {column}, {columns}) SELECT ?, {column}, {columns} FROM {table}"
               " WHERE job_id=?", str(uuid4()), str(job.id))  # fmt: skip

    rebuild(database, trust_history=True)

    assert contents(database) == before


def test_a_fold_that_was_kept_and_is_wrong_is_dropped_and_one_that_is_right_is_not(scene: Scene, job: Job) -> None:
    database = scene.store.database
    other = scene.completed()
    for each in (job, other):
        scene.store.take_snapshot(scene.store.load(each.id))
    with database.write() as connection:
        wrong = snapshots.packed(scene.store.load(other.id))
        connection.execute(
            schema.snapshots.update().where(schema.snapshots.c.job_id == str(job.id)).values(state=wrong)
        )

    rebuild(database)

    assert [scene.store.snapshot_version(each.id) for each in (job, other)] == [0, other.version]
    assert scene.store.load(job.id).total == 3


def test_a_job_goes_on_while_its_rows_are_written(scene: Scene, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "ROWS_AT_ONCE", 1)
    database = scene.store.database
    tamper(database, "DELETE FROM milepost_steps WHERE job_id=?", str(job.id))
    tamper(database, "UPDATE milepost_status_changes SET reason = 'x' WHERE job_id=?", str(job.id))
    (found,) = [each for each in compared(database) if each.mends]

    job = scene.do(job, StartStep(job.claim, 1))
    scene.stop(job.id)
    mend(database, found)

    assert differing(database) == []


def test_a_change_that_was_invented_where_the_next_one_comes_gives_way(scene: Scene, job: Job) -> None:
    database = scene.store.database
    tamper(database, "INSERT INTO milepost_status_changes SELECT job_id, ?, status, occurred, actor, source, reason"
           " FROM milepost_status_changes WHERE job_id=? AND version=1", job.version + 1, str(job.id))  # fmt: skip

    rebuild(database)
    scene.stop(job.id)

    assert differing(database) == []


def test_jobs_are_rebuilt_beside_those_who_write(scene: Scene, job: Job) -> None:
    database, over = scene.store.database, threading.Event()
    worked_on = [scene.running(steps=25) for _ in range(2)]

    def work() -> None:
        mine = Scene(JobStore(database, Surroundings()), Surroundings())
        for each in worked_on:
            mine.succeed(each, *range(25))
        over.set()

    worker, random, ours = threading.Thread(target=work), Random(1), [str(each.id) for each in worked_on]
    worker.start()
    while not over.is_set():
        wanted = random.choice(ours)
        tamper(
            database,
            "UPDATE milepost_steps SET name = 'eve', seconds = 99 WHERE job_id=? AND step=?",
            wanted,
            random.randrange(25),
        )
        tamper(database, "UPDATE milepost_jobs SET items = 99, total = 1 WHERE id=?", wanted)
        rebuild(database)
    worker.join()
    rebuild(database)

    assert differing(database) == []


def test_a_job_of_another_namespace_is_neither_read_nor_written(scene: Scene, job: Job) -> None:
    database, other = scene.store.database, scene.start(namespace="other")
    tamper(database, "UPDATE milepost_jobs SET total = 77")

    rebuild(database, namespace="other")

    assert [each.job_id for each in compared(database, namespace="other")] == [str(other.id)]
    assert len(differing(database)) == 3
    assert one(database, "other", job.id, partial(compare, trust_history=True)) == []


def test_a_job_that_was_moved_to_another_namespace_is_found_by_both_and_goes_back(scene: Scene, job: Job) -> None:
    database = scene.store.database
    before = contents(database)
    for namespace in ("Default", "other"):
        tamper(database, "UPDATE milepost_jobs SET namespace = 'other' WHERE id=?", str(job.id))

        assert rebuild(database, namespace=namespace) == 1
        assert contents(database) == before


class Healed:
    """A store with a few jobs that is damaged and rebuilt."""

    def __init__(self, url: str, seed: int) -> None:
        self.random = Random(seed)
        surroundings = Surroundings()
        scene = Scene(JobStore(open_database(url), surroundings), surroundings)
        self.database = scene.store.database
        for _ in range(self.random.randrange(1, 4)):
            scene.completed()
            self._some(scene)

    def _some(self, scene: Scene) -> None:
        job = scene.running(steps=self.random.randrange(1, 5))
        job = scene.succeed(job, *range(self.random.randrange(job.total + 1)))
        if self.random.random() < 0.5:
            scene.stop(job.id)
        if self.random.random() < 0.5:
            scene.store.take_snapshot(scene.store.load(job.id))


def heal(url: str, seed: int, damages: int) -> None:
    healed = Healed(url, seed)
    try:
        before = contents(healed.database)
        for _ in range(damages):
            damage(healed.database, healed.random)

        rebuild(healed.database, trust_history=True)

        after = contents(healed.database)
        caches: dict[str, list[Any]] = {"milepost_snapshots": []}  # those of rebuilt jobs are dropped
        assert after | caches == before | caches
        assert set(after["milepost_snapshots"]) <= set(before["milepost_snapshots"])
        assert differing(healed.database) == []
    finally:
        healed.database.close()


@settings(max_examples=60 if FULL else 25, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_any_damage_to_rows_is_healed_and_nothing_else_is_changed(seed: int, damages: int) -> None:
    heal("sqlite://", seed, damages)


@settings(max_examples=6 if FULL else 3, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_any_damage_is_healed_also_on_a_server(seed: int, damages: int) -> None:
    heal(fresh_url(), seed, damages)


def test_an_id_of_which_nothing_is_stored_has_nothing_to_compare(scene: Scene) -> None:
    assert one(scene.store.database, "Default", UUID(int=7), partial(compare, trust_history=False)) == []


def test_of_long_jobs_no_more_are_kept_than_a_read_may_take(
    scene: Scene, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "EVENTS_OF_A_READ", 1)
    tamper(scene.store.database, "UPDATE milepost_jobs SET total = 77 WHERE id=?", str(job.id))
    look, parts, after = partial(compare, trust_history=False), list[list[Comparison]](), ""

    while (found := part(scene.store.database, "Default", Span(after), look)).last is not None:
        parts.append(found.seen)
        after = found.last

    assert [len(each) for each in parts] == [1, 1, 1]
    folds = {each.job_id: each.fold is not None for (each,) in parts}
    assert folds == {job_id: job_id == str(job.id) for job_id in folds}
    assert all(each.events for (each,) in parts)


@pytest.mark.parametrize("remaining", [0, 2])
def test_a_job_with_a_tombstone_that_no_prune_left_keeps_its_rows_and_is_named(
    scene: Scene, job: Job, remaining: int
) -> None:
    database = scene.store.database
    forge_tombstone(database, job, remaining=remaining)
    tamper(database, "UPDATE milepost_jobs SET total = 77 WHERE id=?", str(job.id))

    for trust_history in (False, True):
        (found,) = [each for each in compared(database, trust_history=trust_history) if each.refused]

        assert (found.job_id, found.mends) == (str(job.id), False)
        assert f"milepost_tombstones says that job {job.id} was pruned" in found.refused


@pytest.mark.parametrize("parts", [0, 2])
def test_what_a_prune_has_left_so_far_is_left_as_it_is(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    half_pruned(scene, monkeypatch, parts)
    database, before = scene.store.database, contents(scene.store.database)

    for trust_history in (False, True):
        assert not any(each.refused for each in compared(database, trust_history=trust_history))
        assert rebuild(database, trust_history=trust_history) == 0

    assert contents(database) == before
