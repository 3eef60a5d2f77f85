"""Observers of applications that know nothing of them, as somebody would write them beside."""

from collections.abc import Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from eventsourcing.tests.application import BankAccounts
from sqlalchemy.dialects import postgresql, sqlite

from milepost.infrastructure.observers.observer import Effects, Observed, Observer, observer
from tests.infrastructure.observers.foreign.dog_school import Dog, DogSchool
from tests.infrastructure.observers.foreign.styles import Harbour, Library, Passports, Register

school = sa.MetaData()
tricks = sa.Table(
    "tricks",
    school,
    sa.Column("dog", sa.String(36), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("tricks", sa.Text, nullable=False),
)


@observer("tricks")
class Tricks(Observer):
    """What each dog can do."""

    application = DogSchool
    tables = school

    def handle(self, event: Any, effects: Effects) -> None:
        table = effects.table(tricks)
        dog = str(event.originator_id)
        if isinstance(event, Dog.Registered):  # type: ignore[attr-defined]
            effects.connection.execute(table.insert(), {"dog": dog, "name": event.name, "tricks": ""})
        elif isinstance(event, Dog.TrickAdded):  # type: ignore[attr-defined]
            mine = table.update().where(table.c.dog == dog)
            effects.connection.execute(mine.values(tricks=table.c.tricks + f"{event.trick};"))


class Heard(Observer):
    """Each event as it was read, with its partition."""

    happened: ClassVar[sa.Table]

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        insert = (sqlite.insert if effects.on_sqlite else postgresql.insert)(effects.table(self.happened))
        rows = [{"position": each.position, "partition": each.partition, "said": told(each.event)} for each in events]
        effects.connection.execute(insert, rows)


def told(event: Any) -> str:
    """Everything that a read event says."""
    said: dict[str, object] = event.__dict__
    return f"{event.__class__.__qualname__} {sorted((name, str(value)) for name, value in said.items())}"


def _happened(name: str) -> sa.Table:
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("position", sa.BigInteger, primary_key=True),
        sa.Column("partition", sa.Text, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
    )


@observer("loans")
class Loans(Heard):
    application = Library
    happened = _happened("loans")
    tables = happened.metadata


@observer("journeys")
class Journeys(Heard):
    application = Passports
    happened = _happened("journeys")
    tables = happened.metadata


@observer("moves")
class Moves(Heard):
    application = Register
    happened = _happened("moves")
    tables = happened.metadata


@observer("arrivals")
class Arrivals(Heard):
    application = Harbour
    happened = _happened("arrivals")
    tables = happened.metadata


@observer("accounts")
class Accounts(Heard):
    application = BankAccounts
    happened = _happened("accounts")
    tables = happened.metadata
