"""An event store's database by its URL: short write transactions that wait for their turn, and consistent reads."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from milepost.infrastructure.settings import masked

BUSY_TIMEOUT_SECONDS: Final = 10.0  # how long a writer waits for its turn
WRITE: Final = "write sqlite:///PATH, or postgresql://USER@HOST/DATABASE"
NOTHING_WRITTEN: Final = "Nothing was written."
NOT_KNOWN: Final = "It is not known whether it was written: look again."


class CannotOpenDatabase(Exception):
    """The database cannot be reached, may not be written, or is not one of Milepost's."""

    def __init__(self, url: str, cause: str, advice: str = "") -> None:
        self.url, self.cause, self.advice = masked(url), cause, advice
        super().__init__(f"Cannot open the event store at {self.url}: {cause}")


class DatabaseUnavailable(Exception):
    """The database is one of Milepost's and does not answer now. `outcome`: what became of what was being written."""

    def __init__(self, url: str, cause: str, advice: str, outcome: str = "") -> None:
        self.url, self.cause, self.advice, self.outcome = masked(url), cause, advice, outcome
        self.told = f"The event store at {self.url} cannot be used now: {cause}. {outcome}".rstrip()
        super().__init__(f"{self.told} {advice}".rstrip())


class LockKept(DatabaseUnavailable):
    """Somebody else has kept a lock for longer than this transaction waits."""


class HeldUp(DatabaseUnavailable):
    """This process has said nothing for so long in the middle of a transaction that the server has ended it."""


class Database(ABC):
    """One database. Safe to use from many threads; all methods raise DatabaseUnavailable or CannotOpenDatabase."""

    url: str
    engine: sa.Engine
    in_memory = False
    schema: str | None = None  # that its tables are in; None where there is but one

    @abstractmethod
    def write(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that holds the event store's write lock from its start. Keep it short."""

    @abstractmethod
    def append_transaction(self) -> AbstractContextManager[sa.Connection]:
        """A write transaction for one append, and nothing beside it."""

    @abstractmethod
    def read(self) -> AbstractContextManager[sa.Connection]:
        """A consistent view."""

    @abstractmethod
    def user_transaction(self, *, read_committed: bool = False) -> AbstractContextManager[sa.Connection]:
        """A transaction for tables that are not ours; it may take its time where the database allows that.

        `read_committed`: each statement sees what was committed before it, whatever a role's own default is; so it must
        be where somebody waits for a lock and then looks at what its last holder wrote.
        """

    def wait_at_most(self, connection: sa.Connection, seconds: float | None) -> None:  # noqa: B027 - nor is there here
        """From now until its commit the transaction waits so long for a lock, and then fails; None: as it would."""

    def guard(self, connection: sa.Connection) -> None:  # noqa: B027 - where a writer waits for nobody there is nothing to do
        """Told before a user's transaction locks what others write, just before its commit."""

    @abstractmethod
    def trouble(self, error: Exception) -> Exception | None:
        """What a driver's error means, as DatabaseUnavailable or CannotOpenDatabase; None: it is about a statement."""

    @abstractmethod
    def change_marker(self) -> int:
        """A number that differs when anybody has committed since."""

    @property
    def clock_offset(self) -> float:
        """Seconds by which the clock that all its users share is ahead of this machine's."""
        return 0.0

    @abstractmethod
    def close(self) -> None:
        """Close its connections."""


def open_database(url: str, kept: int | None = None) -> Database:
    """SQLite in a file (`sqlite:///path`) or in memory (`sqlite://`), or PostgreSQL (`postgresql://…?schema=…`).

    A database that is not there yet, or does not answer, is found out at its first use. `kept`: connections that stay
    open, where many are used at once. Raises CannotOpenDatabase.
    """
    backend = parsed(url).get_backend_name()
    if backend == "sqlite":
        from milepost.infrastructure.event_store.sqlite import SqliteDatabase

        return SqliteDatabase(url) if kept is None else SqliteDatabase(url, kept)
    if backend == "postgresql":
        try:
            from milepost.infrastructure.event_store.postgres import PostgresDatabase
        except ModuleNotFoundError as error:
            raise CannotOpenDatabase(url, "PostgreSQL needs more: pip install 'milepost[postgres]'") from error
        return PostgresDatabase(url) if kept is None else PostgresDatabase(url, kept)
    raise CannotOpenDatabase(url, WRITE)


def parsed(url: str) -> sa.URL:
    """Raises CannotOpenDatabase."""
    try:
        return sa.make_url(url)
    except ArgumentError as error:
        raise CannotOpenDatabase(url, f"this is not the URL of a database; {WRITE}") from error


def file_of(url: str) -> Path | None:
    """The file that a SQLite URL names; None for one in memory or of another kind. Raises CannotOpenDatabase."""
    known = parsed(url)
    path = known.database or ""
    if known.get_backend_name() != "sqlite" or path in ("", ":memory:") or path.startswith("file:"):
        return None
    return Path(path)
