"""How tables come to be, become newer ones, and are left alone when they are not ours."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
from sqlalchemy.exc import OperationalError

from milepost.infrastructure.event_store import schema
from milepost.infrastructure.event_store.database import CannotOpenDatabase, open_database
from milepost.infrastructure.event_store.schema import EVENTS_TABLE
from milepost.infrastructure.event_store.store import ClaimOffer, JobStore, Wanted
from tests.infrastructure.event_store.scene import WORKER, Scene, Surroundings
from tests.stores import url_of

NOW, NEXT = schema.VERSION, schema.VERSION + 1
OLDEST = Path(__file__).with_name("schema_1.sql")  # as the first version of the tables was, with two jobs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def opened(path: Path) -> Scene:
    return Scene(JobStore(open_database(f"sqlite:///{path}"), Surroundings()), Surroundings())


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    connection.close()
    return names


def test_every_table_carries_the_prefix(path: Path) -> None:
    opened(path)

    assert {name for name in tables(path) if not name.startswith("milepost_")} == set()
    assert "milepost_events" in tables(path)


def test_a_database_is_opened_again_with_what_is_in_it(path: Path) -> None:
    job = opened(path).start()

    assert opened(path).store.load(job.id) == job


def test_opening_a_prepared_database_writes_nothing(path: Path) -> None:
    opened(path)
    watcher = open_database(f"sqlite:///{path}")
    marker = watcher.change_marker()

    opened(path)

    assert watcher.change_marker() == marker


def test_a_database_of_a_newer_milepost_is_left_alone(path: Path) -> None:
    opened(path)
    execute(path, f"INSERT INTO milepost_schema VALUES ({NEXT})")

    with pytest.raises(CannotOpenDatabase, match=rf"newer Milepost \(schema {NEXT}; this one knows {NOW}\). Upgrade"):
        opened(path)


def test_a_database_of_an_older_milepost_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = opened(path).start()
    monkeypatch.setattr(schema, "VERSION", NEXT + 1)
    monkeypatch.setattr(schema, "MIGRATIONS", {NOW: add("origin"), NEXT: add("weight")})

    scene = opened(path)

    assert scene.store.load(job.id) == job
    assert query(path, "SELECT version FROM milepost_schema") == [(NOW,), (NEXT,), (NEXT + 1,)]
    assert query(path, "SELECT origin, weight FROM milepost_leases") == []


def test_what_the_first_milepost_wrote_is_read_and_gone_on_with(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(OLDEST.read_text())
    connection.close()

    scene = opened(path)

    waiting = UUID("01a20ed9-903d-71f3-8daf-6d9ac78d511a")
    assert scene.store.load(waiting).facts.queue == "default"
    claimed = scene.store.claim(Wanted("w1", {"self-test": ClaimOffer()}), 10, WORKER)
    assert claimed is not None
    assert claimed.id == waiting
    fresh = path.with_name("fresh.sqlite")
    opened(fresh)
    assert columns(path) == columns(fresh)


@pytest.mark.parametrize("kind", ["file", "server"])
def test_a_store_of_version_2_gets_tokens_and_webhooks_and_keeps_its_jobs(kind: str, tmp_path: Path) -> None:
    url = url_of(kind, tmp_path)
    older = open_database(url)
    job = Scene(JobStore(older, Surroundings()), Surroundings()).start()
    with older.write() as connection:
        for table in (schema.tokens, schema.webhooks, *schema.OBSERVER_TABLES, schema.tombstones, schema.retention):
            table.drop(connection)
        schema.COMMANDS_BY_JOB.drop(connection)
        connection.exec_driver_sql(f"ALTER TABLE {EVENTS_TABLE} DROP COLUMN chain")
        connection.execute(schema.schema.update().values(version=2))
    older.close()

    database = open_database(url)
    store = JobStore(database, Surroundings())

    assert store.load(job.id) == job
    with database.write() as connection:
        schema.try_to_write(connection)
        found = {each["name"] for each in sa.inspect(connection).get_columns("milepost_webhooks")}
    assert found == set(schema.webhooks.c.keys())
    assert schema.version_of(database) == NOW
    database.close()


def columns(path: Path) -> dict[str, set[str]]:
    """Of each table and index."""
    named = "SELECT name FROM sqlite_master WHERE type IN ('table', 'index')"
    return {
        name: {str(row[0]) for row in query(path, f"SELECT name FROM pragma_{what}('{name}')")}
        for (name,) in query(path, named)
        for what in ["index_info" if "sqlite_autoindex" in name or "_by_" in name or "_to_" in name else "table_info"]
    }


def test_a_migration_that_fails_leaves_the_database_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(path)
    monkeypatch.setattr(schema, "VERSION", NEXT + 1)
    monkeypatch.setattr(schema, "MIGRATIONS", {NOW: add("origin"), NEXT: add("origin")})

    with pytest.raises(OperationalError, match="duplicate column"):
        opened(path)
    assert query(path, "SELECT version FROM milepost_schema") == [(NOW,)]
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        query(path, "SELECT origin FROM milepost_leases")


def test_a_version_that_no_way_leads_from_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(path)
    monkeypatch.setattr(schema, "VERSION", NEXT)

    with pytest.raises(CannotOpenDatabase, match=f"no way leads from its schema {NOW} to {NEXT}"):
        opened(path)


def test_tables_of_that_name_that_are_not_ours_are_left_alone(path: Path) -> None:
    execute(path, "CREATE TABLE milepost_jobs (mine TEXT)")

    with pytest.raises(CannotOpenDatabase, match="milepost_jobs"):
        opened(path)
    assert tables(path) == {"milepost_jobs"}


def test_the_tables_are_those_of_the_definition_when_read_back(path: Path) -> None:
    opened(path)

    engine = sa.create_engine(f"sqlite:///{path}")
    found = sa.MetaData()
    found.reflect(engine)
    engine.dispose()
    for table in schema.metadata.tables.values():
        assert found.tables[table.name].columns.keys() == table.columns.keys()
        assert {index.name for index in found.tables[table.name].indexes} == {index.name for index in table.indexes}


@pytest.mark.parametrize("kind", ["file", "server"])
def test_an_index_of_few_rows_among_many_has_those_alone(kind: str, tmp_path: Path) -> None:
    database = open_database(url_of(kind, tmp_path))
    Scene(JobStore(database, Surroundings()), Surroundings())
    option = {"file": "sqlite_where", "server": "postgresql_where"}[kind]

    with database.read() as connection:
        inspector = sa.inspect(connection)
        found = {
            index["name"]: str(options[option])
            for table in (schema.tombstones, schema.observer_partitions)
            for index in inspector.get_indexes(table.name)
            if option in (options := index.get("dialect_options", {}))
        }
    database.close()

    assert found.keys() == {schema.TO_FINISH.name, schema.HELD_BY_KEY.name}
    assert "remaining > 0" in found[str(schema.TO_FINISH.name)]
    assert "status IS NOT NULL" in found[str(schema.HELD_BY_KEY.name)]


def test_an_applications_own_events_in_the_same_file_are_never_mixed_with_ours(path: Path) -> None:
    scene = opened(path)
    datastore = SQLiteDatastore(str(path))
    application = SQLiteApplicationRecorder(datastore)
    application.create_table()
    aggregate = uuid4()
    application.insert_events([StoredEvent(aggregate, 1, "app:Landed", b"{}")])
    job = scene.start()

    ours = SQLiteApplicationRecorder(datastore, events_table_name=EVENTS_TABLE)
    assert [each.originator_id for each in ours.select_notifications(1, 10)] == [job.id]
    assert [each.originator_id for each in application.select_notifications(1, 10)] == [aggregate]
    assert scene.store.load(aggregate).version == 0
    datastore.close()


def test_the_log_is_what_the_librarys_own_recorder_reads(path: Path) -> None:
    job = opened(path).running()
    datastore = SQLiteDatastore(str(path))
    recorder = SQLiteApplicationRecorder(datastore, events_table_name=EVENTS_TABLE)

    assert [each.originator_version for each in recorder.select_events(job.id)] == list(range(1, job.version + 1))
    assert recorder.max_notification_id() == job.version
    datastore.close()


def add(column: str) -> Callable[[sa.Connection], None]:
    def migrate(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"ALTER TABLE milepost_leases ADD COLUMN {column} TEXT")

    return migrate


def execute(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()
