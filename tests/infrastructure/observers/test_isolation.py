"""Whoever waits for a lock must see what its last holder wrote, whatever isolation level a role has by default."""

from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.observers.observer import Effects, Observed
from tests.infrastructure.observers.accounts import Balances, deposit, open_accounts
from tests.infrastructure.observers.stage import Theatre, bank_beside
from tests.stores import url_of


@pytest.fixture
def strict(tmp_path: Path) -> Generator[Theatre]:
    """Where transactions are REPEATABLE READ where nobody says otherwise."""
    url = url_of("server", tmp_path)
    bank = bank_beside(url)
    options = {"options": r"-c default_transaction_isolation=repeatable\ read"}
    made = Theatre(sa.make_url(url).update_query_dict(options).render_as_string(hide_password=False), bank)
    yield made
    made.close()
    bank.close()


def test_events_are_handled_at_read_committed_live_and_by_jobs(
    strict: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str | None] = []

    def look(self: Balances, events: Sequence[Observed], effects: Effects) -> None:
        found.append(effects.connection.scalar(sa.text("SELECT current_setting('transaction_isolation')")))

    monkeypatch.setattr(Balances, "handle_batch", look)
    (ann,) = open_accounts(strict.bank, 1)
    deposit(strict.bank, ann, 1)
    strict.go(2)
    live = list(found)
    assert strict.run("replay-observer") is JobStatus.COMPLETED_SUCCESSFULLY
    assert strict.run("replay-observer-partition", partition=str(ann.id)) is JobStatus.COMPLETED_SUCCESSFULLY

    assert live == ["read committed"]
    assert found == ["read committed"] * 3


def test_transactions_of_other_steps_keep_the_level_of_the_role(strict: Theatre) -> None:
    level = "SELECT current_setting('transaction_isolation')"
    with strict.stage.database.user_transaction(read_committed=True) as connection:
        assert connection.exec_driver_sql(level).scalar() == "read committed"
    for _ in range(2):
        with strict.stage.database.user_transaction() as connection:
            assert connection.exec_driver_sql(level).scalar() == "repeatable read"
