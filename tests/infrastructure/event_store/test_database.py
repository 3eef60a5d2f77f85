"""What a database does when it is locked, full, unwritable or no database, and in whose turn it is written."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store import database as module
from milepost.infrastructure.event_store.database import (
    CannotOpenDatabase,
    Database,
    DatabaseUnavailable,
)
from milepost.infrastructure.event_store.schema import prepare
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.event_store.turns import NotItsTurn, Turns
from milepost.infrastructure.settings import masked
from tests.infrastructure.event_store.scene import Scene, Surroundings


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def test_the_folder_of_a_new_database_is_made(tmp_path: Path) -> None:
    JobStore(Database(url_of(tmp_path / "deep" / "down" / "jobs.sqlite")), RealSurroundings())

    assert (tmp_path / "deep" / "down" / "jobs.sqlite").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(CannotOpenDatabase, match=r"Cannot open the event store at sqlite:///.*jobs.sqlite"):
        Database(url_of(tmp_path / "file" / "jobs.sqlite"))


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada, " * 1_000)

    with pytest.raises(CannotOpenDatabase, match="not a database"):
        JobStore(Database(url_of(path)), RealSurroundings())
    assert path.read_text() == "Dear Ada, " * 1_000


def test_watching_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ada, " * 1_000)

    with pytest.raises(CannotOpenDatabase, match="not a database"):
        Database(url_of(tmp_path / "letter.txt")).change_marker()


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(CannotOpenDatabase, match="unable to open"):
        JobStore(Database(url_of(tmp_path)), RealSurroundings())


@pytest.mark.parametrize("url", ["jobs.sqlite", "", "postgresql://ada:hunter2@host/jobs"])
def test_a_url_that_is_not_of_sqlite_is_refused(url: str) -> None:
    with pytest.raises(CannotOpenDatabase, match="sqlite:///PATH") as refused:
        Database(url)
    assert "hunter2" not in str(refused.value)


def test_passwords_are_not_shown() -> None:
    assert masked("postgresql://ada:hunter2@host/jobs") == "postgresql://ada:***@host/jobs"


def test_a_database_that_may_only_be_read_can_be_read_and_says_so_when_written(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    scene = Scene(JobStore(Database(url_of(path)), Surroundings()), Surroundings())
    job = scene.start()
    read_only = JobStore(Database(f"sqlite:///file:{path}?mode=ro&uri=true"), Surroundings())

    assert read_only.load(job.id) == job
    with pytest.raises(CannotOpenDatabase, match="readonly"):
        Scene(read_only, Surroundings()).start()
    assert read_only.database.change_marker() == read_only.database.change_marker()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_without_permission_is_said(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    JobStore(Database(url_of(path)), RealSurroundings())
    path.chmod(0)

    with pytest.raises(CannotOpenDatabase):
        JobStore(Database(url_of(path)), RealSurroundings())


def test_a_database_locked_by_another_process_is_unavailable_and_nothing_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_SECONDS", 0.05)
    path = tmp_path / "jobs.sqlite"
    scene = Scene(JobStore(Database(url_of(path)), Surroundings()), Surroundings())
    job = scene.start()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseUnavailable, match=r"cannot be used now: database is locked. Nothing was written."):
        scene.stop(job.id)
    assert scene.store.load(job.id) == job

    other.execute("ROLLBACK")
    other.close()
    assert scene.stop(job.id).changed


def test_a_new_file_that_another_process_is_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = in_the_making(tmp_path / "jobs.sqlite")

    def ends_meanwhile(_seconds: float) -> None:
        other.execute("ROLLBACK")

    monkeypatch.setattr("milepost.infrastructure.event_store.database.time.sleep", ends_meanwhile)
    JobStore(Database(url_of(tmp_path / "jobs.sqlite")), RealSurroundings())

    other.close()


def test_a_new_file_that_another_process_does_not_end_making_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_SECONDS", 0.05)
    other = in_the_making(tmp_path / "jobs.sqlite")

    with pytest.raises(DatabaseUnavailable, match="locked") as refused:
        JobStore(Database(url_of(tmp_path / "jobs.sqlite")), RealSurroundings())
    assert "written" not in str(refused.value), "it only wanted to read"

    other.close()


def in_the_making(path: Path) -> sqlite3.Connection:
    """For this lock SQLite's busy handler does not wait when the journal is to be changed."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE first (x)")
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path: Path) -> None:
    database = Database(url_of(tmp_path / "jobs.sqlite"))
    scene = Scene(JobStore(database, Surroundings()), Surroundings())
    job = scene.running(steps=1)
    limit_pages(database)

    with pytest.raises(DatabaseUnavailable, match=r"full.*Make room"):
        start_many(scene)
    database.engine.dispose()
    assert scene.store.load(job.id) == job


def test_when_the_disk_fails_in_the_commit_nobody_claims_to_know_what_became_of_it(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # limits how long a file may become: the disk's own end
    path = tmp_path / "jobs.sqlite"
    scene = Scene(JobStore(Database(url_of(path)), Surroundings()), Surroundings())
    job = scene.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("jobs.sqlite-wal").stat().st_size, hard))
    try:
        with pytest.raises(DatabaseUnavailable, match="It is not known whether it was written: look again"):
            scene.stop(job.id)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert scene.store.load(job.id) == job
    assert scene.stop(job.id).changed


def start_many(scene: Scene) -> None:
    for _ in range(1_000):
        scene.start()


def limit_pages(database: Database) -> None:
    """SQLite itself then says what it says on a full disk."""

    def few(connection: sqlite3.Connection, _record: object) -> None:
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 10}")

    event.listen(database.engine, "connect", few)
    database.engine.dispose()


def test_an_error_of_a_statement_is_not_taken_for_one_of_the_database(database: Database) -> None:
    with pytest.raises(OperationalError, match="no such table"), database.write() as connection:
        connection.exec_driver_sql("SELECT * FROM missing")


def test_what_was_written_before_an_error_is_taken_back(database: Database) -> None:
    prepare(database)
    with pytest.raises(ZeroDivisionError):
        write_and_fail(database)

    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM milepost_commands").scalar() == 0


def write_and_fail(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO milepost_commands VALUES ('a', 'b', 'c', 'd')")
        raise ZeroDivisionError


def test_the_marker_changes_with_every_commit_and_only_then(scene: Scene) -> None:
    before = scene.store.database.change_marker()
    assert scene.store.database.change_marker() == before

    scene.start()

    assert scene.store.database.change_marker() != before


def test_a_transaction_inside_a_transaction_is_refused_instead_of_waiting_for_itself(database: Database) -> None:
    with database.write(), pytest.raises(RuntimeError, match="inside another"), database.write():
        raise AssertionError


def test_a_write_is_seen_in_memory_by_the_same_threads_reads(database: Database) -> None:
    prepare(database)
    with database.write() as writer:
        writer.exec_driver_sql("INSERT INTO milepost_commands VALUES ('a', 'b', 'c', 'd')")
        with database.read() as reader:
            seen = reader.exec_driver_sql("SELECT count(*) FROM milepost_commands").scalar()
    assert seen == (1 if database.in_memory else 0)


@pytest.mark.parametrize("opened", [Database.write, Database.read])
def test_another_thread_that_does_not_end_its_transaction_is_said(
    opened: Callable[[Database], AbstractContextManager[Connection]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_SECONDS", 0.05)
    database = Database("sqlite://")
    refusals: list[DatabaseUnavailable] = []

    def enter() -> None:
        try:
            with opened(database):
                raise AssertionError
        except DatabaseUnavailable as error:
            refusals.append(error)

    with database.write():
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert "another thread" in str(refusals[0])


def test_turns_are_taken_in_the_order_in_which_they_were_asked_for() -> None:
    turns, order = Turns(), list[int]()
    threads: list[threading.Thread] = []

    def take(number: int) -> None:
        with turns.taken(60):
            order.append(number)

    with turns.taken(60):
        for number in range(20):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while turns.waiting <= number:
                pass
    for thread in threads:
        thread.join()
    assert order == list(range(20))


def test_who_waits_too_long_for_a_turn_leaves_the_line() -> None:
    turns, given_up = Turns(), threading.Event()

    def take() -> None:
        with pytest.raises(NotItsTurn), turns.taken(0.01):
            raise AssertionError
        given_up.set()

    with turns.taken(60):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert given_up.is_set()
    with turns.taken(60):
        assert turns.mine


def test_two_first_starts_at_once_both_succeed(tmp_path: Path) -> None:
    for attempt in range(2):
        url = url_of(tmp_path / f"jobs-{attempt}.sqlite")
        program = (
            "import sys; from milepost.infrastructure.clock import RealSurroundings;"
            "from milepost.infrastructure.event_store.store import Database, JobStore;"
            "sys.stdin.readline(); JobStore(Database(sys.argv[1]), RealSurroundings()); print('ready')"
        )
        starts = [
            subprocess.Popen(
                [sys.executable, "-c", program, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(3)
        ]
        for start in starts:
            assert start.stdin
            start.stdin.write("go\n")
            start.stdin.flush()
        assert [start.communicate()[0] for start in starts] == ["ready\n"] * 3
