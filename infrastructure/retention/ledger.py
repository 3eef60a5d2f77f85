"""Whose turn it is to prune by the rules, when each is due again, and how it went.

The lease spares two workers the same work, and no more: a prune leaves alone what another one has taken out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.lease_time import CLOCKS_APART_SECONDS, rule_carried_out
from milepost.infrastructure.event_store.schema import retention

LEASE_SECONDS: Final = 60.0  # from one part to the next
AGAIN_SECONDS: Final = 600.0  # after a rule was carried out
TROUBLE_SECONDS: Final = 60.0  # after it could not be


class Ledger:
    """Of all rules of one event store, as `holder` sees it. All raise DatabaseUnavailable, CannotOpenDatabase."""

    def __init__(self, database: Database, surroundings: Surroundings, holder: str) -> None:
        self._database, self._surroundings, self._holder = database, surroundings, holder

    def take(self, rule: str) -> bool:
        """Whether it is due, and nobody else carries out any rule now; then it is ours for a while."""
        with self._database.read() as connection:  # which is the answer nearly always, and holds up nobody
            if not self._open_to_us(connection, rule):
                return False
        with self._database.write() as connection:
            if not self._open_to_us(connection, rule):
                return False
            now = self._now()
            if not _set(connection, rule, self._lease(now)):
                connection.execute(retention.insert().values(rule=rule, due_at=now, jobs=0, **self._lease(now)))
        return True

    def count(self, rule: str, jobs: int) -> bool:
        """So many have gone by it; whether it is ours still."""
        with self._database.write() as connection:
            values: dict[str, Any] = {"jobs": retention.c.jobs + jobs, **self._lease(self._now())}
            if jobs:
                values["pruned_at"] = self._surroundings.now().isoformat(timespec="microseconds")
            return _set(connection, rule, values, self._ours)

    def leave(self, rule: str, *, trouble: str | None, in_seconds: float) -> None:
        """Let go of it until then."""
        with self._database.write() as connection:
            values = {
                "holder": None,
                "expires_at": None,
                "seconds": None,
                "due_at": self._now() + in_seconds,
                "looked_at": self._surroundings.now().isoformat(timespec="microseconds"),
                "trouble": trouble,
            }
            _set(connection, rule, values, self._ours)

    @property
    def _ours(self) -> sa.ColumnElement[bool]:
        return retention.c.holder == self._holder

    def _open_to_us(self, connection: sa.Connection, rule: str) -> bool:
        now = self._now()
        others = sa.select(retention.c.rule).where(sa.not_(self._ours), rule_carried_out(now))
        if connection.scalar(others.limit(1)) is not None:
            return False
        due_at = connection.scalar(sa.select(retention.c.due_at).where(retention.c.rule == rule))
        # One that is due far in the future was left before a clock was set back.
        return due_at is None or not now < due_at <= now + AGAIN_SECONDS + CLOCKS_APART_SECONDS

    def _lease(self, now: float) -> dict[str, Any]:
        return {"holder": self._holder, "expires_at": now + LEASE_SECONDS, "seconds": LEASE_SECONDS}

    def _now(self) -> float:
        return self._surroundings.now().timestamp()


def carried_out(connection: sa.Connection, since: float) -> Sequence[Mapping[str, Any]]:
    """The rules that were due at that time or later, by their names: others nobody carries out any more."""
    asked = sa.select(retention).where(retention.c.due_at >= since).order_by(retention.c.rule)
    return [dict(row) for row in connection.execute(asked).mappings()]


def _set(connection: sa.Connection, rule: str, values: Mapping[str, Any], *where: sa.ColumnElement[bool]) -> bool:
    changed = connection.execute(retention.update().where(retention.c.rule == rule, *where).values(**values))
    return changed.rowcount > 0
