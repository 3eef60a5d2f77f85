"""Tables of an observer are built beside one another and in other namespaces, whatever they are declared with."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.schema import prepare
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.observer import Effects, Observer, observer
from milepost.infrastructure.observers.rows import effects_transaction
from tests.stores import url_of

tables: Final = sa.MetaData(
    naming_convention={"ck": "ck_%(table_name)s_%(constraint_name)s", "pk": "pk_%(table_name)s"}
)
parents: Final = sa.Table(
    "parents",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, index=True, unique=True),
    sa.Column("elder", sa.Integer, sa.ForeignKey("parents.id")),
    sa.UniqueConstraint("number", "elder", name="one_number"),
    sa.CheckConstraint("number > 0", name="positive"),
)
children: Final = sa.Table(
    "children",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent", sa.Integer, sa.ForeignKey(parents.c.id, name="has_parent"), nullable=False),
)


@pytest.fixture(params=["memory", "server"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Database]:
    found = open_database(url_of(request.param, tmp_path))
    prepare(found)
    yield found
    found.close()


def fill(connection: sa.Connection, generation: Generation, parent: int) -> None:
    connection.execute(generation.table(parents).insert().values(id=parent, number=parent))
    connection.execute(generation.table(children).insert().values(id=1, parent=parent))


def test_foreign_keys_and_named_constraints_are_of_each_generation_its_own(database: Database) -> None:
    served, other = Generation(tables, "Default"), Generation(tables, "Other")
    with effects_transaction(database) as connection:
        for parent, generation in enumerate((served, other), 1):
            generation.ensure(connection)
            fill(connection, generation, parent)
    for number in (2, 3):
        beside = Generation(tables, "Default", number)
        with effects_transaction(database) as connection:
            beside.recreate(connection)
            fill(connection, beside, 10 * number)
        with effects_transaction(database) as connection:
            beside.swap_in(connection, served)

    with effects_transaction(database) as connection:
        assert connection.scalars(sa.select(served.table(children).c.parent)).all() == [30]
        assert connection.scalars(sa.select(other.table(children).c.parent)).all() == [2]
        referred = {
            name: sa.inspect(connection).get_foreign_keys(name, schema=database.schema)[0]["referred_table"]
            for name in ("children", other.table(children).name)
        }
    assert referred == {"children": "parents", other.table(children).name: other.table(parents).name}
    with pytest.raises(IntegrityError), effects_transaction(database) as connection:
        connection.execute(served.table(parents).insert().values(id=9, number=-1))
    with effects_transaction(database) as connection:
        served.drop(connection)
        other.drop(connection)


def _elsewhere() -> sa.MetaData:
    found = sa.MetaData()
    sa.Table("mine", found, sa.Column("id", sa.Integer, sa.ForeignKey("theirs.id"), primary_key=True))
    return found


def _of_another() -> sa.MetaData:
    found = sa.MetaData()
    sa.Table("mine", found, sa.Column("id", sa.Integer, sa.ForeignKey(parents.c.id), primary_key=True))
    return found


def _in_a_circle() -> sa.MetaData:
    found = sa.MetaData()
    for name, other in (("egg", "hen"), ("hen", "egg")):
        sa.Table(name, found, sa.Column("id", sa.Integer, sa.ForeignKey(f"{other}.id"), primary_key=True))
    return found


def _in_a_schema() -> sa.MetaData:
    found = sa.MetaData()
    sa.Table("mine", found, sa.Column("id", sa.Integer, primary_key=True), schema="theirs")
    return found


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (_elsewhere(), "table mine refers to theirs.id"),
        (_of_another(), "table mine refers to parents.id"),
        (_in_a_circle(), "tables go in a circle: egg, hen"),
        (_in_a_schema(), "table mine names a schema"),
    ],
)
def test_tables_that_could_not_be_built_beside_one_another_are_refused_where_they_are_declared(
    declared: sa.MetaData, why: str
) -> None:
    class Mine(Observer):
        """Whose."""

        tables = declared

        def handle(self, event: Any, effects: Effects) -> None:
            """Nothing."""

    with pytest.raises(TypeError, match=why):
        observer("mine")(Mine)
