"""The composition root: the one place that chooses adapters and puts them together."""

import gc
import getpass
import os
import socket
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

from milepost.infrastructure.event_store.database import (
    CannotOpenDatabase,
    Database,
    DatabaseUnavailable,
    file_of,
    open_database,
)
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.event_store.queries import LEFT_TO_WORKERS, JobPage, JobQueries, Row, id_prefix
from milepost.infrastructure.event_store.schema import VERSION as SCHEMA_VERSION
from milepost.infrastructure.event_store.schema import prepare, try_to_write, version_of
from milepost.infrastructure.settings import Settings, masked

if TYPE_CHECKING:
    import sqlalchemy as sa

    from milepost.domain.envelope import Origin
    from milepost.infrastructure.audit.archiving import Archive, Archived
    from milepost.infrastructure.audit.verifying import Tally, Verifier
    from milepost.infrastructure.clock import RealSurroundings
    from milepost.infrastructure.event_store.explaining import Explaining
    from milepost.infrastructure.event_store.pruning import Pruning
    from milepost.infrastructure.event_store.store import JobStore, Outcome, Situation
    from milepost.infrastructure.event_store.tokens import Role, Token, Tokens
    from milepost.infrastructure.job_types.registry import JobTypes
    from milepost.infrastructure.observers.live import LiveObservers
    from milepost.infrastructure.retention.keeper import Retention
    from milepost.infrastructure.retention.rules import RetentionRule
    from milepost.infrastructure.running.executors import StepExecutor
    from milepost.infrastructure.running.worker import Worker

__all__ = [
    "LEFT_TO_WORKERS",
    "SCHEMA_VERSION",
    "Application",
    "CannotOpenDatabase",
    "DatabaseUnavailable",
    "ExecutorKind",
    "JobFilter",
    "JobPage",
    "Outcome",
    "Row",
    "Situation",
    "Token",
    "event_store_exists",
    "id_prefix",
    "now",
    "open_to_others",
    "origin",
    "product_of",
    "role",
    "try_to_write",
    "user_at_host",
]

MAKES_ONE: Final = "'milepost event-stores create', 'jobs start', 'jobs run' or 'worker' makes it; or correct the URL"
ExecutorKind = Literal["threads", "processes", "dask"]
GARBAGE_THRESHOLD: Final = 50_000  # new objects between two looks of the garbage collector


class Application:
    """One event store, opened. What a command does not use is not even imported.

    `note` is told what people should know and no program needs.
    """

    def __init__(self, settings: Settings, note: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings
        self.connections_kept: int | None = None  # more than usual, where many ask at once
        self.namespace = settings.namespace.value
        self._note = note

    @cached_property
    def database(self) -> Database:
        """Made where it is not there yet, and people are told: the path may be mistyped. Raises CannotOpenDatabase."""
        if prepare(self._opened):
            self._note(f"Made a new event store at {masked(self.settings.url.value)}")
        return self._opened

    def create(self) -> bool:
        """Make the event store where it is not there yet: whether that was so. Raises CannotOpenDatabase."""
        return prepare(self._opened)

    @cached_property
    def _opened(self) -> Database:
        database = open_database(self.settings.url.value, self.connections_kept)
        if database.in_memory:
            cause = "a database in memory ends with the command that opened it; write sqlite:///PATH"
            raise CannotOpenDatabase(self.settings.url.value, cause)
        return database

    @property
    def reading(self) -> Database:
        """The database for whoever only reads, which makes no event store: its path may be mistyped.

        The one in the user's data folder is nobody's to mistype: where it is not there yet, it is empty. Raises
        CannotOpenDatabase.
        """
        if self.settings.url.source == "default" and not self._exists:
            return self._empty
        return self.existing

    @property
    def existing(self) -> Database:
        """The database of an event store that is there. Raises CannotOpenDatabase where there is none."""
        if not self._exists:
            raise CannotOpenDatabase(self.settings.url.value, "there is none yet", MAKES_ONE)
        return self.database

    @property
    def _exists(self) -> bool:
        if "database" in self.__dict__:
            return True
        exists = event_store_exists(self.settings.url.value)
        return version_of(self._opened) is not None if exists is None else exists

    @cached_property
    def _empty(self) -> Database:
        self._note(f"Nothing was started yet: there is no {file_of(self.settings.url.value)}")
        database = open_database("sqlite://")
        prepare(database)
        return database

    @property
    def queries(self) -> JobQueries:
        """Raises CannotOpenDatabase."""
        return JobQueries(self.reading)

    @property
    def explaining(self) -> "Explaining":
        """Raises CannotOpenDatabase."""
        from milepost.infrastructure.event_store.explaining import Explaining

        return Explaining(self.reading, self.queries)

    def change_marker(self) -> int:
        """A number that differs when anybody has written since. Raises CannotOpenDatabase, DatabaseUnavailable."""
        return self.reading.change_marker()

    @cached_property
    def store(self) -> "JobStore":
        from milepost.infrastructure.event_store.store import JobStore

        return JobStore(self.database, self.surroundings)

    def pruning(self, database: Database) -> "Pruning":
        """What takes histories out of that database of this application."""
        from milepost.infrastructure.event_store.pruning import Pruning

        return Pruning(database, self.surroundings)

    def archive(self, folder: Path, told: "Callable[[Archived], object]") -> "Archive":
        """Where histories are kept before they are pruned; `told` hears of each file."""
        from milepost.infrastructure.audit.archiving import Archive

        return Archive(self.existing, self.surroundings, folder, self.settings.event_store.value, told)

    @cached_property
    def retention_rules(self) -> "tuple[RetentionRule, ...]":
        """Those for this event store. Raises SettingsInvalid."""
        if not self.settings.retention:
            return ()
        from milepost.infrastructure.retention.rules import rules_of

        return rules_of(self.settings)

    def retention(self, worker: str) -> "Retention":
        """What prunes by them, beside the worker of that name. Raises SettingsInvalid."""
        from milepost.infrastructure.retention.keeper import Retention

        event_store = self.settings.event_store.value
        return Retention(self.database, self.surroundings, self.retention_rules, worker, event_store)

    @cached_property
    def surroundings(self) -> "RealSurroundings":
        """The clock that all users of the event store share, ids and chances."""
        from milepost.infrastructure.clock import RealSurroundings

        return RealSurroundings(lambda: self._opened.clock_offset)

    @property
    def tokens(self) -> "Tokens":
        """Who may ask over HTTP. Raises CannotOpenDatabase."""
        from milepost.infrastructure.event_store.tokens import Tokens

        return Tokens(self.database, self.store.surroundings)

    def verifier(self, progress: "Callable[[Tally], None]") -> "Verifier":
        """What compares all that is stored with its histories. Raises CannotOpenDatabase."""
        from milepost.infrastructure.audit.verifying import Verifier

        return Verifier(self.existing, progress)

    def now(self) -> datetime:
        """By the clock that all users of the event store share."""
        return now() + timedelta(seconds=self.reading.clock_offset)

    @cached_property
    def job_types(self) -> "JobTypes":
        """The shipped ones, those of installed packages, those that the settings name."""
        from milepost.infrastructure.job_types.registry import JobTypes

        for folder in self.settings.import_from:
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
        return JobTypes.load(self.settings.job_types)

    def worker(
        self,
        *,
        slots: int | None,
        kind: ExecutorKind,
        scheduler: str | None = None,
        only: UUID | None = None,
        types: frozenset[str] | None = None,
        queues: frozenset[str] | None = None,
        lease_seconds: float = 10.0,
        grace_seconds: float = 30.0,
    ) -> "tuple[Worker, StepExecutor]":
        """A worker on this event store, for one job or for all, and the executor that is to be closed after it.

        `scheduler`: of the Dask cluster, of which it takes `slots` threads at most (None: all); without one a local
        cluster of `slots` processes. Raises ClusterUnusable, NotInstalled.
        """
        from milepost.infrastructure.running.worker import Worker, WorkerSettings

        # An engine makes few cycles and many objects that live long: looking through all of them each 700 new ones
        # costs a third of a job of 100,000 steps.
        gc.set_threshold(GARBAGE_THRESHOLD)

        store = self.store  # first: an executor that nobody closes would outlive a database that does not answer
        executor = self._executor(kind, slots, scheduler)
        settings = WorkerSettings(
            lease_seconds=lease_seconds,
            heartbeat_seconds=min(3.0, lease_seconds / 3),
            grace_seconds=grace_seconds,
            types=types,
            queues=queues,
        )
        worker = Worker(
            store=store,
            job_types=self.job_types,
            executor=executor,
            surroundings=store.surroundings,
            settings=settings,
            only=only,
        )
        return worker, executor

    def live_observers(self, worker: str, lease_seconds: float = 10.0) -> "LiveObservers":
        """What runs observers live, beside the worker of that name."""
        from milepost.infrastructure.observers.live import LiveObservers

        return LiveObservers(self.database, self.job_types, self.namespace, self.surroundings, worker, lease_seconds)

    def _executor(self, kind: ExecutorKind, slots: int | None, scheduler: str | None) -> "StepExecutor":
        from milepost.infrastructure.running.executors import NotInstalled, ProcessExecutor, thread_executor
        from milepost.infrastructure.running.perform import Environment

        modules, url = self.settings.job_types, self.settings.url.value
        if kind != "dask":
            assert slots is not None, "only a cluster knows by itself how many it has"
            if kind == "processes":
                return ProcessExecutor(slots, modules, url)
            return thread_executor(slots, Environment(self.job_types, self.database))
        try:
            from milepost.infrastructure.running.dask_executor import DaskExecutor
        except ModuleNotFoundError as error:
            raise NotInstalled("dask", str(error)) from error
        _ = self.database  # it is there when the cluster looks
        return DaskExecutor(scheduler, modules, url, slots)

    def close(self) -> None:
        for name in ("_opened", "_empty"):
            if name in self.__dict__:
                getattr(self, name).close()


def role(name: str) -> "Role":
    """What a token may do, by its name. Raises RoleUnknown."""
    from milepost.infrastructure.event_store.tokens import role_of

    return role_of(name)


def product_of(connection: "sa.Connection") -> str:
    """The database and its version: SQLite 3.40.1, PostgreSQL 18.0."""
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[connection.dialect.name]
    return f"{name} {'.'.join(map(str, connection.dialect.server_version_info or ()))}"


def event_store_exists(url: str) -> bool | None:
    """Whether its file is there; None where it is no file, or nobody lets us look."""
    try:
        path = file_of(url)
        return None if path is None else path.exists()
    except (CannotOpenDatabase, OSError):
        return None


def open_to_others(url: str) -> str | None:
    """The file of the event store, where more people than its owner may read it."""
    path = file_of(url)
    if path is None or os.name != "posix" or not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return None
    return str(path)


def origin(reason: str = "") -> "Origin":
    """Who acts from this command line."""
    from milepost.domain.envelope import Origin

    return Origin(actor=user_at_host(), source="cli", reason=reason)


def user_at_host() -> str:
    """The user as the system knows it, never as an option or the environment claims."""
    try:
        from pwd import getpwuid
    except ImportError:  # where there are no such accounts
        user = getpass.getuser()
    else:
        try:
            user = getpwuid(os.getuid()).pw_name
        except KeyError:  # a user id without a name, as in many containers
            user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def now() -> datetime:
    return datetime.now(UTC)
