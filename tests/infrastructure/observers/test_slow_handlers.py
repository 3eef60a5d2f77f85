"""A handler that is slow, or never returns, stops nobody else."""

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.database import HeldUp
from milepost.infrastructure.event_store.schema import observers
from milepost.infrastructure.observers.holding import Holding, StillHandled
from milepost.infrastructure.observers.live import LiveObservers
from milepost.infrastructure.observers.observer import Effects, Observed, observer
from milepost.infrastructure.observers.rows import ObserverRows, at_home, effects_transaction
from tests.infrastructure.observers.accounts import Balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, OPERATOR, Theatre
from tests.infrastructure.running.stage import turn_until

on_a_server = pytest.mark.parametrize("theatre", ["server"], indirect=True)
EVENT_SECONDS = 0.02


@on_a_server
def test_while_somebody_handles_events_of_one_observer_the_others_go_on(theatre: Theatre) -> None:
    handled: list[int] = []

    @observer("notes")
    class Notes(Balances):
        tables = sa.MetaData()

        def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
            handled.extend(each.event.amount for each in events)

    theatre.stage.types.observers.add(Notes)
    theatre.live = theatre.another_live()
    (ann,) = open_accounts(theatre.bank, 1)
    theatre.go(2)
    deposit(theatre.bank, ann, 1, 2)
    with effects_transaction(theatre.stage.database) as connection:
        ObserverRows(connection, NAMESPACE, "balances").slices(1, lock=True)
        theatre.go()
        assert handled == [1, 2]
        assert "still being handled" in (_row(theatre).trouble or "")

    theatre.go(6)
    assert _row(theatre).trouble is None
    assert theatre.read() == expected(theatre.bank)


@on_a_server
def test_a_process_that_stands_still_in_a_batch_lets_go_of_its_slices(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    theatre.go(2)
    deposit(theatre.bank, ann, 1, 2)

    def handled() -> bool:
        theatre.go()
        return theatre.read() == expected(theatre.bank)

    with ExitStack() as stack:
        with monkeypatch.context() as patched:
            patched.setattr("milepost.infrastructure.observers.rows.SILENT_SECONDS", 0.3)
            still = stack.enter_context(effects_transaction(theatre.stage.database))
        ObserverRows(still, NAMESPACE, "balances").slices(1, lock=True)
        turn_until(handled)
        with pytest.raises(HeldUp):
            stack.close()


@on_a_server
def test_a_handler_that_is_silent_for_too_long_is_told_of_and_stops_no_other(theatre: Theatre) -> None:
    limits: list[str | None] = []

    @observer("silent")
    class Silent(Balances):
        tables = sa.MetaData()

        def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
            limits.append(effects.connection.scalar(sa.text("SHOW idle_in_transaction_session_timeout")))
            effects.connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '10ms'"))
            time.sleep(1)

    theatre.stage.types.observers.add(Silent)
    theatre.live = theatre.another_live()
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2)
    theatre.go(3)

    assert set(limits) == {"30s"}
    assert "held up for too long" in (_row(theatre, "silent").trouble or "")
    assert theatre.read() == expected(theatre.bank)


@on_a_server
def test_a_command_says_that_a_batch_is_still_being_handled(theatre: Theatre) -> None:
    theatre.go()
    hasty = Holding(theatre.stage.database, NAMESPACE, theatre.stage.clock, OPERATOR, lock_seconds=0.05)
    with effects_transaction(theatre.stage.database) as connection:
        ObserverRows(connection, NAMESPACE, "balances").slices(1, lock=True)
        with pytest.raises(StillHandled, match="A batch of observer 'balances' is still being handled"):
            hasty.pause("balances")

    assert hasty.pause("balances")


@on_a_server
def test_a_handler_may_wait_for_locks_of_its_own_for_longer_than_its_owner_waits(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str | None] = []
    handle_batch = Balances.handle_batch

    def look(self: Balances, events: Sequence[Observed], effects: Effects) -> None:
        found.append(effects.connection.scalar(sa.text("SELECT current_setting('lock_timeout')")))
        handle_batch(self, events, effects)

    monkeypatch.setattr(Balances, "handle_batch", look)
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1)
    theatre.go(2)

    assert found == ["0"]


@on_a_server
def test_the_lease_of_an_observer_is_kept_while_its_handler_runs(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, gate = threading.Event(), threading.Event()

    def wait(self: Balances, events: Sequence[Observed], effects: Effects) -> None:
        running.set()
        assert gate.wait(60)

    monkeypatch.setattr(Balances, "handle_batch", wait)
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1)
    live = LiveObservers(
        theatre.stage.database, theatre.stage.types, NAMESPACE, theatre.stage.clock, "slow", lease_seconds=0.3
    )
    with live:
        assert running.wait(60)
        theatre.stage.clock.pass_time(1000.0)
        then = theatre.stage.clock.now().timestamp()
        renewed = threading.Event()
        for _ in range(600):
            if (_row(theatre).expires_at or 0.0) > then:
                break
            renewed.wait(0.1)
        assert (_row(theatre).expires_at or 0.0) > then
        gate.set()


@pytest.mark.parametrize("theatre", ["memory"], indirect=True)
@pytest.mark.parametrize("by_a_job", [False, True])
def test_batches_of_a_slow_handler_are_small(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch, *, by_a_job: bool
) -> None:
    sizes: list[int] = []

    def slow(self: Balances, events: Sequence[Observed], effects: Effects) -> None:
        sizes.append(len(events))
        theatre.stage.clock.pass_time(EVENT_SECONDS * len(events))

    monkeypatch.setattr(Balances, "handle_batch", slow)
    monkeypatch.setattr(Balances, "batch_events", 1_000)
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, *range(400))
    if by_a_job:
        assert theatre.run("catch-up-observer") is JobStatus.COMPLETED_SUCCESSFULLY
    else:
        theatre.go(20)

    assert sum(sizes) == 400
    assert all(size * EVENT_SECONDS <= 0.5 for size in sizes[1:])
    assert sizes[0] * EVENT_SECONDS <= 1.0


@pytest.mark.parametrize("theatre", ["memory"], indirect=True)
def test_an_observer_that_is_far_behind_lets_the_others_have_their_turn(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[str] = []

    def slow(self: Balances, events: Sequence[Observed], effects: Effects) -> None:
        handled.extend([self.name] * len(events))
        theatre.stage.clock.pass_time(EVENT_SECONDS * len(events))

    monkeypatch.setattr(Balances, "handle_batch", slow)
    theatre.stage.types.observers.add(observer("notes")(type("Notes", (Balances,), {"tables": sa.MetaData()})))
    theatre.live = theatre.another_live()
    (ann,) = open_accounts(theatre.bank, 1)
    theatre.go(2)
    deposit(theatre.bank, ann, *range(400))
    theatre.go()

    assert 0 < handled.count("balances") < 400
    assert 0 < handled.count("notes") < 400


def _row(theatre: Theatre, name: str = "balances") -> Any:
    asked = sa.select(observers.c.trouble, observers.c.expires_at).where(observers.c.name == name)
    with theatre.stage.database.read() as connection:
        return at_home(connection, theatre.stage.database).execute(asked).one()
