"""An application of somebody's, its observers, and a plain loop that says what their read models must be."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from sqlalchemy.dialects import postgresql, sqlite

from milepost.domain.observers.policy import PartitionPolicy
from milepost.infrastructure.observers.observer import Effects, Observed, Observer, Place, observer
from milepost.infrastructure.observers.sources import EventSource, reader_of


class Account(Aggregate):
    @event("Opened")
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance = 0

    @event("Deposited")
    def deposit(self, amount: int) -> None:
        self.balance += amount


class Bank(Application[UUID]):
    """Where the accounts are."""


class Poisoned(Exception):
    """The handler cannot take this amount."""


tables = sa.MetaData()
balances = sa.Table(
    "balances",
    tables,
    sa.Column("account", sa.String(36), primary_key=True),
    sa.Column("amount", sa.Integer, nullable=False),
    sa.Column("order", sa.Text, nullable=False),
    sa.Index("balances_by_amount", "amount"),
)


@observer("balances")
class Balances(Observer):
    """What is in each account, and the order in which it came there."""

    tables = tables
    handles = (Account.Deposited,)  # type: ignore[attr-defined]
    batch_events = 7
    policy = PartitionPolicy(attempts=3, backoff_seconds=0)
    bank: ClassVar[Bank]  # of the test at hand
    poison: ClassVar[set[int]] = set()

    @classmethod
    def source(cls, place: Place) -> EventSource:
        return EventSource(reader_of(cls.bank.recorder), cls.bank.mapper)

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        table = effects.table(balances)
        insert = (sqlite.insert if effects.on_sqlite else postgresql.insert)(table)
        for each in events:
            if each.event.amount in self.poison:
                raise Poisoned(each.event.amount)
            said = f"{each.event.amount},"
            effects.connection.execute(
                insert.values(account=each.partition, amount=each.event.amount, order=said).on_conflict_do_update(
                    index_elements=["account"],
                    set_={"amount": table.c.amount + each.event.amount, "order": table.c.order + said},
                )
            )

    def reset_partition(self, partition: str, effects: Effects) -> None:
        table = effects.table(balances)
        effects.connection.execute(table.delete().where(table.c.account == partition))


def open_accounts(bank: Bank, count: int) -> list[Account]:
    accounts = [Account(f"owner {index}") for index in range(count)]
    bank.save(*accounts)
    return accounts


def deposit(bank: Bank, account: Account, *amounts: int) -> None:
    for amount in amounts:
        account.deposit(amount)
    bank.save(account)


def expected(bank: Bank) -> dict[str, tuple[int, str]]:
    """By a plain loop over the events."""
    return expected_of(bank, {}, set())[0]


def expected_of(
    bank: Bank, until: dict[str, int], skipped: set[tuple[str, int]]
) -> tuple[dict[str, tuple[int, str]], int]:
    """The same without what was skipped, and of partitions that are held before the position they are held at; and how
    many events that are."""
    found: dict[str, tuple[int, str]] = {}
    handled = 0
    for notification in bank.recorder.select_notifications(1, 1_000_000):
        happened: Any = bank.mapper.to_domain_event(notification)
        if isinstance(happened, Account.Deposited):  # type: ignore[attr-defined]
            account = str(happened.originator_id)
            if (account, notification.id) in skipped or notification.id >= until.get(account, notification.id + 1):
                continue
            amount, order = found.get(account, (0, ""))
            found[account] = (amount + happened.amount, f"{order}{happened.amount},")
            handled += 1
    return found, handled
