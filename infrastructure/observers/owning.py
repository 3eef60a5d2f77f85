"""Which process runs an observer live: a lease in the observer's row, and beside it what that process tells of it.

Nothing here is done under the event store's write lock, and nothing waits for a row: whoever swaps a generation in may
hold it for as long as readers keep its tables, and all jobs would wait for that.
"""

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from milepost.domain.observers.state import Observer
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.lease_time import observer_run
from milepost.infrastructure.event_store.schema import observers
from milepost.infrastructure.observers.row_values import observer_of_row
from milepost.infrastructure.observers.rows import effects_transaction

LIVE_WAITS_SECONDS: Final = 1.0  # for who handles events of an observer: then the others have their turn
Key = tuple[str, str]  # an observer's namespace and name


class Leases:
    """The observers of all namespaces that `holder` runs. All raise DatabaseUnavailable, CannotOpenDatabase."""

    def __init__(self, database: Database, surroundings: Surroundings, holder: str, seconds: float) -> None:
        self._database = database
        self._surroundings = surroundings
        self._holder = holder
        self._seconds = seconds

    def open_to_us(self, names: Collection[str]) -> set[Key]:
        """Those of these names that nobody else runs."""
        with self._database.read() as connection:
            return _keys(connection, sa.and_(observers.c.name.in_(names), self._not_others()))

    def held(self) -> dict[Key, Observer]:
        """Those that are ours, as they are now."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(observers).where(observers.c.holder == self._holder)).mappings()
            return {(row["namespace"], row["name"]): observer_of_row(row) for row in rows}

    def claim(self, key: Key) -> bool:
        """Whether it is ours from now on."""
        with effects_transaction(self._database) as connection:
            found = _lockable(connection, sa.and_(_one(key), self._not_others()))
            if found:
                _set(connection, key, {"holder": self._holder, **self._lease()})
        return bool(found)

    def renew(self, run: Collection[Key]) -> set[Key]:
        """Those that are still ours. Of these, `run` are kept; one whose row is locked now is renewed another time."""
        mine = observers.c.holder == self._holder
        with effects_transaction(self._database) as connection:
            held = _keys(connection, mine)
            for key in _lockable(connection, mine) & set(run):
                _set(connection, key, self._lease())
        return held

    def leave(self) -> None:
        """Let go of all, so that nobody waits for a lease."""
        with effects_transaction(self._database) as connection:
            for key in _lockable(connection, observers.c.holder == self._holder):
                _set(connection, key, {"holder": None, "expires_at": None, "seconds": None})

    def holds(self, connection: sa.Connection, key: Key) -> bool:
        """Whether it is ours, in the transaction of somebody who holds its slices."""
        return connection.scalar(sa.select(observers.c.holder).where(_one(key))) == self._holder

    def tell(self, key: Key, **values: object) -> bool:
        """Show this of it; False where its row is locked now: another time."""
        with effects_transaction(self._database) as connection:
            found = _lockable(connection, _one(key))
            if found:
                _set(connection, key, values)
        return bool(found)

    def _not_others(self) -> sa.ColumnElement[bool]:
        now = self._surroundings.now().timestamp()
        return sa.or_(sa.not_(observer_run(now)), observers.c.holder == self._holder)

    def _lease(self) -> dict[str, object]:
        return {"expires_at": self._surroundings.now().timestamp() + self._seconds, "seconds": self._seconds}


def _one(key: Key) -> sa.ColumnElement[bool]:
    return sa.and_(observers.c.namespace == key[0], observers.c.name == key[1])


def _lockable(connection: sa.Connection, where: sa.ColumnElement[bool]) -> set[Key]:
    """Those whose rows nobody else has locked; until the commit nobody can."""
    return _keys(connection, where, skip_locked=True)


def _keys(connection: sa.Connection, where: sa.ColumnElement[bool], *, skip_locked: bool = False) -> set[Key]:
    asked = sa.select(observers.c.namespace, observers.c.name).where(where)
    rows = connection.execute(asked.with_for_update(skip_locked=True) if skip_locked else asked)
    return {(row.namespace, row.name) for row in rows}


def _set(connection: sa.Connection, key: Key, values: dict[str, object]) -> None:
    connection.execute(observers.update().where(_one(key)).values(values))
