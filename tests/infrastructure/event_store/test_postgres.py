"""What is PostgreSQL's own: its locks, its connections, its clock, and what happens when it goes away."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import psycopg
import pytest
import sqlalchemy as sa
from eventsourcing.postgres import PostgresApplicationRecorder
from sqlalchemy import make_url
from sqlalchemy.exc import ProgrammingError

from milepost.domain.commands import PlanSteps, ReportProgress, StartJob, StartStep
from milepost.domain.events import PlannedStep, Progress
from milepost.domain.job import Job
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store import postgres as module
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.database import (
    CannotOpenDatabase,
    DatabaseUnavailable,
    open_database,
)
from milepost.infrastructure.event_store.postgres import PostgresDatabase
from milepost.infrastructure.event_store.postgres_recorder import library_recorder
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, prepare, try_to_write, version_of
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.event_store.streams import Streams
from tests.infrastructure.event_store.scene import OPERATOR, Scene, Surroundings
from tests.postgres import Postgres, fresh_database, fresh_url

Opened = Callable[[str], PostgresDatabase]


@pytest.fixture
def url() -> str:
    return fresh_url()


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens databases, and closes them after the test."""
    databases: list[PostgresDatabase] = []

    def open_one(url: str) -> PostgresDatabase:
        databases.append(PostgresDatabase(url))
        return databases[-1]

    yield open_one
    for database in databases:
        database.close()


@pytest.fixture
def database(url: str, opened: Opened) -> PostgresDatabase:
    return opened(url)


@pytest.fixture
def scene(database: PostgresDatabase) -> Scene:
    surroundings = Surroundings()
    return Scene(JobStore(database, surroundings), surroundings)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """One that may be stopped."""
    server = Postgres()
    yield server
    server.end()


def session(url: str) -> Any:
    """Somebody else's, with nothing of ours in it."""
    known = make_url(url)
    query: dict[str, Any] = {name: str(value) for name, value in known.query.items() if name != "schema"}
    return psycopg.connect(dbname=known.database, user=known.username, autocommit=True, **query)


def role(url: str, name: str, *grants: str, limit: int = -1) -> str:
    """The URL of the same database for a role that has these rights, and so many connections at most."""
    with session(url) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {name}")
        connection.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {limit}")
        for grant in grants:
            connection.execute(f"GRANT {grant} TO {name}")
    return make_url(url).set(username=name).render_as_string(hide_password=False)


def test_a_save_of_20_megabytes_is_a_save_like_any_other(scene: Scene) -> None:
    job = scene.do(scene.running(steps=1), StartStep(1, 0))
    large = Progress(done=1, checkpoint="x" * 20_000_000)

    job = scene.do(job, ReportProgress(1, 0, 1, large))

    assert scene.store.load(job.id) == job
    reached = job.steps[0].progress
    assert reached is not None
    assert reached.checkpoint == large.checkpoint


def test_many_events_of_one_save_are_numbered_in_their_order(scene: Scene) -> None:
    scene.start()
    job = scene.claimed()
    planned = [PlanSteps(1, first, (PlannedStep(name=f"{first}"),)) for first in range(3_000)]

    job = scene.do(job, *planned)

    with scene.store.database.read() as connection:
        versions = connection.exec_driver_sql(
            f"SELECT originator_version FROM {EVENTS_TABLE} ORDER BY notification_id"
        ).scalars()
        assert list(versions) == list(range(1, job.version + 1))


def test_vacuum_analyze_and_create_index_concurrently_go_on_beside_writers(scene: Scene, url: str) -> None:
    ended, failures = threading.Event(), list[Exception]()

    def write() -> None:
        try:
            while not ended.is_set():
                scene.start()
        except Exception as error:  # noqa: BLE001 - it is the assertion below that tells
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    schema = scene.store.database.schema
    with session(url) as other:
        for number in range(5):
            for table, column in ((EVENTS_TABLE, "topic"), ("milepost_jobs", "status")):
                other.execute(f"VACUUM ANALYZE {schema}.{table}")
                other.execute(f"CREATE INDEX CONCURRENTLY more_{table}_{number} ON {schema}.{table} ({column})")
    ended.set()
    writer.join()

    assert failures == []


def test_a_writer_that_vacuum_does_not_stop_holds_no_lock_on_the_table(scene: Scene, url: str) -> None:
    """The library's own insert takes an EXCLUSIVE lock: then this would wait for the writer."""
    batch = Batch(Job(scene.surroundings.new_id()), OPERATOR, scene.surroundings)
    batch.do(StartJob("Default", "import", {}))
    with scene.store.database.write() as connection, session(url) as other:
        Streams(scene.store.database).write(connection, batch)
        other.execute("SET lock_timeout = '10s'")
        other.execute(f"VACUUM ANALYZE {scene.store.database.schema}.{EVENTS_TABLE}")


def test_the_librarys_own_recorder_reads_our_events(scene: Scene) -> None:
    job = scene.running()

    recorder: PostgresApplicationRecorder = library_recorder(scene.store.database, EVENTS_TABLE)
    try:
        read = recorder.select_events(job.id)
        assert [event.originator_version for event in read] == list(range(1, job.version + 1))
        assert recorder.max_notification_id() == job.version
        assert [each.id for each in recorder.select_notifications(1, 100)] == list(range(1, job.version + 1))
    finally:
        recorder.datastore.close()


def test_a_child_of_a_fork_and_its_parent_do_not_use_each_others_connections(database: PostgresDatabase) -> None:
    surroundings = RealSurroundings()
    scene = Scene(JobStore(database, surroundings), cast("Surroundings", surroundings))
    scene.start()
    scene.store.database.change_marker()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            scene.start()
            scene.store.database.change_marker()
            scene.store.database.close()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0

    for _ in range(3):
        scene.start()
    with scene.store.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM milepost_jobs").scalar() == 5


def test_of_many_first_starts_at_once_all_succeed(url: str) -> None:
    program = (
        "import sys; print('ready', flush=True);"
        "from milepost.infrastructure.event_store.database import open_database;"
        "from milepost.infrastructure.event_store.schema import prepare;"
        "sys.stdin.readline(); prepare(open_database(sys.argv[1]))"
    )
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    started = [subprocess.Popen([sys.executable, "-c", program, url], text=True, **pipes) for _ in range(6)]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=120)[1] for process in started]

    assert [process.returncode for process in started] == [0] * 6, told


def test_two_event_stores_of_one_database_know_nothing_of_each_other(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = opened(fresh_url()), opened(fresh_url())
    first, second = (Scene(JobStore(each, Surroundings()), Surroundings()) for each in (one, other))
    job = first.start()
    heard = other.change_marker()
    monkeypatch.setattr(module, "LISTENED_SECONDS", 1e6)
    for _ in range(3):
        first.start()
    with session(make_url(one.url).render_as_string(hide_password=False)) as connection:
        connection.execute(f"NOTIFY {other.channel}")  # what comes after it has been delivered by then
    until(lambda: other.change_marker() > heard)

    assert second.store.load(job.id).version == 0
    assert (one.lock != other.lock, other.change_marker()) == (True, heard + 1)


def test_our_schema_hides_nothing_from_a_steps_own_transaction(database: PostgresDatabase) -> None:
    prepare(database)
    with database.read() as ours, database.user_transaction() as theirs:
        assert ours.scalar(sa.text("SELECT current_schema()")) == database.schema
        assert theirs.scalar(sa.text("SELECT current_schema()")) == "public"


@pytest.mark.parametrize("schema", ["order", "user", "pg_jobs", "Jobs", "a-b", "a" * 41, "1a", 'x"; DROP'])
def test_a_schema_that_would_have_to_be_quoted_is_refused(schema: str) -> None:
    with pytest.raises(CannotOpenDatabase, match="small letters"):
        open_database(str(make_url("postgresql://host/db").update_query_dict({"schema": schema})))


def test_an_at_sign_in_a_password_must_be_escaped_and_is_not_told() -> None:
    with pytest.raises(CannotOpenDatabase, match="%40") as refused:
        open_database("postgresql://u:sec@ret@host/db")
    assert "ret@" not in str(refused.value)


def test_a_database_that_does_not_exist_cannot_be_opened(opened: Opened) -> None:
    nowhere = make_url(fresh_url()).set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(CannotOpenDatabase, match="does not exist"):
        version_of(opened(nowhere))


def test_a_server_that_nobody_runs_is_unavailable(opened: Opened) -> None:
    database = opened("postgresql://u@127.0.0.1:1/db")
    with pytest.raises(DatabaseUnavailable, match="refused"):
        version_of(database)
    with pytest.raises(DatabaseUnavailable, match="refused"):
        database.change_marker()


def test_a_user_who_may_not_make_a_schema_is_told(opened: Opened) -> None:
    with pytest.raises(CannotOpenDatabase, match="permission denied"):
        prepare(opened(role(fresh_database(), "guest")))


def test_a_lock_that_another_session_keeps_is_said_and_nothing_is_written(
    opened: Opened, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_SECONDS", 0.05)
    database = opened(url)
    with session(url) as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(%s)", (database.lock,))
        with pytest.raises(DatabaseUnavailable, match="Nothing was written") as told, database.write():
            raise AssertionError
    assert "pg_stat_activity" in told.value.advice


def again_and_again(act: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        act()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_one_key_has_one_live_job_whatever_isolation_the_database_has_by_default(
    opened: Opened, isolation: str
) -> None:
    url = fresh_database()
    with session(url) as other:
        other.execute(f"ALTER DATABASE {make_url(url).database} SET default_transaction_isolation = '{isolation}'")
    database = opened(url)
    scene = Scene(JobStore(database, Surroundings()), Surroundings())
    scene.start()
    found = list[Any]()

    def start() -> None:
        found.append(JobStore(database, RealSurroundings()).start(StartJob("Default", "import", {}, key="k"), OPERATOR))

    starting = [threading.Thread(target=start) for _ in range(3)]
    with database.write():
        for each in starting:
            each.start()
        with session(url) as other:
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until(lambda: other.execute(waits).fetchone()[0] == 3)
    for each in starting:
        each.join()

    assert sorted(new for _, new in found) == [False, False, True]


def test_a_writer_that_falls_silent_in_the_middle_loses_its_lock_and_writes_nothing(
    opened: Opened, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.2)
    silent = opened(url)
    prepare(silent)
    other = Scene(JobStore(opened(url), Surroundings()), Surroundings())
    started: list[Job] = []

    def write() -> None:
        with silent.write() as connection:
            connection.exec_driver_sql("DELETE FROM milepost_schema")
            started.append(other.start())  # waits for the lock until the server has ended the silent one's session

    with pytest.raises(DatabaseUnavailable, match="Nothing was written"):
        write()

    assert version_of(silent) is not None
    assert other.store.load(started[0].id).version == 1


def test_what_a_step_sets_in_its_session_is_nobody_elses(database: PostgresDatabase) -> None:
    scene = Scene(JobStore(database, Surroundings()), Surroundings())
    for _ in range(3):
        with database.user_transaction() as connection:
            assert connection.scalar(sa.text("SHOW search_path")) == '"$user", public'
            assert connection.scalar(sa.text("SELECT to_regclass('pg_temp.mine')")) is None
            connection.exec_driver_sql("CREATE TEMPORARY TABLE mine (x int)")
            connection.exec_driver_sql("SET search_path TO pg_catalog")
            connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
        scene.start()
    with session(database.url) as other:
        assert other.execute("SELECT pg_try_advisory_lock(7)").fetchone()[0]


def test_transactions_of_steps_do_not_keep_a_heartbeat_waiting(database: PostgresDatabase) -> None:
    prepare(database)
    with ExitStack() as stack:
        for _ in range(module.CONNECTIONS_MOST + 1):
            stack.enter_context(database.user_transaction()).exec_driver_sql("SELECT 1")
        JobStore(database, RealSurroundings()).renew("w1", 10.0)


def test_an_error_in_a_steps_own_sql_is_told_as_it_is(database: PostgresDatabase) -> None:
    prepare(database)
    with (
        pytest.raises(ProgrammingError, match='schema "nope" does not exist'),
        database.user_transaction() as it,
    ):
        it.exec_driver_sql("CREATE TABLE nope.t (x int)")


def test_what_the_url_says_of_the_connection_goes_before_what_is_usual(opened: Opened, url: str) -> None:
    database = opened(f"{url}&connect_timeout=3&application_name=mine&keepalives=0")
    prepare(database)
    database.change_marker()
    with database.read() as connection:
        assert connection.scalar(sa.text("SHOW application_name")) == "mine"


def test_a_server_with_no_connection_left_says_what_to_do(opened: Opened) -> None:
    with pytest.raises(DatabaseUnavailable, match="raise max_connections"):
        version_of(opened(role(fresh_database(), "crowd", limit=0)))


def test_who_owns_a_schema_needs_no_right_to_make_one(opened: Opened) -> None:
    url = fresh_database()
    theirs = make_url(role(url, "tenant")).update_query_dict({"schema": "given"})
    with session(url) as connection:
        connection.execute("CREATE SCHEMA given AUTHORIZATION tenant")
    prepare(opened(theirs.render_as_string(hide_password=False)))


def test_a_pause_after_the_servers_answer_is_not_taken_for_a_difference_of_clocks(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database)
    before = database.clock_offset
    real, asked = time.time, iter([0.0, 8.0])  # held up for so long between the question and the look at our clock
    monkeypatch.setattr("time.time", lambda: real() + next(asked, 0.0))
    with database.write():
        pass

    assert database.clock_offset == before


def test_a_session_that_the_server_ended_is_made_anew(scene: Scene, url: str) -> None:
    scene.start()
    scene.store.database.change_marker()
    with session(url) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'milepost' AND pid <> pg_backend_pid()"
        )
    for attempt in (scene.start, scene.store.database.change_marker):
        with pytest.raises(DatabaseUnavailable):
            again_and_again(attempt)  # the server takes its time
    scene.start()

    assert scene.store.database.change_marker() > 0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_what_was_acknowledged_is_there_after_a_restart_of_the_server(
    opened: Opened, server: Postgres, mode: str
) -> None:
    surroundings = Surroundings()
    scene = Scene(JobStore(opened(server.url), surroundings), surroundings)
    job = scene.running()
    server.stop(mode)
    with pytest.raises(DatabaseUnavailable):
        scene.start()
    server.start()

    assert scene.store.load(job.id) == job


def test_an_event_store_tells_the_time_by_its_servers_clock(
    opened: Opened, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases would mean nothing between machines whose clocks differ."""
    monkeypatch.setattr("time.time", lambda: 1_000.0)
    database = opened(url)
    prepare(database)
    monkeypatch.undo()

    assert database.clock_offset > 1_000_000_000
    surroundings = RealSurroundings(lambda: database.clock_offset)
    assert surroundings.now().year > 2026


def test_a_commit_that_a_setting_would_not_make_durable_is_made_durable(opened: Opened) -> None:
    url = fresh_database()
    with session(url) as other:
        other.execute(f"ALTER DATABASE {make_url(url).database} SET synchronous_commit = off")
    database = opened(url)
    with database.read() as connection:
        assert connection.scalar(sa.text("SHOW synchronous_commit")) == "on"


def test_a_role_that_sees_nothing_of_the_schema_is_told_which_rights_it_lacks(opened: Opened) -> None:
    url = fresh_database()
    prepare(opened(url))
    with pytest.raises(CannotOpenDatabase, match="sees nothing of the schema milepost") as refused:
        version_of(opened(role(url, "stranger")))
    assert "GRANT" in refused.value.advice


def test_a_role_that_may_only_read_is_found_out_without_a_change(opened: Opened) -> None:
    url = fresh_database()
    prepare(opened(url))
    rights = ("USAGE ON SCHEMA milepost", "SELECT ON ALL TABLES IN SCHEMA milepost")
    reader = opened(role(url, "reader", *rights))
    assert version_of(reader) is not None
    with pytest.raises(CannotOpenDatabase, match="permission denied"), reader.write() as connection:
        try_to_write(connection)
    with opened(url).write() as connection:
        try_to_write(connection)


def test_a_misspelt_option_of_the_url_is_named(opened: Opened) -> None:
    with pytest.raises(CannotOpenDatabase, match="shema"):
        version_of(opened(make_url(fresh_database()).update_query_dict({"shema": "a"}).render_as_string(False)))
