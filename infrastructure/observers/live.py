"""Runs observers live, in a thread beside a worker: each is owned by one process at a time, by a lease.

What fails here fails a partition; what cannot be told whose it is has the observer stand still. See ADR/0019.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import sqlalchemy as sa

from milepost.domain.envelope import Origin
from milepost.domain.observers.errors import ObserverError
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.observers.state import ObserverStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database, DatabaseUnavailable
from milepost.infrastructure.event_store.lease_time import observer_run
from milepost.infrastructure.event_store.schema import observers
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.observers.handling import ALL_SLICES, Handling, PartitionUntold
from milepost.infrastructure.observers.holding import Holding
from milepost.infrastructure.observers.observer import Place
from milepost.infrastructure.observers.retries import Retries
from milepost.infrastructure.observers.rows import ObserverMoved, ObserverRows, at_home, effects_transaction

log = logging.getLogger("milepost.observers")

LISTEN_SECONDS: Final = 0.05  # how often it looks for new events
IDLE_LISTEN_SECONDS: Final = 1.0  # how often where no observer is known
LOOK_SECONDS: Final = 1.0  # how often for observers of other namespaces, and for leases that ran out
TROUBLE_SECONDS: Final = 0.5
MOST_PAGES: Final = 20  # of one observer, then others have their turn


@dataclass(slots=True)
class _Owned:
    """An observer that this process runs."""

    handling: Handling
    state: ObserverState
    position: int | None = None
    newest: int = 0
    trouble: str | None = None
    began_at: float | None = None  # when it began to handle what is behind it now
    handled: int = 0  # since then


class LiveObservers:
    """All is done in `turn`, by one thread. `namespace`: in which its observers are registered at once."""

    def __init__(
        self,
        database: Database,
        job_types: JobTypes,
        namespace: str,
        surroundings: Surroundings,
        lease_seconds: float = 10.0,
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{surroundings.new_id().hex[-6:]}"
        self._database = database
        self._job_types = job_types
        self._namespace = namespace
        self._surroundings = surroundings
        self._lease_seconds = lease_seconds
        self._origin = Origin(actor=self.name, source="worker")
        self._retries = Retries(database, job_types, surroundings, self._origin)
        self._owned: dict[tuple[str, str], _Owned] = {}
        self._registered = False
        self._looked_at = self._beat_at = float("-inf")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="milepost-observers", daemon=True)

    def __enter__(self) -> "LiveObservers":
        if self._job_types.observers.names():
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def turn(self) -> bool:
        """One round: keep the leases, take what nobody runs, hand over what is new; whether there was any.

        Raises DatabaseUnavailable, CannotOpenDatabase; the next round goes on from there.
        """
        self._register()
        tick = self._surroundings.monotonic()
        if self._is_beat_due():  # first: an own lease that ran out a moment ago is not another's to take
            self._renew()
            self._beat_at = tick
        if tick >= self._looked_at + LOOK_SECONDS:
            self._own()
            self._looked_at = tick
        moved = False
        for owned in list(self._owned.values()):
            moved = self._carefully(owned) or moved
        self._retries.turn([owned.state for owned in self._owned.values()])
        return moved

    def leave(self) -> None:
        """Let go of all, so that nobody waits for a lease."""
        mine = observers.update().where(observers.c.holder == self.name)
        with self._database.write() as connection:
            connection.execute(mine.values(holder=None, expires_at=None, seconds=None))
        for owned in self._owned.values():
            owned.handling.close()
        self._owned.clear()

    # -- which are ours

    def _register(self) -> None:
        if self._registered:
            return
        for name in self._job_types.observers.wanted():
            with effects_transaction(self._database) as connection:
                ObserverRows(connection, self._namespace, name).register(self._origin, self._surroundings)
        self._registered = True

    def _own(self) -> None:
        """Take those that nobody runs."""
        now = self._surroundings.now().timestamp()
        names = self._job_types.observers.names()
        free = sa.select(observers.c.namespace, observers.c.name).where(
            observers.c.name.in_(names), sa.not_(observer_run(now))
        )
        with self._database.read() as connection:
            found = connection.execute(free).all()
        for namespace, name in found:
            if self._claim(namespace, name, now):
                self._open(namespace, name)

    def _claim(self, namespace: str, name: str, now: float) -> bool:
        mine = observers.update().where(
            observers.c.namespace == namespace, observers.c.name == name, sa.not_(observer_run(now))
        )
        lease = {"holder": self.name, "expires_at": now + self._lease_seconds, "seconds": self._lease_seconds}
        with self._database.write() as connection:
            return connection.execute(mine.values(lease)).rowcount == 1

    def _open(self, namespace: str, name: str) -> None:
        if (known := self._owned.pop((namespace, name), None)) is not None:
            known.handling.close()
        place = Place(self._database, namespace)
        try:
            handling = Handling(self._job_types.observers.named(name), place, self._surroundings, self._origin)
            with effects_transaction(self._database) as connection:
                state = handling.rows(connection).observer()
                handling.effects(connection, state, state.generation).generation.ensure(connection)
        except (DatabaseUnavailable, CannotOpenDatabase):
            raise
        except Exception as error:
            log.exception("observer %s: its events cannot be read", name)
            self._tell(namespace, name, trouble=f"{type(error).__name__}: {error}")
            return
        self._owned[namespace, name] = _Owned(handling, state)
        log.info("observer %s: it runs here", name)

    def _is_beat_due(self) -> bool:
        """Asked between pages too: a long way to the newest event must not cost the leases."""
        return self._surroundings.monotonic() >= self._beat_at + self._lease_seconds / 3

    def _renew(self) -> None:
        if not self._owned:
            return
        now = self._surroundings.now().timestamp()
        mine = (
            observers.update().where(observers.c.holder == self.name).returning(observers.c.namespace, observers.c.name)
        )
        with self._database.write() as connection:
            rows = connection.execute(mine.values(expires_at=now + self._lease_seconds, seconds=self._lease_seconds))
            held = {(namespace, name) for namespace, name in rows}
        for key in set(self._owned) - held:
            log.warning("observer %s: another process runs it now", key[1])
            self._owned.pop(key).handling.close()

    # -- what is new

    def _carefully(self, owned: _Owned) -> bool:
        """A defect is this observer's alone: it is told, and tried again."""
        try:
            moved = self._advance(owned)
        except (DatabaseUnavailable, CannotOpenDatabase):
            raise
        except PartitionUntold as error:
            self._holding(owned).quarantine(owned.state.name, str(error))
            return False
        except Exception as error:
            if owned.trouble is None:  # once, not at every try
                log.exception("observer %s: it cannot go on; it is tried again", owned.state.name)
            self._trouble(owned, f"{type(error).__name__}: {error}")
            return False
        self._trouble(owned, None)
        return moved

    def _advance(self, owned: _Owned) -> bool:
        owned.state = self._look(owned)
        newest = owned.handling.source.newest()
        if owned.state.status is not ObserverStatus.ACTIVE:
            self._seen(owned, newest)
            owned.position = None  # somebody else may be handling events
            return False
        if owned.position is None:
            owned.position = self._position(owned)
        if owned.position >= newest:
            self._seen(owned, newest)
            owned.began_at = None
            return False
        if owned.began_at is None:
            owned.began_at, owned.handled = self._surroundings.monotonic(), 0
        for _ in range(MOST_PAGES):
            if owned.position >= newest or not self._page(owned, newest) or self._is_beat_due():
                break
        self._seen(owned, newest)
        return True

    def _page(self, owned: _Owned, newest: int) -> bool:
        handling = owned.handling
        stored = handling.source.after(owned.position or 0, handling.declared.batch_events)
        if not stored:
            owned.position = newest
            return False
        page = handling.page(stored)
        try:
            with effects_transaction(self._database) as connection:
                still = self._still_held(connection, owned)
                done = handling.handle(connection, page, owned.state, owned.state.generation, ALL_SLICES, still)
        except ObserverMoved:
            owned.position = None
            return False
        handling.remember(done)
        owned.state, owned.position = done.observer, page.end
        owned.handled += done.handled
        return owned.state.status is ObserverStatus.ACTIVE and not self._closing.is_set()

    def _still_held(self, connection: sa.Connection, owned: _Owned) -> Callable[[], bool]:
        """The lease was ours when nobody could take the observer's slices any more: whoever took it finds this done."""
        state = owned.state
        holder = sa.select(observers.c.holder).where(
            observers.c.namespace == state.namespace, observers.c.name == state.name
        )
        return lambda: connection.scalar(holder) == self.name

    def _look(self, owned: _Owned) -> ObserverState:
        with self._database.read() as connection:
            rows = owned.handling.rows(at_home(connection, self._database))
            return rows.observer()

    def _position(self, owned: _Owned) -> int:
        with self._database.read() as connection:
            rows = owned.handling.rows(at_home(connection, self._database))
            return min((each.position for each in rows.slices(owned.state.generation)), default=0)

    # -- what is shown

    def _seen(self, owned: _Owned, newest: int) -> None:
        if newest == owned.newest and owned.began_at is None:
            return
        owned.newest = newest
        values: dict[str, object] = {"newest": newest}
        if owned.began_at is not None:
            seconds = self._surroundings.monotonic() - owned.began_at
            values["rate"] = owned.handled / seconds if seconds > 0 else None
            values["advanced_at"] = self._surroundings.now().isoformat()
        self._tell(owned.state.namespace, owned.state.name, **values)

    def _trouble(self, owned: _Owned, said: str | None) -> None:
        if owned.trouble != said:
            owned.trouble = said
            self._tell(owned.state.namespace, owned.state.name, trouble=said)

    def _tell(self, namespace: str, name: str, **values: object) -> None:
        one = observers.update().where(observers.c.namespace == namespace, observers.c.name == name)
        with self._database.write() as connection:
            connection.execute(one.values(**values))

    def _holding(self, owned: _Owned) -> Holding:
        return Holding(self._database, owned.state.namespace, self._surroundings, self._origin)

    # -- the thread

    def _run(self) -> None:
        trouble = False
        while not self._closing.is_set():
            moved = False
            try:
                moved = self.turn()
                trouble = False
            except (DatabaseUnavailable, CannotOpenDatabase) as error:
                if not trouble:  # once, not at every try
                    log.warning("observers wait: %s", error)
                trouble = True
            except ObserverError as error:
                log.warning("observers: %s", error)
                trouble = True
            except Exception:
                log.exception("observers: a defect; they are tried again")
                trouble = True
            if not moved:
                self._closing.wait(TROUBLE_SECONDS if trouble else LISTEN_SECONDS)
        try:
            self.leave()
        except (DatabaseUnavailable, CannotOpenDatabase) as error:
            log.warning("observers are held until their leases have run out: %s", error)
