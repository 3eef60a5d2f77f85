"""What is shown and logged of live observers, and what it costs to ask for nothing new."""

import logging

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from milepost.domain.events import ErrorDetail
from milepost.domain.observers.events import PartitionFailed
from milepost.domain.observers.policy import PartitionPolicy
from milepost.domain.observers.state import PartitionStatus
from milepost.infrastructure.event_store.schema import observers
from milepost.infrastructure.observers.observer import Observer, Place, observer
from milepost.infrastructure.observers.rows import ObserverRows, at_home, effects_transaction
from milepost.infrastructure.observers.sources import EventSource
from tests.infrastructure.observers.accounts import Balances, deposit, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, OPERATOR, Theatre

pytestmark = pytest.mark.parametrize("theatre", ["memory"], indirect=True)
LOGGER = "milepost.observers"


def test_a_turn_without_events_asks_as_often_however_many_observers_there_are(theatre: Theatre) -> None:
    theatre.go(3)
    with_one = _statements_of_a_turn(theatre)
    for index in range(30):
        theatre.stage.types.observers.add(observer(f"o{index}")(type(f"O{index}", (Balances,), {"tables": None})))
    theatre.live.leave()
    theatre.live = theatre.another_live()
    theatre.go(3)

    assert _statements_of_a_turn(theatre) == with_one


def test_a_partition_that_cannot_be_tried_again_does_not_stop_the_others(
    theatre: Theatre, caplog: pytest.LogCaptureFixture
) -> None:
    """No job has an empty partition in its request."""
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 13)
    theatre.go(2)
    Balances.poison = set()
    now = theatre.stage.clock.now()
    with effects_transaction(theatre.stage.database) as connection:
        rows = ObserverRows(connection, NAMESPACE, "balances")
        error = ErrorDetail(type="Odd", message="odd")
        failed = PartitionFailed(partition="", generation=1, position=1, attempt=1, error=error, retry_at=now)
        rows.record(rows.observer(), [failed], OPERATOR, theatre.stage.clock)
    theatre.settle()

    assert theatre.held(ann) is None
    odd = theatre.held_name("")
    assert odd is not None
    assert odd.status is PartitionStatus.FAILED
    assert caplog.text.count("partition '' cannot be tried again") == 2  # at once, and after a pause


def test_each_failure_of_a_partition_is_a_line_in_the_log(theatre: Theatre, caplog: pytest.LogCaptureFixture) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 13)
    theatre.settle()

    assert caplog.text.count(f"observer balances: partition {ann.id} failed: Poisoned: 13") == Balances.policy.attempts


def test_a_flood_of_failures_is_a_few_lines_and_a_count(
    theatre: Theatre, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Balances, "batch_events", 50)
    monkeypatch.setattr(Balances, "policy", PartitionPolicy(attempts=1, max_failed=5))
    Balances.poison = {13}
    for account in open_accounts(theatre.bank, 20):
        deposit(theatre.bank, account, 13)
    theatre.go(2)

    assert caplog.text.count(" failed: Poisoned: 13") == 10
    assert "observer balances: 10 more partitions failed in the same batch" in caplog.text
    assert "observer balances: quarantined: " in caplog.text


def test_an_observer_that_cannot_be_opened_is_told_whole_once_and_then_by_lines_at_growing_pauses(
    theatre: Theatre, caplog: pytest.LogCaptureFixture
) -> None:
    @observer("nowhere")
    class Nowhere(Observer):
        @classmethod
        def source(cls, place: Place) -> EventSource:
            raise LookupError("there is no such place")

        def handle(self, event: object, effects: object) -> None: ...

    theatre.stage.types.observers.add(Nowhere)
    theatre.live = theatre.another_live()
    theatre.go(200)

    told = [record for record in caplog.records if "nowhere" in record.getMessage()]
    assert [record.exc_info is not None for record in told] == [True, False, False, False, False]
    assert [record.levelno for record in told] == [logging.ERROR] + [logging.WARNING] * 4


def test_a_rate_is_shown_while_events_are_handled_and_for_a_few_seconds(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle_batch = Balances.handle_batch

    def slow(self: Balances, events: object, effects: object) -> None:
        theatre.stage.clock.pass_time(0.5)
        handle_batch(self, events, effects)  # type: ignore[arg-type]

    monkeypatch.setattr(Balances, "handle_batch", slow)
    (ann,) = open_accounts(theatre.bank, 1)
    theatre.go(2)
    assert _shown(theatre) == (None, None)

    deposit(theatre.bank, ann, 1, 2)
    theatre.go()
    rate, advanced_at = _shown(theatre)
    assert rate == pytest.approx(4.0)
    theatre.go(2)
    assert _shown(theatre) == (rate, advanced_at)
    theatre.go(4)
    assert _shown(theatre) == (None, advanced_at)


def test_events_that_are_not_its_business_do_not_advance_an_observer(theatre: Theatre) -> None:
    theatre.go(2)
    open_accounts(theatre.bank, 3)  # that they are opened it does not handle
    theatre.go(2)

    assert _shown(theatre) == (None, None)


def _shown(theatre: Theatre) -> tuple[float | None, str | None]:
    asked = sa.select(observers.c.rate, observers.c.advanced_at).where(observers.c.name == "balances")
    with theatre.stage.database.read() as connection:
        rate, advanced_at = at_home(connection, theatre.stage.database).execute(asked).one()
        return rate, advanced_at


def _statements_of_a_turn(theatre: Theatre) -> int:
    said: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    theatre.stage.clock.pass_time(0.3)  # so that retries are looked for, and nothing else
    event.listen(theatre.stage.database.engine, "before_cursor_execute", hear)
    theatre.live.turn()
    event.remove(theatre.stage.database.engine, "before_cursor_execute", hear)
    return len(said)
