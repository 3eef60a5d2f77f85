"""One event store with an application's events, its observers, and whoever runs them."""

import os
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.envelope import Origin
from milepost.domain.events import Json
from milepost.domain.job import Job
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.observers.state import Partition
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.holding import Holding
from milepost.infrastructure.observers.live import LiveObservers
from milepost.infrastructure.observers.row_values import RecordedObserverEvent
from milepost.infrastructure.observers.rows import (
    ObserverRows,
    Slice,
    at_home,
    effects_transaction,
)
from milepost.infrastructure.running.worker import Worker
from tests.infrastructure.observers.accounts import Balances, Bank, balances
from tests.infrastructure.running.stage import Stage, turn_until

OPERATOR = Origin(actor="ann@desk", source="cli")
NAMESPACE = "Default"


class Theatre:
    """The observer `balances` over a bank's events."""

    def __init__(self, url: str, bank: Bank) -> None:
        Balances.bank, Balances.poison = bank, set()
        self.bank = bank
        self.stage = Stage(url)
        self.stage.types = self.stage.types.load([f"{Balances.__module__}:Balances"])
        self.worker: Worker = self.stage.worker(slots=4)
        self.live = self.another_live("worker")
        self.operator = Holding(self.stage.database, NAMESPACE, self.stage.clock, OPERATOR)

    def another_live(self, name: str = "another worker") -> LiveObservers:
        return LiveObservers(self.stage.database, self.stage.types, NAMESPACE, self.stage.clock, name)

    def close(self) -> None:
        self.live.leave()
        self.stage.close()

    def go(self, turns: int = 1) -> None:
        """Live rounds, with time enough between for everything that is looked for now and then."""
        for _ in range(turns):
            self.stage.clock.pass_time(1.0)
            self.live.turn()

    def register(self) -> None:
        """As somebody does who starts a job on an observer that was never run."""
        with effects_transaction(self.stage.database) as connection:
            _ = ObserverRows(connection, NAMESPACE, "balances").register(OPERATOR, self.stage.clock)

    def start(self, job_type: str, **request: Json) -> UUID:
        return self.stage.start(job_type, {"observer": "balances", **request}, namespace=NAMESPACE)

    def run(self, job_type: str, **request: Json) -> JobStatus | None:
        return self.stage.finish(self.start(job_type, **request), self.worker)

    def run_in_time(self, job_type: str, **request: Json) -> JobStatus | None:
        """The same for a job that waits between its attempts."""
        job_id = self.start(job_type, **request)

        def over() -> bool:
            self.stage.clock.pass_time(0.01)
            return self.stage.at_rest(job_id)

        turn_until(over, self.worker)
        return self.stage.status(job_id)

    def settle(self) -> None:
        """Until nothing is left that anybody would do: live events, retries, jobs."""
        for _ in range(40):
            self.go()
            turn_until(lambda: not self.worker.jobs, self.worker)
            self.worker.turn()

    @property
    def observer(self) -> ObserverState:
        with effects_transaction(self.stage.database) as connection:
            return ObserverRows(connection, NAMESPACE, "balances").observer()

    def slices(self) -> list[Slice]:
        with effects_transaction(self.stage.database) as connection:
            return ObserverRows(connection, NAMESPACE, "balances").slices(self.observer_in(connection).generation)

    def observer_in(self, connection: sa.Connection) -> ObserverState:
        return ObserverRows(connection, NAMESPACE, "balances").observer()

    def held(self, account: Any) -> Partition | None:
        return self.held_name(str(account.id))

    def held_name(self, partition: str) -> Partition | None:
        with effects_transaction(self.stage.database) as connection:
            rows = ObserverRows(connection, NAMESPACE, "balances")
            return rows.partition(rows.observer().generation, partition)

    def history(self) -> list[RecordedObserverEvent]:
        with effects_transaction(self.stage.database) as connection:
            return ObserverRows(connection, NAMESPACE, "balances").history()

    def read(self) -> dict[str, tuple[int, str]]:
        """The read model, as a reader finds it under its plain name."""
        table = Generation(Balances.tables, NAMESPACE).table(balances)
        with self.stage.database.read() as connection:
            rows = at_home(connection, self.stage.database).execute(sa.select(table)).all()
        return {row.account: (row.amount, row.order) for row in rows}

    def job(self, job_id: UUID) -> Job:
        return self.stage.job(job_id)


def bank_beside(url: str) -> Bank:
    """A bank in the database of an event store, or as near to it as there is one."""
    return Bank(environment_beside(url))


def environment_beside(url: str) -> dict[str, str]:
    """Tells the library to keep an application's events in the database of an event store, where there is one."""
    if url.startswith("postgresql"):
        address = sa.make_url(url)
        schema = f"bank_of_{address.query['schema']}"
        database = open_database(url)
        with database.user_transaction() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        database.close()
        return {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(address.database),
            "POSTGRES_HOST": str(address.query.get("host", address.host or "")),
            "POSTGRES_PORT": str(address.query.get("port", address.port or "5432")),
            "POSTGRES_USER": str(address.username or os.environ.get("USER", "postgres")),
            "POSTGRES_PASSWORD": str(address.password or ""),
            "POSTGRES_SCHEMA": schema,
        }
    if url == "sqlite://":
        return {}
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": url.removeprefix("sqlite:///")}
