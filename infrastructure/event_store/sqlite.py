"""SQLite, in a file or in memory: BEGIN IMMEDIATE, a fair line of writers, and what its failures mean."""

import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from milepost.infrastructure.event_store.database import (
    BUSY_TIMEOUT_SECONDS,
    NOT_KNOWN,
    NOTHING_WRITTEN,
    CannotOpenDatabase,
    Database,
    DatabaseUnavailable,
    parsed,
)
from milepost.infrastructure.event_store.turns import NotItsTurn, Turns

BUSY_PAUSE_SECONDS: Final = 0.001  # between two looks whether another process still writes
WAL_PAUSE_SECONDS: Final = 0.02
READERS_KEPT: Final = 5

_UNAVAILABLE: Final = {
    sqlite3.SQLITE_BUSY: "Another process has kept it locked; try again, or find and end that process.",
    sqlite3.SQLITE_LOCKED: "Another process has kept it locked; try again, or find and end that process.",
    sqlite3.SQLITE_FULL: "Make room on its disk and try again.",
    sqlite3.SQLITE_IOERR: "Look after its disk, then try again.",
    sqlite3.SQLITE_NOMEM: "Free some memory and try again.",
}
_CANNOT_OPEN: Final = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
    }
)


class SqliteDatabase(Database):
    """A SQLite database in a file (`sqlite:///path`) or in memory (`sqlite://`)."""

    def __init__(self, url: str, kept: int = READERS_KEPT) -> None:
        self.url = url
        path = parsed(url).database or ""
        self.in_memory = path in ("", ":memory:")
        self._busy_seconds = BUSY_TIMEOUT_SECONDS
        self._turns = Turns()
        self._writes = 0
        self._watching = threading.Lock()
        self._watcher: sqlite3.Connection | None = None
        self._held: sa.Connection | None = None  # in memory: the transaction of the thread that has the turn
        if not self.in_memory and not path.startswith("file:"):
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CannotOpenDatabase(url, str(error)) from error
        if self.in_memory:
            self.engine = sa.create_engine(
                url, poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 0}
            )
        else:
            self.engine = sa.create_engine(
                url,
                poolclass=QueuePool,
                pool_size=kept,
                max_overflow=-1,
                connect_args={"check_same_thread": False, "timeout": self._busy_seconds},
            )
        event.listen(self.engine, "connect", self._configure)
        event.listen(self.engine, "begin", self._begin)

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """A transaction that holds the write lock from its start (BEGIN IMMEDIATE). Keep it short."""
        with self._turn(NOTHING_WRITTEN), self._telling(NOTHING_WRITTEN), self._connected(write=True) as connection:
            with connection.begin() as transaction:
                yield connection
                with self._telling(NOT_KNOWN):  # the disk may have failed before, or after it was there
                    transaction.commit()
            self._writes += 1

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A consistent view."""
        if not self.in_memory:
            with self._telling(), self._connected(write=False) as connection:
                yield connection
        elif self._turns.mine and self._held is not None:
            yield self._held
        else:
            # One connection is all that a database in memory has.
            with self._turn(), self._telling(), self._connected(write=False) as connection:
                yield connection

    def append_transaction(self) -> AbstractContextManager[sa.Connection]:
        return self.write()

    def user_transaction(self, *, read_committed: bool = False) -> AbstractContextManager[sa.Connection]:
        """SQLite has one writer at a time, whatever it writes."""
        return self.write()

    @contextmanager
    def _turn(self, outcome: str = "") -> Generator[None]:
        try:
            with self._turns.taken(self._busy_seconds):
                yield
        except NotItsTurn as error:
            cause, advice = "another thread of this process is still writing", "Try again; keep transactions short."
            raise DatabaseUnavailable(self.url, cause, advice, outcome) from error

    @contextmanager
    def _connected(self, *, write: bool) -> Generator[sa.Connection]:
        with self.engine.connect().execution_options(write=write) as connection:
            self._held = connection if self.in_memory else None
            try:
                yield connection
            finally:
                self._held = None

    @contextmanager
    def _telling(self, outcome: str = "") -> Generator[None]:
        """Say what a failure of SQLite means, and what became of what was being written."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            told = self._told(error, outcome)
            if told is None:
                raise
            raise told from error

    def trouble(self, error: Exception) -> Exception | None:
        return self._told(error, NOTHING_WRITTEN) if isinstance(error, (DBAPIError, sqlite3.Error)) else None

    def _told(self, error: Exception, outcome: str) -> Exception | None:
        """What the failure of SQLite means to the caller; None when it is about a statement, not the database."""
        cause = getattr(error, "orig", error)
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the rest of an extended code is detail
        if code in _UNAVAILABLE:
            return DatabaseUnavailable(self.url, str(cause), _UNAVAILABLE[code], outcome)
        return CannotOpenDatabase(self.url, str(cause)) if code in _CANNOT_OPEN else None

    def change_marker(self) -> int:
        """A number that differs when anybody has committed since (PRAGMA data_version)."""
        if self.in_memory:
            return self._writes
        with self._telling(), self._watching:
            if self._watcher is None:
                (where,), options = self.engine.dialect.create_connect_args(self.engine.url)
                self._watcher = sqlite3.connect(where, uri=options.get("uri", False), check_same_thread=False)
            row: tuple[int] = self._watcher.execute("PRAGMA data_version").fetchone()
            return row[0]

    def _configure(self, connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # BEGIN is ours: see _begin
        _use_wal(connection, tries=1 + int(self._busy_seconds / WAL_PAUSE_SECONDS))
        connection.execute(f"PRAGMA busy_timeout={int(self._busy_seconds * 1000)}")
        connection.execute("PRAGMA synchronous=FULL")  # an acknowledged commit survives power loss

    def _begin(self, connection: sa.Connection) -> None:
        """A deferred transaction that reads and then writes fails at once when others wrote between."""
        if not connection.get_execution_options().get("write"):
            connection.exec_driver_sql("BEGIN")
            return
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA busy_timeout=0")
        try:
            self._begin_write(driver)
        finally:
            driver.execute(f"PRAGMA busy_timeout={int(self._busy_seconds * 1000)}")

    def _begin_write(self, driver: sqlite3.Connection) -> None:
        """SQLite itself would sleep up to 100 ms between two looks, and miss the gaps that a busy writer leaves."""
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(BUSY_PAUSE_SECONDS)
            else:
                return

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self.engine.dispose()


def _use_wal(connection: sqlite3.Connection, tries: int) -> None:
    """SQLite does not always wait for the lock that this needs on a new file, so it is we who try again."""
    connection.execute("PRAGMA busy_timeout=0")
    for tries_left in reversed(range(tries)):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or tries_left == 0:
                raise
            time.sleep(WAL_PAUSE_SECONDS)
        else:
            return
