"""PostgreSQL: one schema per event store, an advisory lock for its writers, and LISTEN to hear of their commits."""

import os
import re
import threading
import time
import zlib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from milepost.infrastructure.event_store.database import (
    BUSY_TIMEOUT_SECONDS,
    NOT_KNOWN,
    NOTHING_WRITTEN,
    CannotOpenDatabase,
    Database,
    DatabaseUnavailable,
    HeldUp,
    LockKept,
    parsed,
)

DEFAULT_SCHEMA: Final = "milepost"
SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")
CONNECTIONS_KEPT: Final = 2
CONNECTIONS_MOST: Final = 20  # of one process for Milepost itself, beside the one that listens
STEP_CONNECTIONS_MOST: Final = 100  # and for the transactions of its steps, which must not keep heartbeats waiting
IDLE_SECONDS: Final = 15.0  # how long others wait for a writer that has fallen silent in the middle
LISTENED_SECONDS: Final = 2.0  # a notification is lost with its connection: after so long, look all the same
CLOCK_NOISE_SECONDS: Final = 0.1  # an answer's way here takes time: a smaller difference of clocks is none

_CLOCK: Final = "CAST(extract(epoch FROM clock_timestamp()) AS float8)"
_IDLE: Final = "set_config('idle_in_transaction_session_timeout', :idle, true)"
# A database that is gone must be noticed before a lease runs out, not after TCP's own quarter of an hour.
# What the URL itself says goes before this.
_CONNECTION: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 7_000,
    "application_name": "milepost",
}
# The server must notice it, too: a machine that lost its power in the middle of a transaction still has its locks.
_NOTICED: Final = (
    "set_config('tcp_keepalives_idle', '3', false), set_config('tcp_keepalives_interval', '2', false),"
    "set_config('tcp_keepalives_count', '2', false), set_config('tcp_user_timeout', '7000', false)"
)
# An acknowledged commit survives power loss. What is stricter stays.
_DURABLE: Final = (
    "CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END"
)
# DISCARD ALL, but for the prepared statements, of which psycopg keeps count.
_DISCARD: Final = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all();"
    "DISCARD TEMP; DISCARD SEQUENCES"
)
_NO_RIGHTS: Final = "42501"
_CANNOT_OPEN: Final = ("28", "3D", "3F", _NO_RIGHTS)  # SQLSTATEs, or their beginnings: authorization, no such database
_NOT_SEEN: Final = ("42P01", "42883")  # tables and functions of ours that this role does not see
_CANNOT_OPEN_SAID: Final = (
    "no password supplied",
    "invalid connection option",
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "permission denied",
)
_READ_ONLY: Final = "25006"
_LOCKED: Final = "55P03"
_FULL: Final = "53100"
_SILENT: Final = "25P03"
_NO_CONNECTION_LEFT: Final = ("too many connections", "remaining connection slots")  # said, without a SQLSTATE
_RAISE_CONNECTIONS: Final = "It has no connection left: raise max_connections, or run fewer processes."
_ADVICE: Final = {
    _LOCKED: "Another writer has kept its lock; try again, or find and end that session in pg_stat_activity.",
    _SILENT: "This process was held up for too long in the middle of a transaction; try again.",
    _FULL: "Make room on its disk and try again.",
    _READ_ONLY: "It is a standby, or set to be read only: use the primary.",
}


class PostgresDatabase(Database):
    """A schema of a PostgreSQL database: `postgresql://user@host/database?schema=milepost`."""

    def __init__(self, url: str, kept: int = CONNECTIONS_KEPT) -> None:
        self.url = url
        self.schema, address = _address(url)
        self.lock = lock_key(self.schema)
        self.channel = channel_of(self.schema)
        self._busy_seconds = BUSY_TIMEOUT_SECONDS
        self._offset = 0.0
        self._watching = threading.Lock()
        self._listener: psycopg.Connection[Any] | None = None
        self._heard = 0
        self._own: set[int] = set()  # process ids of our connections at the server
        self._writing: set[int] = set()  # our threads that hold the lock
        self._heard_at = float("-inf")
        self._process = os.getpid()
        self._ours = {name: value for name, value in _CONNECTION.items() if name not in address.query}
        # Under the lock each statement must see what its last holder wrote, whatever a role's own default is.
        self.engine = self._engine(address, CONNECTIONS_MOST, kept, isolation_level="READ COMMITTED")
        self._of_steps = self._engine(address, STEP_CONNECTIONS_MOST, CONNECTIONS_KEPT)
        self._of_steps_committed = self._of_steps.execution_options(isolation_level="READ COMMITTED")
        self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._calling = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        event.listen(self.engine, "connect", self._configure)
        event.listen(self._of_steps, "connect", self._configure_for_steps)
        event.listen(self._of_steps, "reset", self._discard)
        self._take_the_lock = sa.text(f"SELECT pg_advisory_xact_lock(:key), {_IDLE}, {_CLOCK}").bindparams(
            key=self.lock, idle=_milliseconds(IDLE_SECONDS)
        )
        self._guard = sa.text(f"SELECT {_IDLE}, set_config('lock_timeout', :busy, true)").bindparams(
            idle=_milliseconds(IDLE_SECONDS), busy=_milliseconds(self._busy_seconds)
        )

    def _engine(self, address: sa.URL, most: int, kept: int, **options: Any) -> sa.Engine:
        return sa.create_engine(
            address.set(drivername="postgresql+psycopg"),
            pool_size=kept,
            max_overflow=most - kept,
            pool_timeout=self._busy_seconds,
            connect_args={**self._ours, "prepare_threshold": 2},
            **options,
        )

    @property
    def clock_offset(self) -> float:
        return self._offset

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """Holds the schema's advisory lock, which leaves its tables to VACUUM and CREATE INDEX CONCURRENTLY."""
        with self._not_inside_another(), self._telling(NOTHING_WRITTEN), self._begun(self.engine) as connection:
            asked_at = time.time()
            self._set_clock(connection.execute(self._take_the_lock).one()[2], asked_at)
            yield connection
            self._commit(connection)

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        with self._telling(), self._begun(self._reading) as connection:
            yield connection

    @contextmanager
    def user_transaction(self, *, read_committed: bool = False) -> Generator[sa.Connection]:
        """Without the lock: others write meanwhile. The session is as without Milepost, and anew for each.

        What fails between its begin and its commit fails as it is, unless the connection has broken.
        """
        with ExitStack() as stack:
            with self._telling(NOTHING_WRITTEN):
                engine = self._of_steps_committed if read_committed else self._of_steps
                connection = stack.enter_context(self._begun(engine))
            try:
                yield connection
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise self._told(error, NOTHING_WRITTEN) or error from error
                raise
            self._commit(connection)

    def guard(self, connection: sa.Connection) -> None:
        """Until its commit others wait for this transaction: not for longer than for any writer."""
        connection.execute(self._guard)

    def wait_at_most(self, connection: sa.Connection, seconds: float | None) -> None:
        to = "DEFAULT" if seconds is None else f"'{_milliseconds(seconds)}'"
        connection.exec_driver_sql(f"SET LOCAL lock_timeout TO {to}")

    @contextmanager
    def append_transaction(self) -> Generator[sa.Connection]:
        """The call takes the lock, and is a transaction by itself: one way there and back."""
        with self._telling(NOT_KNOWN), self._checked_out(self._calling) as connection:
            yield connection
            self._heard += 1

    def change_marker(self) -> int:
        """How often anything was heard, or committed by ourselves: the server is slower to tell us that."""
        self._forget_parents_connections()
        with self._telling(), self._watching:
            listener = self._listener or self._listen()
            try:
                heard = {each.pid for each in listener.notifies(timeout=0)} - self._own
            except psycopg.Error:
                self._stop_listening()
                raise
            now = time.monotonic()
            if heard or now >= self._heard_at + LISTENED_SECONDS:
                self._heard += 1
                self._heard_at = now
            return self._heard

    def _listen(self) -> psycopg.Connection[Any]:
        _, address = self.engine.dialect.create_connect_args(self.engine.url)
        listener = psycopg.connect(**{**self._ours, **address}, autocommit=True)
        try:
            listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self.channel)))
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        self._heard += 1  # whatever happened before is news
        return listener

    def _stop_listening(self) -> None:
        if self._listener is not None:
            with suppress(psycopg.Error):
                self._listener.close()
            self._listener = None

    @contextmanager
    def _not_inside_another(self) -> Generator[None]:
        thread = threading.get_ident()
        if thread in self._writing:
            raise RuntimeError("a write transaction cannot be begun inside another one")
        self._writing.add(thread)
        try:
            yield
        finally:
            self._writing.discard(thread)

    def _commit(self, connection: sa.Connection) -> None:
        transaction = connection.get_transaction()
        assert transaction is not None
        with self._telling(NOT_KNOWN):  # the connection may have broken before, or after it was there
            transaction.commit()
        self._heard += 1

    @contextmanager
    def _begun(self, engine: sa.Engine) -> Generator[sa.Connection]:
        with self._checked_out(engine) as connection, connection.begin():
            yield connection

    @contextmanager
    def _checked_out(self, engine: sa.Engine) -> Generator[sa.Connection]:
        self._forget_parents_connections()
        with engine.connect() as connection:
            yield connection

    def _forget_parents_connections(self) -> None:
        """After a fork they belong to the parent: to use, or even to close them here would break its own."""
        if self._process == os.getpid():
            return
        for engine in (self.engine, self._of_steps):
            engine.dispose(close=False)
        self._listener = None
        self._watching = threading.Lock()  # a thread of the parent's may have held it
        self._own.clear()
        self._process = os.getpid()

    def _configure(self, connection: Any, _record: Any) -> None:
        connection.autocommit = True
        asked_at = time.time()
        found = connection.execute(
            f"SELECT {_CLOCK}, {_NOTICED},"
            " set_config('search_path', %s || ', ' || current_setting('search_path'), false),"
            " set_config('lock_timeout', %s, false),"
            f" {_DURABLE}",
            (self.schema, _milliseconds(self._busy_seconds)),
        )
        self._set_clock(found.fetchone()[0], asked_at)
        connection.autocommit = False
        self._own.add(connection.info.backend_pid)

    def _configure_for_steps(self, connection: Any, _record: Any) -> None:
        connection.autocommit = True
        connection.execute(f"SELECT {_NOTICED}, {_DURABLE}")
        connection.autocommit = False

    def _discard(self, connection: Any, record: Any, _state: Any) -> None:
        """What a step has set in its session, or left there, is not the next one's."""
        connection.rollback()
        connection.autocommit = True
        connection.execute(_DISCARD)
        self._configure_for_steps(connection, record)

    def _set_clock(self, shared: float, asked_at: float) -> None:
        """The answer was given at some time between the question and now: perhaps long ago, if we were held up."""
        latest, earliest = shared - asked_at, shared - time.time()
        if not earliest - CLOCK_NOISE_SECONDS <= self._offset <= latest + CLOCK_NOISE_SECONDS:
            self._offset = earliest if self._offset < earliest else latest

    @property
    def _grant(self) -> str:
        return f"Give the role the rights of the owner of the schema {self.schema}: GRANT owner TO role"

    @contextmanager
    def _telling(self, outcome: str = "") -> Generator[None]:
        """Say what a failure of PostgreSQL means, and what became of what was being written."""
        try:
            yield
        except (DBAPIError, PoolTimeout, psycopg.Error) as error:
            told = self._told(error, outcome)
            if told is None:
                raise
            raise told from error

    def trouble(self, error: Exception) -> Exception | None:
        return (
            self._told(error, NOTHING_WRITTEN) if isinstance(error, (DBAPIError, PoolTimeout, psycopg.Error)) else None
        )

    def _told(self, error: Exception, outcome: str) -> Exception | None:
        """What the failure means to the caller; None when it is about a statement, not the database."""
        if isinstance(error, PoolTimeout):
            advice = "This process has all open that it may have: use fewer slots."
            return DatabaseUnavailable(
                self.url, "no connection became free", advice, NOTHING_WRITTEN if outcome else ""
            )
        cause: object = getattr(error, "orig", error)
        said, state = _first_line(cause), getattr(cause, "sqlstate", None) or ""
        if any(each in said for each in _NO_CONNECTION_LEFT):
            return DatabaseUnavailable(self.url, said, _RAISE_CONNECTIONS, NOTHING_WRITTEN if outcome else "")
        if state.startswith(_CANNOT_OPEN) or (not state and any(each in said for each in _CANNOT_OPEN_SAID)):
            return CannotOpenDatabase(self.url, said, self._grant if state == _NO_RIGHTS else "")
        if state in _NOT_SEEN and "milepost_" in said:
            return CannotOpenDatabase(
                self.url, f"its role sees nothing of the schema {self.schema} ({said})", self._grant
            )
        if isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)) or state in (_READ_ONLY, _SILENT):
            outcome = NOTHING_WRITTEN if outcome and state in (_LOCKED, _READ_ONLY, _SILENT) else outcome
            advice = _ADVICE.get(state, "Try again when its server answers.")
            kind = {_LOCKED: LockKept, _SILENT: HeldUp}.get(state, DatabaseUnavailable)
            return kind(self.url, said, advice, outcome)
        return None

    def close(self) -> None:
        self._forget_parents_connections()
        with self._watching:
            self._stop_listening()
        for engine in (self.engine, self._of_steps):
            engine.dispose()


def channel_of(schema: str) -> str:
    """Where those listen who want to hear of commits."""
    return f"{schema}_milepost"


def lock_key(schema: str) -> int:
    """Of the advisory lock, which is one per database: 64 bits that no application is likely to use."""
    return int.from_bytes(b"mile", "big") << 32 | zlib.crc32(schema.encode())


def _address(url: str) -> tuple[str, sa.URL]:
    """The schema, and the URL without it. Raises CannotOpenDatabase."""
    given = parsed(url)
    schema = given.query.get("schema", DEFAULT_SCHEMA)
    if not isinstance(schema, str) or not SCHEMA_NAME.fullmatch(schema) or _is_reserved(schema):
        raise CannotOpenDatabase(
            url,
            f"the schema {schema!r} cannot be used: write ?schema= and up to 40 small letters, digits, underscores,"
            " no word of SQL and no pg_ in front",
        )
    if "@" in (given.host or ""):
        raise CannotOpenDatabase(url, "write %40 for an @ in the user's name or password")
    return schema, given.difference_update_query(["schema"])


def _is_reserved(name: str) -> bool:
    dialect: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return name.startswith("pg_") or dialect.identifier_preparer.quote(name) != name


def _milliseconds(seconds: float) -> str:
    return f"{int(seconds * 1000)}ms"


def _first_line(error: object) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
