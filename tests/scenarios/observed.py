"""An application's accounts and an observer of theirs, for workers in processes of their own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from sqlalchemy.dialects import postgresql, sqlite

from milepost.domain.observers.policy import PartitionPolicy
from milepost.infrastructure.observers.observer import Effects, Observed, Observer, Place, observer
from milepost.infrastructure.observers.sources import EventSource, source_of_application

WHERE = "application.json"  # the environment of the application
BROKEN = "broken"  # while there is such a file, the handler cannot take that amount
BAD = 13


class Account(Aggregate):
    @event("Opened")
    def __init__(self, number: int) -> None:
        self.number = number

    @event("Deposited")
    def deposit(self, amount: int) -> None: ...


class Bank(Application[UUID]):
    """Where the accounts are."""


tables = sa.MetaData()
balances = sa.Table(
    "balances",
    tables,
    sa.Column("account", sa.String(36), primary_key=True),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("amounts", sa.Text, nullable=False),  # in the order in which they came
)


@observer("balances")
class Balances(Observer):
    """What was deposited in each account, in order."""

    tables = tables
    batch_events = 40
    policy = PartitionPolicy(attempts=1_000, backoff_seconds=0.2, backoff_max_seconds=0.5)

    @classmethod
    def source(cls, place: Place) -> EventSource:
        return source_of_application(Bank, json.loads(Path(WHERE).read_text()))

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        table = effects.table(balances)
        insert = (sqlite.insert if effects.on_sqlite else postgresql.insert)(table)
        broken = Path(BROKEN).exists()
        for each in events:
            amount = amount_of(each.event)
            if amount is None:
                continue
            if broken and amount == BAD:
                raise ValueError(amount)
            effects.connection.execute(
                insert.values(account=each.partition, events=1, amounts=f"{amount},").on_conflict_do_update(
                    index_elements=["account"],
                    set_={"events": table.c.events + 1, "amounts": table.c.amounts + f"{amount},"},
                )
            )

    def reset_partition(self, partition: str, effects: Effects) -> None:
        table = effects.table(balances)
        effects.connection.execute(table.delete().where(table.c.account == partition))

    def verify(self, effects: Effects, source: EventSource, until: int) -> None:
        table = effects.table(balances)
        found = {row.account: row.amounts for row in effects.connection.execute(sa.select(table))}
        wanted: dict[str, str] = {}
        for stored in source.all(until):
            happened = source.event(stored)
            if (amount := amount_of(happened)) is not None:
                account = str(happened.originator_id)
                wanted[account] = f"{wanted.get(account, '')}{amount},"
        assert found == wanted


def amount_of(happened: Any) -> int | None:
    return happened.amount if isinstance(happened, Account.Deposited) else None  # type: ignore[attr-defined]


def expected(bank: Bank) -> dict[str, tuple[int, str]]:
    """By account: how many deposits, and their amounts in order; by a plain loop."""
    found: dict[str, tuple[int, str]] = {}
    for notification in bank.recorder.select_notifications(1, 10_000_000):
        happened: Any = bank.mapper.to_domain_event(notification)
        if (amount := amount_of(happened)) is not None:
            count, amounts = found.get(str(happened.originator_id), (0, ""))
            found[str(happened.originator_id)] = (count + 1, f"{amounts}{amount},")
    return found
