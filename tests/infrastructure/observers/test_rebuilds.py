"""An index is built beside the one that serves, verified against the events, and only then swapped in."""

import pytest
import sqlalchemy as sa

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.observers.observer import Effects
from milepost.infrastructure.observers.sources import EventSource
from tests.infrastructure.observers.accounts import Balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import Theatre


class Wrong(Exception):
    """What verifying finds."""


@pytest.fixture
def rows(theatre: Theatre) -> dict[str, tuple[int, str]]:
    """What the index must have, and has."""
    accounts = open_accounts(theatre.bank, 3)
    for account in accounts:
        deposit(theatre.bank, account, 1, 2)
    theatre.go(3)
    assert theatre.read() == expected(theatre.bank)
    return theatre.read()


def test_what_is_right_is_swapped_in(
    theatre: Theatre, rows: dict[str, tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def verify(self: Balances, effects: Effects, source: EventSource, until: int) -> None:
        asked.append(until)

    monkeypatch.setattr(Balances, "verify", verify)
    before = theatre.observer.generation

    assert theatre.run("rebuild-index") is JobStatus.COMPLETED_SUCCESSFULLY
    assert asked == [theatre.bank.recorder.max_notification_id()]
    assert theatre.observer.generation > before
    assert theatre.read() == rows


def test_what_is_wrong_never_serves(
    theatre: Theatre, rows: dict[str, tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify(self: Balances, effects: Effects, source: EventSource, until: int) -> None:
        raise Wrong("a word is missing")

    monkeypatch.setattr(Balances, "verify", verify)
    before = theatre.observer.generation

    assert theatre.run_in_time("rebuild-index") is JobStatus.FAILED
    assert theatre.observer.generation == before
    assert theatre.read() == rows


@pytest.mark.parametrize("theatre", ["server"], indirect=True)
def test_verifying_takes_as_long_as_it_takes(
    theatre: Theatre, rows: dict[str, tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps no slice from anybody, and may read all events before it says a word to the database."""
    limits: list[str | None] = []

    def verify(self: Balances, effects: Effects, source: EventSource, until: int) -> None:
        limits.append(effects.connection.scalar(sa.text("SHOW idle_in_transaction_session_timeout")))

    monkeypatch.setattr(Balances, "verify", verify)

    assert theatre.run("rebuild-index") is JobStatus.COMPLETED_SUCCESSFULLY
    assert limits == ["0"]
    assert theatre.read() == rows
