"""A folder of somebody's with an application and its observers, and whoever runs them: a round at a time."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.observers.live import LiveObservers
from milepost.infrastructure.settings import resolve
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.cli.worker import Idle
from tests.interfaces.savings import MENDED, Account, Balances, Bank, balances

ROOT: Final = Path(__file__).parents[2]
TOML: Final = f'observers = ["{Balances.__module__}"]\n'


class Stage:
    """Accounts by their owners, and what is done with them."""

    def __init__(self) -> None:
        self.app = Application(resolve())
        self.bank = Bank()
        self.accounts: dict[str, Account] = {}
        self._live: LiveObservers | None = None

    @property
    def live(self) -> LiveObservers:
        """A worker's part that runs observers; it holds them until `leave`."""
        if self._live is None:
            self._live = self.app.live_observers("worker")
        return self._live

    def deposit(self, owner: str, *amounts: int) -> str:
        """The partition that it is."""
        account = self.accounts.get(owner) or self.accounts.setdefault(owner, Account(owner))
        for amount in amounts:
            account.deposit(amount)
        self.bank.save(account)
        return str(account.id)

    def go(self) -> None:
        """All that is new is handed over."""
        while self.live.turn():
            pass

    def leave(self) -> None:
        if self._live is not None:
            self._live.leave()
            self._live = None

    def work(self) -> None:
        """All jobs that there are."""
        worker, executor = self.app.worker(slots=2, kind="threads")
        worker.run(Idle(self.app, worker, frozenset(self.app.job_types.names()), None, self.live))
        executor.close()

    def mend(self) -> None:
        """The handler takes everything from now on."""
        MENDED.touch()

    def balances(self) -> dict[str, int]:
        with self.app.database.read() as connection:
            rows = connection.execute(sa.select(balances.c.account, balances.c.amount)).all()
        by_id = {str(account.id): owner for owner, account in self.accounts.items()}
        return {by_id[row.account]: row.amount for row in rows}

    def close(self) -> None:
        self.leave()
        self.bank.close()
        self.app.close()


def savings(environment: Mapping[str, str], folder: Path, patch: pytest.MonkeyPatch) -> Generator[Stage]:
    """An application that keeps its events beside the event store's."""
    (folder / "milepost.toml").write_text(TOML)
    for name, value in persistence(environment["MILEPOST_URL"]).items():
        patch.setenv(name, value)
    patch.setenv("PYTHONPATH", str(ROOT))  # of other processes
    stage = Stage()
    yield stage
    stage.close()


def persistence(url: str) -> dict[str, str]:
    """How an application is told to keep its events in that database."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": address.database or ""}
    database = open_database(url)
    with database.user_transaction() as connection:
        connection.exec_driver_sql("CREATE SCHEMA savings")
    database.close()
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(address.database),
        "POSTGRES_HOST": str(address.query.get("host", address.host or "")),
        "POSTGRES_PORT": str(address.query.get("port", address.port or "5432")),
        "POSTGRES_USER": str(address.username),
        "POSTGRES_PASSWORD": str(address.password or ""),
        "POSTGRES_SCHEMA": "savings",
    }
