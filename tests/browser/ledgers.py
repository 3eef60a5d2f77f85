"""An application of accounts and its observers, for the page; a test copies this file to where everybody finds it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from sqlalchemy.dialects.sqlite import insert

from milepost.domain.observers.policy import PartitionPolicy
from milepost.infrastructure.observers.observer import Effects, Observed, Observer, observer
from milepost.infrastructure.observers.sources import EventSource

HERE: Final = Path(__file__).parent
GATE: Final = HERE / "gate"  # as long as it is there, nobody comes past the event of GATED
GATED: Final = 20
POISON: Final = 666  # an amount that cannot be handled
MENDED: Final = HERE / "mended"  # but can when this is there


class Account(Aggregate):
    @event("Opened")
    def __init__(self, owner: str) -> None:
        self.owner = owner

    @event("Deposited")
    def deposit(self, amount: int) -> None:
        pass


class Bank(Application[UUID]):
    """Where the accounts are."""

    env: ClassVar[dict[str, str]] = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(HERE / "bank.sqlite"),
    }


class Poisoned(Exception):
    """The amount cannot be taken."""


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
    batch_events = 5
    policy = PartitionPolicy(attempts=2, backoff_seconds=0)

    def partition(self, event: Any) -> str:
        while event.amount == GATED and GATE.exists():
            time.sleep(0.02)
        return str(event.originator_id)

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        table = effects.table(balances)
        for each in events:
            if each.event.amount == POISON and not MENDED.exists():
                raise Poisoned(f"nobody deposits {POISON}")
            new = insert(table).values(account=each.partition, amount=each.event.amount)
            added = {"amount": table.c.amount + each.event.amount}
            effects.connection.execute(new.on_conflict_do_update(index_elements=["account"], set_=added))

    def verify(self, effects: Effects, source: EventSource, until: int) -> None:
        found = effects.connection.scalar(sa.select(sa.func.count()).select_from(effects.table(balances)))
        assert found == len({each.originator_id for each in source.after(0) if each.position <= until})

    def reset_partition(self, partition: str, effects: Effects) -> None:
        table = effects.table(balances)
        effects.connection.execute(table.delete().where(table.c.account == partition))


@observer("wary")
class Wary(Observer):
    """Fails at whoever is called careless, and tries nothing twice."""

    application = Bank
    handles = (Account.Opened,)  # type: ignore[attr-defined]
    policy = PartitionPolicy(attempts=1)

    def partition(self, event: Any) -> str:
        return str(event.owner)

    def handle(self, event: Any, effects: Effects) -> None:
        if event.owner.startswith("careless"):
            raise Poisoned(event.owner)
