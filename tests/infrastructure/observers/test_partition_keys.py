"""An event whose partition cannot be told has the observer stand still, before anything is done."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from milepost.domain.observers.state import ObserverStatus
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.observers.rows import PARTITION_MOST
from tests.infrastructure.observers.accounts import Balances, deposit, open_accounts
from tests.infrastructure.observers.stage import Theatre
from tests.infrastructure.running.stage import turn_until

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
    theatre.operator.skip("balances", key)  # its read model has no room for it, and it goes on all the same
    theatre.settle()

    assert held is not None
    assert theatre.held_name(key) is None
    assert theatre.read() == {"x": (3, "1,2,")}


@pytest.mark.parametrize("job_type", ["catch-up-observer", "replay-observer"])
def test_a_job_that_cannot_tell_a_partition_has_the_observer_stand_still(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch, job_type: str
) -> None:
    telling(monkeypatch, lambda _: "")
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, BAD, 2)

    assert theatre.run_in_time(job_type) is JobStatus.FAILED
    assert "partition of the event at 3 cannot be told" in str(theatre.observer.quarantined)


def test_an_observer_that_stood_still_goes_on_when_it_is_mended(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling(monkeypatch, lambda _: "")
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, BAD, 2)
    job_id = theatre.start("catch-up-observer")
    run_out(theatre, job_id)
    telling(monkeypatch, lambda _: "x")
    theatre.operator.unpause("balances")
    theatre.stage.resume(job_id)
    run_out(theatre, job_id)

    assert theatre.stage.status(job_id) is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.read() == {"x": (3 + BAD, f"1,{BAD},2,")}
    assert theatre.observer.status is ObserverStatus.ACTIVE


def run_out(theatre: Theatre, job_id: UUID) -> None:
    """Until the job is at rest, also where it waits between its attempts."""

    def over() -> bool:
        theatre.stage.clock.pass_time(0.01)
        return theatre.stage.at_rest(job_id)

    turn_until(over, theatre.worker)
