"""A real server over an event store with an application's events and their observer, which a test runs by hand."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx

from milepost.domain.envelope import Origin
from milepost.domain.observers.policy import PartitionPolicy
from milepost.infrastructure.observers.holding import Holding
from milepost.infrastructure.observers.live import LiveObservers
from milepost.infrastructure.observers.observer import Effects, Observer, Place, observer
from milepost.infrastructure.observers.rows import ObserverRows, effects_transaction
from milepost.infrastructure.observers.sources import EventSource
from milepost.infrastructure.settings import resolve
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.service import AT_REST
from tests.infrastructure.observers.accounts import Account, Balances, Bank, Poisoned, deposit, open_accounts
from tests.infrastructure.observers.stage import bank_beside
from tests.interfaces.http.live import Heard, Listening
from tests.interfaces.http.served import MINE, PATIENCE_SECONDS, Running, running, space_of
from tests.stores import url_of

OBSERVERS: Final = f"{Balances.__module__}:Balances,{__name__}:Keyed"
OPERATOR: Final = Origin("ann@desk", "cli")
POISON: Final = 13
ANY_KEY: Final = "/a b?c#d%2F/../\u00fc\n:/retry"  # all that a URL may take for something else


@observer("keyed")
class Keyed(Observer):
    """Its partitions have every sign in their names."""

    handles = (Account.Deposited,)  # type: ignore[attr-defined]
    policy = PartitionPolicy(attempts=3, backoff_seconds=3600)

    @classmethod
    def source(cls, place: Place) -> EventSource:
        return Balances.source(place)

    def partition(self, event: Any) -> str:
        return ANY_KEY if event.amount == POISON else "plain"

    def handle(self, event: Any, effects: Effects) -> None:
        if event.amount in Balances.poison:
            raise Poisoned(event.amount)


class Watched:
    """Its observer is `balances`; partitions are accounts."""

    def __init__(self, server: Running, bank: Bank) -> None:
        self.server, self.bank = server, bank
        self.live = self.app.live_observers("worker")

    @property
    def app(self) -> Application:
        return self.server.app

    @property
    def url(self) -> str:
        return f"{self.server.url}{space_of(MINE)}"

    def holding(self, namespace: str = MINE) -> Holding:
        return Holding(self.app.database, namespace, self.app.surroundings, OPERATOR)

    def failing(self) -> Account:
        """An account whose second of three deposits is poison, and one where all goes well."""
        ann, bob = open_accounts(self.bank, 2)
        deposit(self.bank, ann, 1, POISON, 2)
        deposit(self.bank, bob, 4)
        self.live.turn()
        return ann

    def register(self, namespace: str, name: str = "balances") -> None:
        with effects_transaction(self.app.database) as connection:
            ObserverRows(connection, namespace, name).register(OPERATOR, self.app.surroundings)

    def work(self, job_id: str) -> str:
        """Until the job is at rest: its status."""
        worker, executor = self.app.worker(slots=2, kind="threads", only=UUID(job_id))
        try:
            worker.run(until=lambda: self._status(job_id) in AT_REST)
        finally:
            executor.close()
        return self._status(job_id)

    def _status(self, job_id: str) -> str:
        return str(self.app.queries.job(MINE, job_id)["status"])


def furnish(url: str, *namespaces: str) -> str:
    """An event store whose observers have met an event that fails, in each of these namespaces: its account."""
    bank = bank_beside(url)
    Balances.bank, Balances.poison = bank, {POISON}
    (ann,) = open_accounts(bank, 1)
    deposit(bank, ann, 1, POISON)
    watch(url, *namespaces)
    bank.close()
    return str(ann.id)


def watch(url: str, *namespaces: str) -> None:
    """Have all events of the bank handled in these namespaces."""
    app = Application(resolve(environ={"MILEPOST_URL": url, "MILEPOST_OBSERVERS": OBSERVERS}))
    for namespace in namespaces:
        live = LiveObservers(app.database, app.job_types, namespace, app.surroundings, "worker")
        live.turn()
        live.leave()
    app.close()


@contextmanager
def watched(kind: str, folder: Path, *, open_here: bool = True) -> Generator[Watched]:
    url = url_of(kind, folder)
    bank = bank_beside(url)
    Balances.bank, Balances.poison = bank, {POISON}
    with running(url, open_here=open_here, MILEPOST_OBSERVERS=OBSERVERS) as server:
        made = Watched(server, bank)
        yield made
        made.live.leave()
    Balances.poison = set()
    bank.close()


@contextmanager
def listening_to(space: str, after: str | None = None, **headers: str) -> Generator[Listening]:
    """The stream of a namespace's observers."""
    sent = headers if after is None else {"Last-Event-ID": after, **headers}
    with httpx.stream("GET", f"{space}/observers/stream", headers=sent, timeout=PATIENCE_SECONDS) as response:
        assert response.status_code == 200, response.read()
        yield Listening(response)


def happened(stream: Listening) -> Iterator[Heard]:
    """Events of histories alone."""
    return (heard for heard in stream.events() if heard.event != "observer")


def shown(stream: Listening) -> Iterator[dict[str, Any]]:
    """Documents alone."""
    return (heard.data for heard in stream.events() if heard.event == "observer")
