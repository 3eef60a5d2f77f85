"""What other hands may do to the rows that are shown of jobs."""

from random import Random
from typing import Any, Final

import sqlalchemy as sa

from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import jobs, status_changes, steps

TABLES: Final = (jobs, steps, status_changes)
Row = dict[str, Any]


def damage(database: Database, random: Random) -> None:
    """One thing: a row is changed, taken out or invented."""
    table = random.choice(TABLES)
    with database.write() as connection:
        rows = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
        if not rows:
            return
        row = random.choice(rows)
        match random.choice(("change", "change", "delete", "invent")):
            case "change":
                _change(connection, table, row, random)
            case "delete":
                connection.execute(table.delete().where(*_is(table, row)))
            case _:
                _invent(connection, table, row, random)


def _change(connection: sa.Connection, table: sa.Table, row: Row, random: Random) -> None:
    column = random.choice([each for each in table.c if not each.primary_key])
    connection.execute(table.update().where(*_is(table, row)).values({column.name: _other(column, row, random)}))


def _invent(connection: sa.Connection, table: sa.Table, row: Row, random: Random) -> None:
    key = table.primary_key.columns.values()[-1]
    other = f"0{row[key.name][1:-1]}f" if isinstance(row[key.name], str) else row[key.name] + random.randrange(1, 9)
    invented = row | {key.name: other}
    if connection.execute(sa.select(table).where(*_is(table, invented))).first() is None:
        connection.execute(table.insert().values(invented))


def _other(column: sa.Column[Any], row: Row, random: Random) -> Any:
    value = row[column.name]
    if column.nullable and value is not None and random.random() < 0.3:
        return None
    if isinstance(column.type, sa.Boolean):
        return not value
    if isinstance(column.type, (sa.Integer, sa.Float)):
        return (value or 0) + random.randrange(1, 9)
    return (value or "") + random.choice("xyzÖ")


def _is(table: sa.Table, row: Row) -> list[sa.ColumnElement[bool]]:
    return [column == row[column.name] for column in table.primary_key.columns]
