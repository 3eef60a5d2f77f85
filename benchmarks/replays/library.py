"""A replay by the eventsourcing library: each event with its tracking position in a transaction of its own.

usage: python -m benchmarks.replays.library DATABASE_URL EVENTS sqlalchemy|native
On PostgreSQL by its own runner. On SQLite the library's runner cannot subscribe; there its loop is run as it stands in
`BaseProjectionRunner`, in the calling thread, over pages of the recorder as large as its subscription's on PostgreSQL.
Prints one JSON line: {"peer","db","events","seconds","events_per_s","rows"}.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa
from eventsourcing.persistence import InfrastructureFactory, IntegrityError, Tracking, TrackingRecorder
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import BaseProjectionRunner, Projection
from eventsourcing.sqlite import SQLiteTrackingRecorder
from eventsourcing.utils import Environment
from sqlalchemy.dialects import postgresql, sqlite

from benchmarks.replays.bank import Account, Bank, balances, digest, engine_at, environment, keep_first, tables

PAGE_EVENTS: Final = 500
PATIENCE_SECONDS: Final = 3_600
OPEN = "INSERT INTO balances (account, owner, amount, deposits) VALUES ({0}, {0}, 0, 0)"
DEPOSIT = "UPDATE balances SET amount = amount + {0}, deposits = deposits + 1 WHERE account = {0}"


class SqlAlchemyView(TrackingRecorder):
    """Rows and position by SQLAlchemy Core, with the statements built once."""

    def __init__(self, url: str) -> None:
        self.engine = engine_at(url)
        mine = sa.MetaData()
        self._tracking = tracking = sa.Table(
            "projection_position",
            mine,
            sa.Column("application_name", sa.String(200), primary_key=True),
            sa.Column("notification_id", sa.BigInteger, nullable=False),
        )
        mine.create_all(self.engine)
        insert = (sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert)(tracking)
        self._track = insert.on_conflict_do_update(
            index_elements=["application_name"],
            set_={"notification_id": insert.excluded.notification_id},
            where=tracking.c.notification_id < insert.excluded.notification_id,
        ).returning(tracking.c.notification_id)
        self._open = balances.insert()
        self._deposit = (
            balances.update()
            .where(balances.c.account == sa.bindparam("of"))
            .values(amount=balances.c.amount + sa.bindparam("more"), deposits=balances.c.deposits + 1)
        )

    def opened(self, account: str, owner: str, tracking: Tracking) -> None:
        self._tracked(self._open, {"account": account, "owner": owner, "amount": 0, "deposits": 0}, tracking)

    def deposited(self, account: str, amount: int, tracking: Tracking) -> None:
        self._tracked(self._deposit, {"of": account, "more": amount}, tracking)

    def _tracked(self, statement: sa.Executable, values: dict[str, object], tracking: Tracking) -> None:
        position = {"application_name": tracking.application_name, "notification_id": tracking.notification_id}
        with self.engine.begin() as connection:
            if connection.execute(self._track, position).first() is None:
                raise IntegrityError(tracking)
            connection.execute(statement, values)

    def max_tracking_id(self, application_name: str) -> int | None:
        asked = sa.select(self._tracking.c.notification_id).where(self._tracking.c.application_name == application_name)
        with self.engine.connect() as connection:
            return connection.scalar(asked)

    def insert_tracking(self, tracking: Tracking) -> None:
        raise NotImplementedError


class SqliteView(SQLiteTrackingRecorder):
    """Rows and position by the library's own recorder."""

    def opened(self, account: str, owner: str, tracking: Tracking) -> None:
        self._tracked(OPEN.format("?"), (account, owner), tracking)

    def deposited(self, account: str, amount: int, tracking: Tracking) -> None:
        self._tracked(DEPOSIT.format("?"), (amount, account), tracking)

    def _tracked(self, statement: str, values: Sequence[object], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement, values)


class PostgresView(PostgresTrackingRecorder):
    """Rows and position by the library's own recorder."""

    def opened(self, account: str, owner: str, tracking: Tracking) -> None:
        self._tracked(OPEN.format("%s"), (account, owner), tracking)

    def deposited(self, account: str, amount: int, tracking: Tracking) -> None:
        self._tracked(DEPOSIT.format("%s"), (amount, account), tracking)

    def _tracked(self, statement: str, values: Sequence[object], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement, values, prepare=True)


class Balances(Projection[Any]):
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if isinstance(domain_event, Account.Deposited):  # type: ignore[attr-defined]
            self.view.deposited(str(domain_event.originator_id), domain_event.amount, tracking)
        elif isinstance(domain_event, Account.Opened):  # type: ignore[attr-defined]
            self.view.opened(str(domain_event.originator_id), domain_event.owner, tracking)


def run(url: str, events: int, kind: str) -> float:
    """Seconds from an empty read model to a full one."""
    tables.create_all(engine_at(url))
    view = SqlAlchemyView(url) if kind == "sqlalchemy" else native_view(url)
    replay = by_its_loop if url.startswith("sqlite") else by_its_runner
    began = time.perf_counter()
    replay(url, events, view)
    return time.perf_counter() - began


def native_view(url: str) -> TrackingRecorder:
    factory: Any = InfrastructureFactory.construct(Environment("Balances", environment(url)))
    return factory.tracking_recorder(SqliteView if url.startswith("sqlite") else PostgresView)


def by_its_runner(url: str, events: int, view: TrackingRecorder) -> None:
    with BaseProjectionRunner(
        projection=Balances(view),
        application_class=Bank,
        tracking_recorder=view,
        topics=(),
        env=environment(url),
    ) as runner:
        runner.wait(events, timeout=PATIENCE_SECONDS)


def by_its_loop(url: str, events: int, view: TrackingRecorder) -> None:
    projection = Balances(view)
    with Bank(environment(url)) as bank:
        for domain_event, tracking in subscription(bank, events):
            projection.process_event(domain_event, tracking)


def subscription(bank: Bank, events: int) -> Iterator[tuple[Any, Tracking]]:
    """As the library's `ApplicationSubscription` yields them."""
    to_domain_event: Callable[..., Any] = bank.mapper.to_domain_event
    position = 0
    while position < events:
        for notification in bank.recorder.select_notifications(position + 1, PAGE_EVENTS):
            position = notification.id
            yield to_domain_event(notification), Tracking(bank.name, position)


if __name__ == "__main__":
    url, events, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    keep_first(url, events)
    seconds = run(url, events, kind)
    figures = {"peer": f"library, {kind} view", "db": url.split(":")[0], "events": events}
    rate = round(events / seconds)
    print(json.dumps({**figures, "seconds": round(seconds, 3), "events_per_s": rate, "rows": digest(url)}))
