"""An application of somebody's with two observers; a milepost.toml in the user's folder names this module."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from sqlalchemy.dialects import postgresql, sqlite

from milepost import Effects, Observed, Observer, PartitionPolicy, observer

POISON: Final = 13
MENDED: Final = Path("mended")  # where it is there, the handler takes poison


class Account(Aggregate):
    @event("Opened")
    def __init__(self, owner: str) -> None:
        self.balance = 0

    @event("Deposited")
    def deposit(self, amount: int) -> None:
        self.balance += amount


class Bank(Application[UUID]):
    """Opened from the environment, as people do."""


tables = sa.MetaData()
balances = sa.Table(
    "balances",
    tables,
    sa.Column("account", sa.String(36), primary_key=True),
    sa.Column("amount", sa.Integer, nullable=False),
)


@observer("balances")
class Balances(Observer):
    """What is in each account."""

    application = Bank
    tables = tables
    handles = (Account.Deposited,)  # type: ignore[attr-defined]
    policy = PartitionPolicy(attempts=2, backoff_seconds=600)

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        table = effects.table(balances)
        insert = (sqlite.insert if effects.on_sqlite else postgresql.insert)(table)
        for each in events:
            amount: int = each.event.amount
            if amount == POISON and not MENDED.exists():
                raise ValueError(f"nobody takes {amount}")
            effects.connection.execute(
                insert.values(account=each.partition, amount=amount).on_conflict_do_update(
                    index_elements=["account"], set_={"amount": table.c.amount + amount}
                )
            )

    def reset_partition(self, partition: str, effects: Effects) -> None:
        table = effects.table(balances)
        effects.connection.execute(table.delete().where(table.c.account == partition))


@observer("letters")
class Letters(Observer):
    """Would write a letter for each deposit: what was sent cannot be undone."""

    application = Bank
    handles = (Account.Deposited,)  # type: ignore[attr-defined]

    def handle(self, event: object, effects: Effects) -> None:
        """Nobody reads them."""
