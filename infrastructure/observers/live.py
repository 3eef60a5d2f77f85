"""Runs observers live, in a thread beside a worker: each is owned by one process at a time, by a lease.

What fails here fails a partition; what cannot be told whose it is has the observer stand still. A handler may be slow,
or never return: meanwhile another thread keeps the lease of its observer, and of no other one. See ADR/0019.
"""

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import sqlalchemy as sa

from milepost.domain.envelope import Origin
from milepost.domain.observers.errors import ObserverError
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.observers.state import ObserverStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import (
    CannotOpenDatabase,
    Database,
    DatabaseUnavailable,
    HeldUp,
    LockKept,
)
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.observers.handling import Handling, PageDone, PartitionUntold
from milepost.infrastructure.observers.holding import Holding
from milepost.infrastructure.observers.observer import Place
from milepost.infrastructure.observers.owning import LIVE_WAITS_SECONDS, Key, Leases
from milepost.infrastructure.observers.pace import Pace
from milepost.infrastructure.observers.retries import Retries
from milepost.infrastructure.observers.rows import ObserverMoved, ObserverRows, at_home, effects_transaction
from milepost.infrastructure.observers.telling import LINES_MOST, tell_failures
from milepost.infrastructure.observers.trying import TransactionEnded

log = logging.getLogger("milepost.observers")

LISTEN_SECONDS: Final = 0.05  # how often it looks for new events
IDLE_LISTEN_SECONDS: Final = 1.0  # how often where it runs none
LOOK_SECONDS: Final = 1.0  # how often for observers of other namespaces, and for leases that ran out
TROUBLE_SECONDS: Final = 0.5
LEAVING_SECONDS: Final = 10.0  # for a handler that does not return: then it ends with its process
LOCKED_SECONDS: Final = 5.0  # until it looks again at an observer that somebody else still handles events of
RATE_SECONDS: Final = 5.0  # without events, and a rate is not shown any more
LONGEST_PAUSE_SECONDS: Final = 300.0  # between two tries to open an observer
TURN_SECONDS: Final = 1.0  # of one observer that is behind: then the others have their turn


@dataclass(slots=True)
class _Owned:
    """An observer that this process runs."""

    handling: Handling
    state: ObserverState
    pace: Pace = field(init=False)
    again_at: float = float("-inf")  # not before: somebody else still handles events of it
    looked_at_job: float = float("-inf")
    position: int | None = None
    newest: int = 0
    trouble: str | None = None
    began_at: float | None = None  # when it began to handle what is behind it now
    handled: int = 0  # since then
    rated_at: float | None = None  # when it showed a rate

    def __post_init__(self) -> None:
        self.pace = Pace(self.handling.declared.batch_events)

    @property
    def key(self) -> Key:
        return (self.state.namespace, self.state.name)


@dataclass(slots=True)
class _Refused:
    """An observer that cannot be opened: how often that was tried, and when it is tried again."""

    tries: int
    again_at: float


class LiveObservers:
    """All is done in `turn`, by one thread. `namespace`: in which its observers are registered at once; `name`: of the
    worker that it runs beside.
    """

    def __init__(
        self,
        database: Database,
        job_types: JobTypes,
        namespace: str,
        surroundings: Surroundings,
        name: str,
        lease_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self._database = database
        self._job_types = job_types
        self._namespace = namespace
        self._surroundings = surroundings
        self._lease_seconds = lease_seconds
        self._origin = Origin(actor=self.name, source="worker")
        self._leases = Leases(database, surroundings, self.name, lease_seconds)
        self._retries = Retries(database, job_types, surroundings, self._origin)
        self._owned: dict[Key, _Owned] = {}
        self._refused: dict[Key, _Refused] = {}
        self._newest: dict[Hashable, int] = {}  # of each source, in this turn
        self._in_hand: Key | None = None  # whose code may be running now
        self._turns = 0  # begun
        self._quiet_turn = 0  # the newest in which nothing was to do
        self._registered = False
        self._looked_at = self._beat_at = float("-inf")
        self._closing = threading.Event()
        self._bell = threading.Event()
        self._thread = threading.Thread(target=self._run, name="milepost-observers", daemon=True)
        self._keeper = threading.Thread(target=self._keep, name="milepost-observer-lease", daemon=True)

    def __enter__(self) -> "LiveObservers":
        if self._job_types.observers.names():
            self._thread.start()
            self._keeper.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._bell.set()
        if self._thread.is_alive():
            self._thread.join(LEAVING_SECONDS)
        if self._thread.is_alive():
            key = self._in_hand
            log.warning("observer %s: its handler does not return; what it did is undone", key[1] if key else "?")

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
        self._newest.clear()
        states = self._leases.held() if self._owned else {}
        moved, left = False, False
        for key, owned in list(self._owned.items()):
            self._beat()
            if key not in self._owned:
                continue
            if key not in states:
                self._lose(key)
            elif tick < owned.again_at:
                left = True
            else:
                owned.state = states[key]
                moved = self._carefully(owned) or moved
        nothing_due = self._retries.turn([key for key, owned in self._owned.items() if _may_go_on(owned.state)])
        if nothing_due and not moved and not left:
            self._quiet_turn = self._turns
        return moved

    @property
    def turns(self) -> int:
        """How many rounds have begun."""
        return self._turns

    def idle(self, since: int) -> bool:
        """Whether a round that began after the round `since` found no events to hand over and no partition due."""
        if not self._thread.is_alive() or self._quiet_turn > since:
            return True
        self._bell.set()
        return False

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
            refused = self._refused.get(key)
            if (refused is None or tick >= refused.again_at) and self._leases.claim(key):
                self._in_hand = key
                try:
                    self._open(*key)
                finally:
                    self._in_hand = None

    def _open(self, namespace: str, name: str) -> None:
        place = Place(self._database, namespace)
        handling: Handling | None = None
        try:
            handling = Handling(self._job_types.observers.named(name), place, self._surroundings, self._origin)
            with effects_transaction(self._database, LIVE_WAITS_SECONDS) as connection:
                state = handling.rows(connection).observer()
                handling.effects(connection, state, state.generation).generation.ensure(connection)
        except Exception as error:
            if handling is not None:
                handling.close()
            if _is_the_databases(error):
                raise
            self._refuse((namespace, name), error)
            return
        self._refused.pop((namespace, name), None)
        self._leases.tell((namespace, name), trouble=None, rate=None)  # of whoever ran it before
        self._owned[namespace, name] = _Owned(handling, state)
        log.info("observer %s: it runs here", name)

    def _refuse(self, key: Key, error: Exception) -> None:
        """It is tried again after pauses that grow: its traceback is told once, and each further try by a line."""
        tries = self._refused[key].tries + 1 if key in self._refused else 1
        pause = min(self._lease_seconds * 2 ** (tries - 1), LONGEST_PAUSE_SECONDS)
        said = f"{type(error).__name__}: {error}"
        if tries == 1:
            log.error("observer %s: it cannot be opened; it is tried again", key[1], exc_info=error)
        else:
            log.warning("observer %s: it still cannot be opened (%s); again in %g s", key[1], said, pause)
        self._refused[key] = _Refused(tries, self._surroundings.monotonic() + pause)
        self._leases.tell(key, trouble=said)

    def _beat(self) -> None:
        """Keep the leases, also between the pages of one that has much to do."""
        tick = self._surroundings.monotonic()
        if tick >= self._beat_at + self._lease_seconds / 3:
            self._renew()
            self._beat_at = tick

    def _renew(self) -> None:
        for key in set(self._owned) - self._leases.renew(self._owned):
            self._lose(key)

    def _lose(self, key: Key) -> None:
        log.warning("observer %s: another process runs it now", key[1])
        self._owned.pop(key).handling.close()

    # -- what is new

    def _carefully(self, owned: _Owned) -> bool:
        """A defect is this observer's alone: it is told, and tried again."""
        self._in_hand = owned.key
        try:
            moved = self._advance_or_stand_still(owned)
        except Exception as error:
            if _is_the_databases(error):
                raise
            if isinstance(error, LockKept):
                owned.again_at = self._surroundings.monotonic() + LOCKED_SECONDS
                self._trouble(owned, "a batch of it is still being handled, by somebody who ran it before or by a job")
                return False
            if owned.trouble is None:  # once, not at every try
                log.exception("observer %s: it cannot go on; it is tried again", owned.state.name)
            self._trouble(owned, f"{type(error).__name__}: {error}")
            return False
        finally:
            self._in_hand = None
        self._trouble(owned, None)
        return moved

    def _advance_or_stand_still(self, owned: _Owned) -> bool:
        try:
            return self._advance(owned)
        except (PartitionUntold, TransactionEnded) as error:
            if self._holding(owned).quarantine(owned.state.name, str(error)):
                log.warning("observer %s: quarantined: %s", owned.state.name, error)
            return False

    def _advance(self, owned: _Owned) -> bool:
        self._free_if_its_job_is_over(owned)
        newest = self._newest_of(owned.handling)
        if owned.state.status is not ObserverStatus.ACTIVE:
            owned.position = owned.began_at = None  # somebody else may be handling events
            self._seen(owned, newest)
            owned.handling.forget()
            return False
        if owned.position is None:
            owned.position = self._position(owned)
        if owned.position >= newest:
            owned.began_at = None
            self._seen(owned, newest)
            return False
        if owned.began_at is None:
            owned.began_at, owned.handled = self._surroundings.monotonic(), 0
        before, ends_at = owned.handled, self._surroundings.monotonic() + TURN_SECONDS
        while owned.position < newest and self._page(owned, newest) and self._surroundings.monotonic() < ends_at:
            self._beat()
            if self._owned.get(owned.key) is not owned:  # another process runs it now
                return True
        self._seen(owned, newest, handled=owned.handled > before)
        return True

    def _newest_of(self, handling: Handling) -> int:
        """Asked once in a turn of each application, however many observers it has."""
        source = handling.declared.source_key() or id(handling)
        if source not in self._newest:
            self._newest[source] = handling.source.newest()
        return self._newest[source]

    def _page(self, owned: _Owned, newest: int) -> bool:
        handling, after = owned.handling, owned.position or 0
        stored = handling.source.after(after, owned.pace.events)
        if not stored:
            owned.position = newest
            return False
        page = handling.page(stored)
        try:
            with effects_transaction(self._database, LIVE_WAITS_SECONDS) as connection:
                still, generation = self._still_held(connection, owned), owned.state.generation
                _ = handling.rows(connection).slices(generation, lock=True)
                self._database.wait_at_most(connection, None)  # what the handler waits for is its own affair
                began_at = self._surroundings.monotonic()
                done = handling.handle(connection, page, owned.state, generation, after=after, still_held=still)
        except ObserverMoved:
            owned.position = None
            return False
        handling.remember(done)
        handed_over = sum(1 for each in stored if each.position <= done.end)
        owned.pace.took(max(1, handed_over), self._surroundings.monotonic() - began_at)
        self._tell(owned, done)
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

    def _seen(self, owned: _Owned, newest: int, *, handled: bool = False) -> None:
        """`handled`: whether any events were, in this turn."""
        tick, values = self._surroundings.monotonic(), dict[str, object]()
        active = owned.state.status is ObserverStatus.ACTIVE
        if newest != owned.newest:
            values["newest"] = newest
        if owned.began_at is not None and handled:
            seconds = tick - owned.began_at
            values["rate"] = owned.handled / seconds if seconds > 0 else None
            values["advanced_at"] = self._surroundings.now().isoformat()
        elif owned.rated_at is not None and (not active or tick >= owned.rated_at + RATE_SECONDS):
            values["rate"] = None
        if values and self._leases.tell(owned.key, **values):
            owned.newest = newest
            if "rate" in values:
                owned.rated_at = tick if handled else None

    def _tell(self, owned: _Owned, done: PageDone) -> None:
        """In the log, what has failed."""
        if not done.failed:
            return
        quarantined = done.observer.quarantined if owned.state.quarantined is None else None
        first = done.observer.version - done.failed - (quarantined is not None)
        with self._database.read() as connection:
            rows = owned.handling.rows(at_home(connection, self._database))
            told = rows.history(after=first, limit=min(done.failed, LINES_MOST))
        tell_failures(owned.state.name, [each.event for each in told], more=done.failed - len(told))
        if quarantined is not None:
            log.warning("observer %s: quarantined: %s", owned.state.name, quarantined)

    def _trouble(self, owned: _Owned, said: str | None) -> None:
        if owned.trouble != said and self._leases.tell(owned.key, trouble=said):
            owned.trouble = said

    def _holding(self, owned: _Owned) -> Holding:
        origin, waits = self._origin, LIVE_WAITS_SECONDS
        return Holding(self._database, owned.state.namespace, self._surroundings, origin, waits)

    # -- the threads

    def _keep(self) -> None:
        """Keep the lease of the observer whose code is running. The others may go on elsewhere, if that takes long."""
        while not self._closing.wait(self._lease_seconds / 3):
            key = self._in_hand
            if key is None:
                continue
            try:
                _ = self._leases.renew({key})
            except (DatabaseUnavailable, CannotOpenDatabase) as error:
                log.debug("observer %s: its lease was not kept: %s", key[1], error)
            except Exception:
                log.exception("observer %s: its lease was not kept", key[1])

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
                self._bell.wait(TROUBLE_SECONDS if trouble else LISTEN_SECONDS if self._owned else IDLE_LISTEN_SECONDS)
                self._bell.clear()
        try:
            self.leave()
        except (DatabaseUnavailable, CannotOpenDatabase) as error:
            log.warning("observers are held until their leases have run out: %s", error)


def _may_go_on(observer: ObserverState) -> bool:
    return not observer.paused and observer.quarantined is None


def _is_the_databases(error: Exception) -> bool:
    """Whether it concerns all observers. A lock that somebody keeps, or a handler that is silent, concerns one."""
    return isinstance(error, (DatabaseUnavailable, CannotOpenDatabase)) and not isinstance(error, (LockKept, HeldUp))
