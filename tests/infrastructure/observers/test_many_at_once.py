"""What happens to many partitions at once costs few statements, and no transaction gets too large."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from milepost.domain.events import ErrorDetail
from milepost.domain.observers.events import PartitionEvent, PartitionFailed, PartitionRecovered
from milepost.domain.observers.state import PartitionStatus
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.observers.bisecting import MOST_FAILED
from milepost.infrastructure.observers.handling import Handling
from milepost.infrastructure.observers.observer import Place
from milepost.infrastructure.observers.rows import ASKED_AT_ONCE, ObserverRows, effects_transaction
from tests.infrastructure.observers.accounts import Account, Balances, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, OPERATOR, Theatre

ERROR = ErrorDetail(type="ValueError", message="no", traceback="")
MANY = 2 * ASKED_AT_ONCE + 7
NAMES = [f"partition {index}" for index in range(MANY)]


def failed(partition: str, position: int = 7, attempt: int = 1) -> PartitionFailed:
    return PartitionFailed(
        partition=partition, generation=1, position=position, attempt=attempt, error=ERROR, retry_at=None
    )


def recovered(partition: str) -> PartitionRecovered:
    return PartitionRecovered(partition=partition, generation=1, job="job 1")


@contextmanager
def rows_of(theatre: Theatre) -> Generator[ObserverRows]:
    with effects_transaction(theatre.stage.database) as connection:
        yield ObserverRows(connection, NAMESPACE, "balances")


def record(theatre: Theatre, events: Sequence[PartitionEvent]) -> int:
    """How many statements it took."""
    with rows_of(theatre) as rows:
        observer = rows.observer()
        with statements(rows.connection) as seen:
            rows.record(observer, events, OPERATOR, theatre.stage.clock)
    return len(seen)


@contextmanager
def statements(connection: sa.Connection) -> Generator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(connection, "before_cursor_execute", note)
    yield seen
    event.remove(connection, "before_cursor_execute", note)


def test_what_happens_to_many_takes_hardly_more_statements_than_what_happens_to_one(theatre: Theatre) -> None:
    theatre.register()
    for_one = record(theatre, [failed("another")])
    for_many = record(theatre, [failed(name) for name in NAMES])

    assert for_many <= for_one + MANY // ASKED_AT_ONCE
    with rows_of(theatre) as rows:
        assert rows.count_held(1) == MANY + 1
        assert rows.observer().version == MANY + 2
        assert [each.version for each in rows.history()] == list(range(1, MANY + 3))


def test_what_happens_to_one_partition_twice_is_followed_in_order(theatre: Theatre) -> None:
    theatre.register()
    record(theatre, [failed("a"), failed("a", attempt=2), failed("b"), recovered("b"), recovered("c"), failed("c", 9)])
    with rows_of(theatre) as rows:
        held = rows.held(1, ["a", "b", "c"])

    assert {name: (each.position, each.attempts) for name, each in held.items()} == {"a": (7, 2), "c": (9, 1)}
    assert {each.status for each in held.values()} == {PartitionStatus.QUARANTINED}


def test_of_those_that_are_held_only_the_ones_that_are_asked_for_are_told(theatre: Theatre) -> None:
    theatre.register()
    with rows_of(theatre) as rows:
        assert rows.held_among(1, NAMES) == frozenset()
        rows.meet(1, ["met"])
    record(theatre, [failed(name) for name in NAMES])
    record(theatre, [recovered(NAMES[0])])

    asked = [*NAMES[: ASKED_AT_ONCE + 3], "met", "never met"]
    with rows_of(theatre) as rows:
        assert rows.held_among(1, asked) == frozenset(NAMES[1 : ASKED_AT_ONCE + 3])
        assert rows.held_among(1, []) == frozenset()
        assert rows.held_among(2, asked) == frozenset()


@pytest.fixture
def flood(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> list[Account]:
    """More partitions than may fail in one transaction: each has an event that fails, and one behind it."""
    monkeypatch.setattr(Balances, "batch_events", 1_000)
    theatre.go()
    Balances.poison = {13}
    accounts = open_accounts(theatre.bank, MOST_FAILED + 10)
    for account in accounts:
        account.deposit(13)
        account.deposit(1)
    theatre.bank.save(*accounts)
    return accounts


def test_a_transaction_ends_early_where_very_many_fail(theatre: Theatre, flood: list[Account]) -> None:
    handling = Handling(Balances, Place(theatre.stage.database, NAMESPACE), theatre.stage.clock, OPERATOR)
    page = handling.page(handling.source.after(0, 1_000))
    with rows_of(theatre) as rows:
        done = handling.handle(rows.connection, page, rows.observer(), 1, after=0)

    assert done.failed == MOST_FAILED
    assert done.end < page.end
    assert {each.position for each in theatre.slices()} == {done.end}
    with rows_of(theatre) as rows:
        assert all(rows.waiting(1, str(each.id), 1_000)[-1:] <= [done.end] for each in flood)


@pytest.mark.parametrize("live", [True, False], ids=["live", "in a job"])
def test_what_is_behind_a_flood_of_failures_is_handed_over_next(
    theatre: Theatre, flood: list[Account], live: bool
) -> None:
    if live:
        theatre.live.turn()
    else:
        assert theatre.run("catch-up-observer") is JobStatus.COMPLETED_SUCCESSFULLY

    with rows_of(theatre) as rows:
        assert rows.count_failed(1) == len(flood)
        assert sum(rows.count_waiting(1, str(each.id)) for each in flood) == 2 * len(flood)
