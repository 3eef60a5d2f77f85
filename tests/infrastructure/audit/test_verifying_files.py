"""What only a file can come to hold: bytes that are no text, ids that are none, and what an older Milepost wrote."""

import sqlite3
from pathlib import Path

import pytest

from milepost.infrastructure.audit.differences import Kind
from milepost.infrastructure.audit.verifying import Verifier
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.audit.stored import EVENT, tamper
from tests.infrastructure.event_store.scene import Scene, Surroundings

OLDEST = Path(__file__).parents[1] / "event_store" / "schema_1.sql"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.sqlite'}"


def test_a_byte_that_is_no_text_any_more_is_found_in_its_row(scene: Scene) -> None:
    first, second = scene.completed(), scene.completed()
    tamper(
        scene.store.database,
        "UPDATE milepost_status_changes SET actor = CAST(x'6164ff' AS TEXT) WHERE job_id=? AND version=1",
        str(first.id),
    )
    tamper(scene.store.database, "UPDATE milepost_jobs SET total=9 WHERE id=?", str(second.id))

    found = list(Verifier(scene.store.database).all())

    assert [(each.table, each.column, each.job_id) for each in found] == [
        ("milepost_status_changes", "actor", str(first.id)),
        ("milepost_jobs", "total", str(second.id)),
    ]
    assert found[0].found == r"ad\udcff"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("topic", value) for value in ("CAST(x'6164ff' AS TEXT)", "NULL", "7")),
        *(("state", value) for value in ("NULL", "7", "''", "'text'")),
    ],
)
def test_a_topic_or_a_state_that_is_none_is_found(scene: Scene, column: str, value: str) -> None:
    job = scene.completed()
    tamper(scene.store.database, f"UPDATE milepost_events SET {column} = {value} WHERE {EVENT}", job.id.hex, 3)

    (found,) = Verifier(scene.store.database).all()

    assert (found.kind, found.version, found.column) == (Kind.EVENT_CHANGED, 3, column)


@pytest.mark.parametrize("version", ["'three'", "2.5", "-3"])
def test_a_version_that_is_no_place_in_a_stream_is_found(scene: Scene, version: str) -> None:
    job = scene.completed()
    tamper(
        scene.store.database,
        f"UPDATE milepost_events SET originator_version = {version} WHERE originator_id=? AND originator_version=3",
        job.id.hex,
    )

    (found,) = Verifier(scene.store.database).all()

    assert found.kind is Kind.EVENT_MISSING


def test_events_of_no_job_are_told_once_and_hide_no_job(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from milepost.infrastructure.audit import verifying

    jobs = [scene.completed() for _ in range(3)]
    for forged in ("!", "zz", jobs[1].id.hex.upper(), str(jobs[1].id)):
        tamper(
            scene.store.database,
            "INSERT INTO milepost_events SELECT ?, originator_version, topic, state, chain FROM milepost_events"
            " WHERE originator_id=?",
            forged,
            jobs[0].id.hex,
        )
    monkeypatch.setattr(verifying, "EVENTS_OF_A_READ", 1)
    verifier = Verifier(scene.store.database)

    found = list(verifier.all())

    assert {each.kind for each in found} == {Kind.ID_INVALID}
    assert sorted(each.job_id for each in found) == sorted({"!", "zz", jobs[1].id.hex.upper(), str(jobs[1].id)})
    assert verifier.tally.jobs == 3


def test_what_the_first_milepost_wrote_does_not_differ(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        connection.executescript(OLDEST.read_text())
    connection.close()
    database = open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    JobStore(database, Surroundings())
    verifier = Verifier(database)

    assert list(verifier.all()) == []
    assert verifier.tally.jobs == 2
    database.close()


def test_a_database_in_memory_is_verified_too() -> None:
    database: Database = open_database("sqlite://")
    surroundings = Surroundings()
    Scene(JobStore(database, surroundings), surroundings).completed()

    assert list(Verifier(database).all()) == []
    database.close()
