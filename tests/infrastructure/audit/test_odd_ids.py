"""Rows and events whose ids no job can have: each is told once, hides no other job, and stops no audit."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.domain.job import Job
from milepost.infrastructure.audit import chaining, lately, verifying
from milepost.infrastructure.audit.differences import Kind
from milepost.infrastructure.audit.orphans import remove_orphans
from milepost.infrastructure.audit.rebuilding import compare, mend
from milepost.infrastructure.audit.verifying import Verifier
from milepost.infrastructure.audit.walking import Span, part
from milepost.infrastructure.event_store import schema
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.audit.stored import tamper
from tests.infrastructure.event_store.scene import Scene, Surroundings

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SHOWN = (schema.jobs, schema.steps, schema.status_changes)


@pytest.fixture
def job(scene: Scene) -> Job:
    job = scene.succeed(scene.running(steps=2), 0)
    scene.completed()
    return job


def copy_row(database: Database, table: sa.Table, of: Job, to: str) -> None:
    key = next(iter(table.primary_key)).name
    columns = ", ".join(f'"{column.name}"' for column in table.c if column.name != key)
    tamper(database, f"INSERT INTO {table.name} ({key}, {columns}) SELECT ?, {columns} FROM {table.name}"
           f" WHERE {key}=?", to, str(of.id))  # fmt: skip


def rebuild(database: Database) -> None:
    for each in part(database, "Default", Span(), partial(compare, trust_history=True)).seen:
        if each.mends:
            mend(database, each)
    remove_orphans(database, "", None)


def differing(database: Database) -> list[str]:
    return [each.job_id for each in Verifier(database).all()]


@pytest.mark.parametrize("table", SHOWN, ids=lambda each: each.name)
def test_a_read_that_comes_to_a_row_whose_id_is_none_goes_on_behind_it(
    scene: Scene, job: Job, table: sa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "EVENTS_OF_A_READ", 1)
    monkeypatch.setattr(lately, "JOBS_OF_A_READ", 1)
    database, odd = scene.store.database, [f"{job.id}x", f"{job.id}xy"]
    for each in odd:
        copy_row(database, table, job, each)

    assert differing(database) == odd
    assert [each.job_id for each in Verifier(database).since(LONG_AGO)] == odd


def test_a_read_ends_behind_so_many_tombstones(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.infrastructure.audit.pruned import prune

    monkeypatch.setattr(verifying, "JOBS_OF_A_READ", 2)
    for _ in range(5):
        scene.completed()
    prune(scene)
    reads: list[int] = []
    verifier = Verifier(scene.store.database, lambda tally: reads.append(tally.pruned))

    assert list(verifier.all()) == []
    assert reads == [2, 4, 5]


LOOKS_LIKE: dict[str, Callable[[str], str]] = {
    "capital": str.upper,
    "bare": lambda job_id: job_id.replace("-", ""),
    "other dashes": lambda job_id: f"{job_id[:4]}-{job_id[4:]}",
    "braces": lambda job_id: f"{{{job_id}}}",
    "nothing": lambda _: "",
}


@pytest.mark.parametrize("looks", [*LOOKS_LIKE])
def test_a_row_whose_id_looks_like_that_of_a_job_is_told_alone_and_removed(scene: Scene, job: Job, looks: str) -> None:
    database, odd = scene.store.database, LOOKS_LIKE[looks](str(job.id))
    for table in SHOWN:
        copy_row(database, table, job, odd)

    assert differing(database) == [odd]
    assert [each.job_id for each in Verifier(database).since(LONG_AGO)] == [odd]
    rebuild(database)

    assert differing(database) == []


@pytest.mark.parametrize("table", SHOWN, ids=lambda each: each.name)
@pytest.mark.parametrize("looks", ["capital", "bare", "other dashes"])
def test_a_job_whose_row_got_such_an_id_gets_it_back(scene: Scene, job: Job, looks: str, table: sa.Table) -> None:
    database, key = scene.store.database, next(iter(table.primary_key)).name
    tamper(database, f"UPDATE {table.name} SET {key}=? WHERE {key}=?", LOOKS_LIKE[looks](str(job.id)), str(job.id))
    rebuild(database)

    assert differing(database) == []
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.jobs)) == 2


# What follows only SQLite lets be.


@pytest.fixture
def in_a_file(tmp_path: Path) -> Scene:
    surroundings = Surroundings()
    return Scene(JobStore(open_database(f"sqlite:///{tmp_path / 'odd.sqlite'}"), surroundings), surroundings)


@pytest.mark.parametrize("to", ["CAST({} AS BLOB)", "x'ff00'"])
@pytest.mark.parametrize("table", SHOWN, ids=lambda each: each.name)
def test_an_id_that_is_no_text_is_told(in_a_file: Scene, table: sa.Table, to: str) -> None:
    database, job = in_a_file.store.database, in_a_file.running(steps=1)
    key = next(iter(table.primary_key)).name
    tamper(database, f"UPDATE {table.name} SET {key} = {to.format(key)}")

    found = [each for each in Verifier(database).all() if each.kind is Kind.ID_INVALID]
    rebuild(database)

    assert [(each.table, each.column) for each in found] == [(table.name, key)]
    assert str(job.id) not in differing(database)


@pytest.mark.parametrize("to", ["NULL", "''", "x'ff00'", "7"])
def test_events_of_such_an_id_are_told(in_a_file: Scene, to: str) -> None:
    database, job = in_a_file.store.database, in_a_file.start()
    in_a_file.completed()
    tamper(database, f"UPDATE milepost_events SET originator_id = {to} WHERE originator_id=?", job.id.hex)

    assert [each.kind for each in Verifier(database).all()] == [Kind.ROW_UNFOUNDED, Kind.ID_INVALID]
    rebuild(database)
    assert [each.kind for each in Verifier(database).all()] == [Kind.ID_INVALID]


def test_events_of_such_an_id_do_not_keep_a_store_from_being_migrated(in_a_file: Scene) -> None:
    database, job = in_a_file.store.database, in_a_file.start()
    in_a_file.completed()
    tamper(database, "UPDATE milepost_events SET originator_id = 'nobody' WHERE originator_id=?", job.id.hex)
    tamper(database, "UPDATE milepost_events SET chain = NULL")

    with database.write() as connection:
        chaining.chain_all(connection)

    assert [each.kind for each in Verifier(database).all()] == [Kind.ROW_UNFOUNDED, Kind.ID_INVALID]
