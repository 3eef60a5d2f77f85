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
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.observers.handling import Handling, PartitionUntold
from milepost.infrastructure.observers.holding import Holding
from milepost.infrastructure.observers.observer import Place
from milepost.infrastructure.observers.owning import Key, Leases
from milepost.infrastructure.observers.retries import Retries
from milepost.infrastructure.observers.rows import ObserverMoved, ObserverRows, at_home, effects_transaction
from milepost.infrastructure.observers.trying import TransactionEnded

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
    looked_at_job: float = float("-inf")
    position: int | None = None
    newest: int = 0
    trouble: str | None = None
    began_at: float | None = None  # when it began to handle what is behind it now
    handled: int = 0  # since then

    @property
    def key(self) -> Key:
        return (self.state.namespace, self.state.name)


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
        self._leases = Leases(database, surroundings, self.name, lease_seconds)
        self._retries = Retries(database, job_types, surroundings, self._origin)
        self._owned: dict[Key, _Owned] = {}
        self._refused: dict[Key, float] = {}  # until when those whose events cannot be read are left alone
        self._turns = 0  # begun
        self._quiet_turn = 0  # the newest in which nothing was to do
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
        self._turns += 1
        self._register()
        tick = self._surroundings.monotonic()
        self._beat()  # first: an own lease that ran out a moment ago is not another's to take
        if tick >= self._looked_at + LOOK_SECONDS:
            self._own()
            self._looked_at = tick
        moved = False
        for key, owned in list(self._owned.items()):
            self._beat()
            if key in self._owned:
                moved = self._carefully(owned) or moved
        nothing_due = self._retries.turn([owned.state for owned in self._owned.values()])
        if nothing_due and not moved:
            self._quiet_turn = self._turns
        return moved

    @property
    def turns(self) -> int:
        """How many rounds have begun."""
        return self._turns

    def idle(self, since: int) -> bool:
        """Whether a round that began after the round `since` found no events to hand over and no partition due."""
        return not self._thread.is_alive() or self._quiet_turn > since

    def leave(self) -> None:
        """Let go of all, so that nobody waits for a lease."""
        for owned in self._owned.values():
            owned.handling.close()
        self._owned.clear()
        self._leases.leave()

    # -- which are ours

    def _register(self) -> None:
        if self._registered:
            return
        for name in self._job_types.observers.wanted():
            with effects_transaction(self._database) as connection:
                ObserverRows(connection, self._namespace, name).register(self._origin, self._surroundings)
        self._registered = True

    def _own(self) -> None:
        """Take those that nobody runs, and those of ours that could not be opened when they were taken."""
        tick = self._surroundings.monotonic()
        for key in sorted(self._leases.open_to_us(self._job_types.observers.names()) - set(self._owned)):
            if tick >= self._refused.get(key, tick) and self._leases.claim(key):
                self._open(*key)

    def _open(self, namespace: str, name: str) -> None:
        place = Place(self._database, namespace)
        handling: Handling | None = None
        try:
            handling = Handling(self._job_types.observers.named(name), place, self._surroundings, self._origin)
            with effects_transaction(self._database) as connection:
                state = handling.rows(connection).observer()
                handling.effects(connection, state, state.generation).generation.ensure(connection)
        except Exception as error:
            if handling is not None:
                handling.close()
            if isinstance(error, (DatabaseUnavailable, CannotOpenDatabase)):
                raise
            log.exception("observer %s: its events cannot be read", name)
            self._refused[namespace, name] = self._surroundings.monotonic() + self._lease_seconds
            self._leases.tell((namespace, name), trouble=f"{type(error).__name__}: {error}")
            return
        self._leases.tell((namespace, name), trouble=None)  # of whoever ran it before
        self._owned[namespace, name] = _Owned(handling, state)
        log.info("observer %s: it runs here", name)

    def _beat(self) -> None:
        """Keep the leases, also between the pages of one that has much to do."""
        tick = self._surroundings.monotonic()
        if tick >= self._beat_at + self._lease_seconds / 3:
            self._renew()
            self._beat_at = tick

    def _renew(self) -> None:
        for key in set(self._owned) - self._leases.renew(self._owned):
            log.warning("observer %s: another process runs it now", key[1])
            self._owned.pop(key).handling.close()

    # -- what is new

    def _carefully(self, owned: _Owned) -> bool:
        """A defect is this observer's alone: it is told, and tried again."""
        try:
            moved = self._advance(owned)
        except (DatabaseUnavailable, CannotOpenDatabase):
            raise
        except (PartitionUntold, TransactionEnded) as error:
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
        self._free_if_its_job_is_over(owned)
        newest = owned.handling.source.newest()
        if owned.state.status is not ObserverStatus.ACTIVE:
            self._seen(owned, newest)
            owned.position = owned.began_at = None  # somebody else may be handling events
            owned.handling.forget()
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
            if owned.position >= newest or not self._page(owned, newest):
                break
            self._beat()
            if self._owned.get(owned.key) is not owned:  # another process runs it now
                return True
        self._seen(owned, newest)
        return True

    def _page(self, owned: _Owned, newest: int) -> bool:
        handling, after = owned.handling, owned.position or 0
        stored = handling.source.after(after, handling.declared.batch_events)
        if not stored:
            owned.position = newest
            return False
        page = handling.page(stored)
        try:
            with effects_transaction(self._database) as connection:
                still = self._still_held(connection, owned)
                generation = owned.state.generation
                done = handling.handle(connection, page, owned.state, generation, after=after, still_held=still)
        except ObserverMoved:
            owned.position = None
            return False
        handling.remember(done)
        owned.state, owned.position = done.observer, done.end
        owned.handled += done.handled
        return owned.state.status is ObserverStatus.ACTIVE and not self._closing.is_set()

    def _still_held(self, connection: sa.Connection, owned: _Owned) -> Callable[[], bool]:
        """The lease was ours when nobody could take the observer's slices any more: whoever took it finds this done."""
        return lambda: self._leases.holds(connection, owned.key)

    def _free_if_its_job_is_over(self, owned: _Owned) -> None:
        """A job that was removed, or cancelled without its cleanup, has not let go: nobody else would notice."""
        tick = self._surroundings.monotonic()
        if owned.state.job is None or tick < owned.looked_at_job + LOOK_SECONDS:
            return
        owned.looked_at_job = tick
        if self._holding(owned).free_if_over(owned.handling):
            log.warning("observer %s: job %s is over and had not let go", owned.state.name, owned.state.job)
            owned.state = self._look(owned)

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
        values: dict[str, object] = {"newest": newest}
        if owned.began_at is not None:
            seconds = self._surroundings.monotonic() - owned.began_at
            values["rate"] = owned.handled / seconds if seconds > 0 else None
            values["advanced_at"] = self._surroundings.now().isoformat()
        if self._leases.tell(owned.key, **values):
            owned.newest = newest

    def _trouble(self, owned: _Owned, said: str | None) -> None:
        if owned.trouble != said and self._leases.tell(owned.key, trouble=said):
            owned.trouble = said

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
