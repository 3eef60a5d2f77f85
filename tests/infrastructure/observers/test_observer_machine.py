"""Whatever comes in whatever order: the read model is what a plain loop makes of the events, and nobody is stuck.

Deposits, handlers that fail and are mended, live rounds of two processes, jobs that are started, stopped, resumed,
cancelled and removed, operators, and commits that fail before or after they were there.
"""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from milepost.domain.commands import RemoveJob
from milepost.domain.errors import JobError
from milepost.domain.events import Json
from milepost.domain.observers import events as e
from milepost.domain.observers.state import Observer, ObserverStatus, Partition, evolve, partition_after
from milepost.domain.state_machine import AT_REST
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.schema import observer_partitions
from milepost.infrastructure.observers.row_values import LaterEvent, partition_of_row
from milepost.infrastructure.observers.rows import ObserverRows, effects_transaction
from tests.infrastructure.observers.accounts import Account, Balances, deposit, expected_of, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, OPERATOR, Theatre, bank_beside
from tests.infrastructure.running.stage import turn_until
from tests.length import FULL
from tests.stores import url_of

ACCOUNTS = 4
POISON = 13
WHOLE = ("catch-up-observer", "replay-observer", "replay-beside")
FAULTS = st.lists(st.sampled_from(["", "before", "after"]), max_size=4)


class ObserverMachine(RuleBasedStateMachine):
    kind: ClassVar[str]

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        url = url_of(self.kind, Path(self.folder.name))
        self.theatre = Theatre(url, bank_beside(url))
        self.other = self.theatre.another_live()
        self.accounts: list[Account] = open_accounts(self.theatre.bank, ACCOUNTS)
        self.skipped: set[tuple[str, int]] = set()  # by partition and position
        self.jobs: list[UUID] = []
        self.theatre.go()

    # -- the application

    @rule(index=st.integers(0, ACCOUNTS - 1), amounts=st.lists(st.integers(1, 9), min_size=1, max_size=12))
    def write(self, index: int, amounts: list[int]) -> None:
        deposit(self.theatre.bank, self.accounts[index], *amounts)

    @rule(index=st.integers(0, ACCOUNTS - 1))
    def write_what_fails(self, index: int) -> None:
        deposit(self.theatre.bank, self.accounts[index], 1, POISON, 2)

    @rule(poisoned=st.booleans())
    def mend_or_break(self, poisoned: bool) -> None:
        Balances.poison = {POISON} if poisoned else set()

    # -- processes

    @rule(first=st.booleans(), seconds=st.sampled_from([0.1, 1.0, 11.0]), faults=FAULTS)
    def go_live(self, first: bool, seconds: float, faults: list[str]) -> None:
        """11 s: longer than a lease."""
        self.theatre.stage.clock.pass_time(seconds)
        self.faulty(faults, lambda: (self.theatre.live if first else self.other).turn())

    @rule(turns=st.integers(1, 6), faults=FAULTS)
    def work(self, turns: int, faults: list[str]) -> None:
        def act() -> None:
            for _ in range(turns):
                self.theatre.stage.clock.pass_time(0.2)
                self.theatre.worker.turn()

        self.faulty(faults, act)

    def faulty(self, faults: list[str], act: Any) -> None:
        self.theatre.stage.database.step_faults = list(faults)
        with suppress(DatabaseUnavailable):
            act()
        self.theatre.stage.database.step_faults = []

    # -- operators

    @rule(kind=st.sampled_from(WHOLE), parallel=st.sampled_from([1, 3]))
    def start(self, kind: str, parallel: int) -> None:
        request: dict[str, Json] = {"parallel": parallel}
        if kind == "replay-beside":
            kind, request["beside"] = "replay-observer", True
        self.jobs.append(self.theatre.start(kind, **request))

    @rule(index=st.integers(0, ACCOUNTS - 1), kind=st.sampled_from(["recover-partition", "replay-observer-partition"]))
    def start_on_partition(self, index: int, kind: str) -> None:
        self.jobs.append(self.theatre.start(kind, partition=str(self.accounts[index].id)))

    @rule(data=st.data(), command=st.sampled_from(["stop", "resume", "cancel", "remove"]))
    def command(self, data: st.DataObject, command: str) -> None:
        if not self.jobs:
            return
        job_id, stage = data.draw(st.sampled_from(self.jobs[-4:])), self.theatre.stage
        with suppress(JobError):
            if command == "remove":
                stage.store.execute(NAMESPACE, job_id, lambda _: RemoveJob(), OPERATOR)
            else:
                getattr(stage, command)(job_id)

    @rule(pause=st.booleans())
    def pause(self, pause: bool) -> None:
        (self.theatre.operator.pause if pause else self.theatre.operator.unpause)("balances")

    @rule(index=st.integers(0, ACCOUNTS - 1), skip=st.booleans())
    def act_on_partition(self, index: int, skip: bool) -> None:
        partition = str(self.accounts[index].id)
        with suppress(JobError):
            if skip:
                self.theatre.operator.skip("balances", partition)
            else:
                self.theatre.operator.retry("balances", partition)

    # -- what must hold

    @invariant()
    def the_rows_are_the_fold_of_the_events(self) -> None:
        if not hasattr(self, "theatre"):
            return
        with effects_transaction(self.theatre.stage.database) as connection:
            rows = ObserverRows(connection, NAMESPACE, "balances")
            observer, held, skipped = fold(rows)
            assert rows.observer() == observer
            table = observer_partitions
            found = connection.execute(sa.select(table).where(table.c.status.is_not(None))).mappings()
            assert {(row["generation"], row["partition"]): partition_of_row(row) for row in found} == held
        self.skipped = skipped

    def teardown(self) -> None:
        if not hasattr(self, "theatre"):
            return
        try:
            self.settle()
            self.check()
        finally:
            self.other.leave()
            self.theatre.close()
            self.theatre.bank.close()
            self.folder.cleanup()

    def settle(self) -> None:
        """Stopped jobs are resumed, failed ones removed; until nothing is left that anybody would do."""
        stage = self.theatre.stage
        self.theatre.operator.unpause("balances")
        for job_id in self.jobs:
            with suppress(JobError):
                stage.resume(job_id)
        self.run_out()
        for job_id in self.jobs:
            with suppress(JobError):
                stage.store.execute(NAMESPACE, job_id, lambda _: RemoveJob(), OPERATOR)
        self.run_out()

    def run_out(self) -> None:
        stage = self.theatre.stage

        def quiet() -> bool:
            stage.clock.pass_time(0.2)
            return not self.theatre.worker.jobs

        for _ in range(12):
            stage.clock.pass_time(5.0)
            for live in (self.theatre.live, self.other):
                live.turn()
            self.theatre.worker.turn()
            turn_until(quiet, self.theatre.worker)

    def check(self) -> None:
        theatre = self.theatre
        self.the_rows_are_the_fold_of_the_events()
        assert all(theatre.stage.status(job_id) in AT_REST for job_id in self.jobs), "a job is stuck"
        observer = theatre.observer
        assert observer.status is ObserverStatus.ACTIVE, f"the observer is stuck: {observer}"
        held = {str(each.id): theatre.held(each) for each in self.accounts}
        until = {name: partition.position for name, partition in held.items() if partition is not None}
        model, handled = expected_of(theatre.bank, until, self.skipped)
        assert theatre.read() == model
        slices = theatre.slices()
        counted = sum(each.handled for each in slices)
        again = any(isinstance(each.event, e.PartitionReplayBegan) for each in theatre.history())
        assert counted >= handled if again else counted == handled
        newest = theatre.bank.recorder.max_notification_id() or 0
        assert all(each.position == newest for each in slices), "a slice is behind"


def fold(
    rows: ObserverRows,
) -> tuple[Observer, dict[tuple[int, str], Partition], set[tuple[str, int]]]:
    """The observer, its held partitions, and what was skipped since its newest replay, by the history alone."""
    observer = Observer(NAMESPACE, "balances")
    held: dict[tuple[int, str], Partition] = {}
    skipped: dict[int, set[tuple[str, int]]] = {}
    for recorded in rows.history():
        assert not isinstance(recorded.event, LaterEvent)
        before, observer = observer, evolve(observer, recorded.event)
        match recorded.event:
            case e.ObserverTaken(held=how, generation=generation) if how != "catch-up":
                held = {key: partition for key, partition in held.items() if key[0] != generation}
                skipped[generation] = set()
            case e.ObserverReleased(generation=generation) if before.target is not None:
                gone = before.generation if generation != before.generation else before.target
                if gone != generation:
                    held = {key: partition for key, partition in held.items() if key[0] != gone}
            case (
                e.PartitionFailed()
                | e.PartitionAdvanced()
                | e.PartitionRecovered()
                | e.PartitionSkipped()
                | e.PartitionRetryAsked()
                | e.PartitionReplayBegan()
            ) as happened:
                key = (happened.generation, happened.partition)
                after = partition_after(held.pop(key, None), happened, recorded.recorded_at)
                held |= {} if after is None else {key: after}
                if isinstance(happened, e.PartitionSkipped):
                    skipped.setdefault(happened.generation, set()).add((happened.partition, happened.position))
                if isinstance(happened, e.PartitionReplayBegan):
                    mine = skipped.get(happened.generation, set())
                    skipped[happened.generation] = {each for each in mine if each[0] != happened.partition}
            case _:
                pass
    return observer, held, skipped.get(observer.generation, set())


class InMemory(ObserverMachine):
    kind = "memory"


class InFile(ObserverMachine):
    kind = "file"


class OnServer(ObserverMachine):
    kind = "server"


MORE = 25 if FULL else 1
_COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}
TestInMemory = InMemory.TestCase
TestInMemory.settings = settings(max_examples=8 * MORE, stateful_step_count=25, **_COMMON)
TestInFile = InFile.TestCase
TestInFile.settings = settings(max_examples=4 * MORE, stateful_step_count=25, **_COMMON)
TestOnServer = OnServer.TestCase
TestOnServer.settings = settings(max_examples=2 * MORE, stateful_step_count=25, **_COMMON)
