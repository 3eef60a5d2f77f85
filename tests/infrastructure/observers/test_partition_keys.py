"""An event whose partition cannot be told has the observer stand still, before anything is done."""

from collections.abc import Callable
from typing import Any

import pytest

from milepost.domain.observers.state import ObserverStatus
from milepost.infrastructure.observers.rows import PARTITION_MOST
from tests.infrastructure.observers.accounts import Balances, deposit, open_accounts
from tests.infrastructure.observers.stage import Theatre

BAD = 13


def telling(monkeypatch: pytest.MonkeyPatch, tell: Callable[[Any], object]) -> None:
    """Of the event with that amount; all others are in partition x."""

    def told(_: Balances, event: Any) -> object:
        return tell(event) if event.amount == BAD else "x"

    monkeypatch.setattr(Balances, "partition", told)


@pytest.mark.parametrize(
    "key",
    ["", "k" * (PARTITION_MOST + 1), "a\0b", "\ud800", None, 7, b"bytes", ["unhashable"]],
    ids=["empty", "too long", "NUL", "half a character", "None", "a number", "bytes", "a list"],
)
def test_a_key_that_nobody_can_keep_has_the_observer_stand_still(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch, key: object
) -> None:
    telling(monkeypatch, lambda _: key)
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, BAD, 2)
    theatre.go(2)

    assert theatre.observer.status is ObserverStatus.QUARANTINED
    assert "partition of the event at 3 cannot be told" in str(theatre.observer.quarantined)
    assert theatre.read() == {}


def test_the_longest_key_and_any_character_can_be_kept(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "ß/%é\U0001f600 '\"" + "k" * (PARTITION_MOST - 8)
    telling(monkeypatch, lambda _: key)
    Balances.poison = {BAD}
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, BAD, 2)
    theatre.go()
    held = theatre.held_name(key)
    Balances.poison = set()
    theatre.settle()

    assert held is not None
    assert theatre.read() == {"x": (3, "1,2,"), key: (BAD, f"{BAD},")}
