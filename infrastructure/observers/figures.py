"""How all observers of an event store do, in figures: what a monitor draws."""

from typing import NamedTuple

import sqlalchemy as sa

from milepost.domain.observers.state import PartitionStatus
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import observer_partitions, observer_slices, observers


class Figures(NamedTuple):
    """Of one observer in one namespace. `lag`: None before anybody has looked how far the application is."""

    namespace: str
    observer: str
    lag: int | None
    handled: int
    failed: int


def figures_of_all(database: Database) -> list[Figures]:
    """By namespace and name. Raises DatabaseUnavailable, CannotOpenDatabase."""
    slices, partitions = observer_slices, observer_partitions
    held = partitions.c.status.in_([str(status) for status in PartitionStatus])
    asked = sa.select(
        observers.c.namespace,
        observers.c.name,
        observers.c.newest,
        _of(sa.func.min(slices.c.position), slices),
        _of(sa.func.sum(slices.c.handled), slices),
        _of(sa.func.count(), partitions, held),
    ).order_by(observers.c.namespace, observers.c.name)
    with database.read() as connection:
        rows = connection.execute(asked).all()
    return [
        Figures(
            namespace, name, None if newest is None else max(0, newest - (position or 0)), int(handled or 0), failed
        )
        for namespace, name, newest, position, handled, failed in rows
    ]


def _of(what: sa.ColumnElement[int], table: sa.Table, *where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    """Of the rows of the generation that is read."""
    mine = (
        table.c.namespace == observers.c.namespace,
        table.c.observer == observers.c.name,
        table.c.generation == observers.c.generation,
    )
    return sa.select(what).select_from(table).where(*mine, *where).scalar_subquery()
