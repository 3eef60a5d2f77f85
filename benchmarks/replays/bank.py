"""The application whose events are replayed, as anybody would write it, and the read model that all programs fill."""

import hashlib
import random
import sqlite3
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

SAVED_AT_ONCE: Final = 100


class Account(Aggregate):
    @event("Opened")
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance = 0

    @event("Deposited")
    def deposit(self, amount: int) -> None:
        self.balance += amount


class Bank(Application[UUID]):
    pass


tables = sa.MetaData()
balances = sa.Table(
    "balances",
    tables,
    sa.Column("account", sa.String(36), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("deposits", sa.BigInteger, nullable=False),
)


def environment(url: str) -> dict[str, str]:
    """How the library is told of the database at a URL."""
    address = sa.make_url(url)
    if address.get_backend_name() == "sqlite":
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": address.database or ""}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": address.database or "",
        "POSTGRES_HOST": str(address.query.get("host") or address.host or ""),
        "POSTGRES_PORT": str(address.port or 5432),
        "POSTGRES_USER": address.username or "postgres",
        "POSTGRES_PASSWORD": address.password or "",
    }


def record(url: str, accounts: int, events: int) -> None:
    """The events: each account is opened, then deposits come to them at random, the same in every run."""
    chance = random.Random(0)
    with Bank(environment(url)) as bank:
        opened = [Account(f"owner {number}") for number in range(accounts)]
        for first in range(0, accounts, SAVED_AT_ONCE):
            bank.save(*opened[first : first + SAVED_AT_ONCE])
        for first in range(accounts, events, SAVED_AT_ONCE):
            touched = [chance.choice(opened) for _ in range(min(SAVED_AT_ONCE, events - first))]
            for account in touched:
                account.deposit(chance.randrange(1, 1_000))
            bank.save(*{account.id: account for account in touched}.values())


def keep_first(url: str, events: int) -> None:
    """Those behind them are gone, for a program that is to replay no more."""
    column, table = ("rowid", "stored_events") if url.startswith("sqlite") else ("notification_id", "bank_events")
    engine = engine_at(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE {column} > {events}")
    engine.dispose()


def engine_at(url: str) -> sa.Engine:
    """SQLite as durable as the library and Milepost have it."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg") if "postgres" in url else url)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _connect(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None  # SQLAlchemy's recipe: the BEGIN is ours
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def digest(url: str) -> str:
    """Of all rows of the read model: the same for all programs, or the figures mean nothing."""
    engine = engine_at(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(balances).order_by(balances.c.account))]
    engine.dispose()
    return f"{len(rows)} rows {hashlib.sha256(repr(rows).encode()).hexdigest()[:16]}"
