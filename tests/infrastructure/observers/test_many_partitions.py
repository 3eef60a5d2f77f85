"""Many events in many partitions, one in a hundred of which fails: the others are handled, at a bounded cost."""

import resource
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.schema import observer_partitions
from milepost.infrastructure.observers.observer import BATCH_EVENTS, Effects, Observed, observer
from milepost.infrastructure.observers.rows import ObserverRows, at_home
from milepost.infrastructure.settings import resolve
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.local_service import LocalService
from tests.infrastructure.observers.accounts import Account, Balances, Bank, Poisoned, balances
from tests.infrastructure.observers.stage import NAMESPACE, Theatre
from tests.length import FULL

EVENTS = 1_000_000 if FULL else 6_000
PARTITIONS = 10_000 if FULL else 300
FAILING = PARTITIONS // 100
AT_ONCE = 500  # written in one go
LOOK_SECONDS = 1.0 if FULL else 0.05
MOST_GROWN = 300  # MB: how much more memory a million events may take than none
POISON = 13


@observer("balances")
class Counted(Balances):
    """The same in few statements; it counts what it is handed."""

    batch_events = BATCH_EVENTS
    handed: ClassVar[int] = 0

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        Counted.handed += len(events)
        found: dict[str, tuple[int, str]] = {}
        for each in events:
            if each.event.amount == POISON:
                raise Poisoned(POISON)
            amount, order = found.get(each.partition, (0, ""))
            found[each.partition] = (amount + each.event.amount, f"{order}{each.event.amount},")
        table = effects.table(balances)
        insert = (sqlite.insert if effects.on_sqlite else postgresql.insert)(table)
        upsert = insert.on_conflict_do_update(
            index_elements=["account"],
            set_={"amount": table.c.amount + insert.excluded.amount, "order": table.c.order + insert.excluded.order},
        )
        rows = [{"account": key, "amount": amount, "order": order} for key, (amount, order) in found.items()]
        effects.connection.execute(upsert, rows)


def write(bank: Bank) -> dict[str, tuple[int, str]]:
    """What the read model must be: of a partition that fails, what came before."""
    accounts = [UUID(int=1 + number) for number in range(PARTITIONS)]
    model: dict[str, tuple[int, str]] = {}
    stored: list[Any] = []
    deposited: Any = vars(Account)["Deposited"]
    at: Any = deposited.create_timestamp()
    for number in range(EVENTS):
        index, version = number % PARTITIONS, 1 + number // PARTITIONS
        fails_at = 2 + index % (EVENTS // PARTITIONS - 1)  # each in another batch
        bad = index < FAILING and version == fails_at
        amount = POISON if bad else 1 + number % 9
        happened: Any = deposited(
            originator_id=accounts[index], originator_version=version, timestamp=at, amount=amount
        )
        stored.append(bank.mapper.to_stored_event(happened))
        if len(stored) == AT_ONCE:
            bank.recorder.insert_events(stored)
            stored = []
        if index >= FAILING or version < fails_at:
            total, order = model.get(str(accounts[index]), (0, ""))
            model[str(accounts[index])] = (total + amount, f"{order}{amount},")
    bank.recorder.insert_events(stored)
    return model


@pytest.mark.parametrize("theatre", ["file", "server"], indirect=True)
def test_failing_partitions_do_not_keep_the_others_and_cost_no_more_than_their_batches(
    theatre: Theatre, tmp_path: Path
) -> None:
    theatre.stage.types = theatre.stage.types.load([f"{__name__}:Counted"])
    theatre.worker = theatre.stage.worker(slots=4)
    model = write(theatre.bank)
    Counted.handed = 0
    before, began = memory(), time.monotonic()

    with Watch(theatre.stage.url, tmp_path) as watch:
        assert theatre.run("catch-up-observer") is JobStatus.COMPLETED_SUCCESSFULLY
        seconds, grown = time.monotonic() - began, memory() - before
        assert watch.look() == FAILING
    assert theatre.read() == model
    with theatre.stage.database.read() as connection:
        rows = ObserverRows(at_home(connection, theatre.stage.database), NAMESPACE, "balances")
        assert rows.count_held(1) == FAILING
        waiting = sum(rows.count_waiting(1, str(UUID(int=1 + number))) for number in range(FAILING))
    assert sum(each.handled for each in theatre.slices()) + waiting == EVENTS
    # A failing event is halved for: its batch, halves of it, quarters … are handed over anew.
    assert Counted.handed <= EVENTS + FAILING * 3 * BATCH_EVENTS
    assert grown < MOST_GROWN
    sys.stdout.write(
        f"{EVENTS} events, {PARTITIONS} partitions, {FAILING} of them failing: {seconds:.1f} s,"
        f" {EVENTS / seconds:.0f} events/s, handed over {Counted.handed / EVENTS:.2f} times, {grown:.0f} MB more,"
        f" diagnosed {len(watch.told)} times\n"
    )


class Watch:
    """Diagnoses while the job runs: each time as many partitions have failed as it says."""

    def __init__(self, url: str, folder: Path) -> None:
        self.told: list[int] = []
        self._app = Application(resolve(environ={"MILEPOST_URL": url}, folder=folder))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._app.close()
        if self._error is not None:
            raise self._error

    def look(self) -> int:
        before = self._held()
        said = LocalService(self._app, NAMESPACE).diagnose(writing=False)
        after = self._held()
        about = [each.message for each in said.findings if each.area == "failed-partitions"]
        told = int(about[0].split()[0].replace(",", "")) if about else 0
        assert before <= told <= after, (before, about, after)
        assert not about or not said.healthy
        return told

    def _watch(self) -> None:
        try:
            while not self._over.wait(LOOK_SECONDS):
                self.told.append(self.look())
        except Exception as error:  # noqa: BLE001 - raised in the test's own thread
            self._error = error

    def _held(self) -> int:
        asked = sa.select(sa.func.count()).where(observer_partitions.c.status.is_not(None))
        with self._app.database.read() as connection:
            return at_home(connection, self._app.database).scalar(asked) or 0


def memory() -> float:
    """The most that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
