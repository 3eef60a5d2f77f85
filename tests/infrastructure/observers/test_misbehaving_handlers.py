"""Whatever a handler raises or does, an event is handled once, or its partition is held, or all stands still."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from sqlalchemy.exc import OperationalError

from milepost.domain.observers.state import ObserverStatus
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.observers.observer import Effects, Observed, observer
from milepost.infrastructure.running.step_context import NotOursAnyMore, StopRequested
from tests.infrastructure.observers.accounts import Balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import Theatre

BAD = 666


@observer("balances")
class Misbehaving(Balances):
    """Does something else when it meets that amount."""

    misbehave: ClassVar[Callable[[Effects], object]]

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        super().handle_batch(events, effects)
        if any(each.event.amount == BAD for each in events):
            type(self).misbehave(effects)


def raising(error: BaseException) -> Callable[[Effects], object]:
    def misbehave(_: Effects) -> object:
        raise error

    return misbehave


def misbehaving(theatre: Theatre, act: Callable[[Effects], object]) -> Theatre:
    Misbehaving.misbehave = staticmethod(act)
    theatre.stage.types = theatre.stage.types.load([f"{__name__}:Misbehaving"])
    theatre.worker = theatre.stage.worker(slots=4)
    theatre.live = theatre.another_live()
    return theatre


def with_a_bad_event(theatre: Theatre) -> tuple[str, str]:
    ann, bob = open_accounts(theatre.bank, 2)
    deposit(theatre.bank, ann, 1, BAD, 2)
    deposit(theatre.bank, bob, 3)
    return str(ann.id), str(bob.id)


@pytest.mark.parametrize(
    "raised",
    [SystemExit(1), StopRequested(), NotOursAnyMore(), GeneratorExit(), ExceptionGroup("both", [ValueError("1")])],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_a_handler_raises_fails_its_partition_alone(theatre: Theatre, raised: BaseException) -> None:
    misbehaving(theatre, raising(raised))
    ann, bob = with_a_bad_event(theatre)
    theatre.go(2)

    assert theatre.read() == {ann: (1, "1,"), bob: (3, "3,")}
    assert theatre.held_name(ann) is not None
    assert theatre.observer.status is ObserverStatus.ACTIVE


@pytest.mark.parametrize(
    "raised",
    [
        OperationalError("SELECT 1", {}, sqlite3.OperationalError("unable to open database file")),
        sqlite3.OperationalError("database is locked"),
    ],
    ids=["cannot be opened", "locked"],
)
def test_another_database_that_does_not_answer_fails_a_partition_and_stops_nobody(
    theatre: Theatre, raised: Exception
) -> None:
    cause: Any = getattr(raised, "orig", raised)
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    misbehaving(theatre, raising(raised))
    ann, bob = with_a_bad_event(theatre)
    theatre.go(2)

    assert theatre.read() == {ann: (1, "1,"), bob: (3, "3,")}
    assert theatre.held_name(ann) is not None


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK"])
def test_a_handler_that_ends_the_transaction_has_the_observer_stand_still(theatre: Theatre, statement: str) -> None:
    misbehaving(theatre, lambda effects: effects.connection.exec_driver_sql(statement))
    with_a_bad_event(theatre)
    theatre.go(3)

    assert theatre.observer.status is ObserverStatus.QUARANTINED
    assert "ended the transaction" in str(theatre.observer.quarantined)


def test_a_handler_that_ends_the_transaction_of_a_job_has_the_observer_stand_still(theatre: Theatre) -> None:
    theatre.go()
    misbehaving(theatre, lambda effects: effects.connection.exec_driver_sql("COMMIT"))
    with_a_bad_event(theatre)

    assert theatre.run_in_time("replay-observer") is JobStatus.FAILED
    assert theatre.observer.quarantined is not None


def test_a_handler_that_closes_the_connection_gets_nothing_done_until_it_is_mended(theatre: Theatre) -> None:
    misbehaving(theatre, lambda effects: effects.connection.close())
    with_a_bad_event(theatre)
    theatre.go(3)
    assert theatre.read() == {}
    misbehaving(theatre, lambda effects: None)
    theatre.go(40)

    assert theatre.read() == expected(theatre.bank)


def test_a_statement_that_fails_leaves_the_others_effects(theatre: Theatre) -> None:
    misbehaving(theatre, lambda effects: effects.connection.exec_driver_sql("SELECT * FROM no_such_table"))
    ann, bob = with_a_bad_event(theatre)
    theatre.go(2)

    assert theatre.read() == {ann: (1, "1,"), bob: (3, "3,")}
