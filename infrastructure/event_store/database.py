"""One database by its URL: short write transactions that wait for their turn, and reads."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

BUSY_TIMEOUT_MS: Final = 10_000


class CannotOpenDatabase(Exception):
    """The database cannot be reached or is not one of Milepost's."""

    def __init__(self, url: str, cause: str) -> None:
        self.url, self.cause = url, cause
        super().__init__(f"Cannot open the event store at {url}: {cause}")


class Database:
    """A SQLite database in a file (`sqlite:///path`) or in memory (`sqlite://`)."""

    def __init__(self, url: str) -> None:
        self.url = url
        parsed = sa.make_url(url)
        if parsed.get_backend_name() != "sqlite":
            raise CannotOpenDatabase(parsed.render_as_string(), "only sqlite:///PATH is supported by this version")
        self.in_memory = not parsed.database
        self._turn = threading.RLock()
        self._writes = 0
        if parsed.database:
            try:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CannotOpenDatabase(url, str(error)) from error
        self.engine = sa.create_engine(
            url,
            poolclass=StaticPool if self.in_memory else QueuePool,
            connect_args={"check_same_thread": False},
        )
        sa.event.listen(self.engine, "connect", _configure)
        sa.event.listen(self.engine, "begin", _begin)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock from its start (BEGIN IMMEDIATE)."""
        with self._turn if self.in_memory else nullcontext():
            try:
                with self.engine.connect().execution_options(write=True) as connection:
                    with connection.begin():
                        yield connection
                    self._writes += 1
            except sa.exc.OperationalError as error:
                raise CannotOpenDatabase(self.url, str(error.orig)) from error

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view."""
        with self._turn if self.in_memory else nullcontext():
            try:
                with self.engine.connect() as connection:
                    yield connection
            except sa.exc.OperationalError as error:
                raise CannotOpenDatabase(self.url, str(error.orig)) from error

    def change_marker(self) -> int:
        """A number that differs when anybody has committed since (PRAGMA data_version)."""
        if self.in_memory:
            return self._writes
        with self._turn:
            if not hasattr(self, "_watcher"):
                self._watcher = sqlite3.connect(sa.make_url(self.url).database or "", check_same_thread=False)
            row: tuple[int] = self._watcher.execute("PRAGMA data_version").fetchone()
            return row[0]

    def close(self) -> None:
        if hasattr(self, "_watcher"):
            self._watcher.close()
        self.engine.dispose()


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours: see _begin
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # an acknowledged commit survives power loss


def _begin(connection: sa.Connection) -> None:
    """A deferred transaction that reads and then writes fails at once when others wrote between."""
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
