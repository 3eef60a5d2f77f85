"""A held partition goes on from its first waiting event, whatever happens while it is held."""

import pytest

from milepost.infrastructure.observers.handling import Handling
from milepost.infrastructure.observers.observer import Place
from tests.infrastructure.observers.accounts import Balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, OPERATOR, Theatre


def handling_of(theatre: Theatre) -> Handling:
    return Handling(Balances, Place(theatre.stage.database, NAMESPACE), theatre.stage.clock, OPERATOR)


def held_in(partition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(_: Balances, event: object) -> str:
        return partition

    monkeypatch.setattr(Balances, "partition", told)


def test_what_waits_is_handled_under_the_key_it_waits_under(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    held_in("old", monkeypatch)
    Balances.poison = {13}
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 13, 4)
    theatre.go()
    held_in("new", monkeypatch)
    theatre.settle()
    still = theatre.held_name("old")
    Balances.poison = set()
    theatre.operator.retry("balances", "old")
    theatre.settle()

    assert still is not None
    assert still.attempts == Balances.policy.attempts
    assert theatre.held_name("old") is None
    assert theatre.read() == {"old": (17, "13,4,")}


