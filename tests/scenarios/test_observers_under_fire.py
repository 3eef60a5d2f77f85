"""Workers are killed at any moment while an application writes: every event is handled once, in order, in the end."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa

from milepost.domain.commands import RemoveJob
from milepost.domain.envelope import Origin
from milepost.domain.errors import JobError
from milepost.domain.observers.state import ObserverStatus
from milepost.infrastructure.event_store import schema
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.rows import ObserverRows, at_home
from tests.postgres import fresh_database
from tests.scenarios import observed
from tests.scenarios.observed import BAD, BROKEN, WHERE, Account, Bank, balances, expected
from tests.scenarios.workshop import FULL, Workshop, dice, eventually, tell

ROUNDS = 60 if FULL else 4
ACCOUNTS = 24
SOMEBODY = Origin("somebody@somewhere", "cli")
NAMESPACE = "Default"


class Fire:
    """A bank that is written to, and workers that do not live long."""

    def __init__(self, workshop: Workshop, environment: dict[str, str], chance: Random) -> None:
        (workshop.folder / WHERE).write_text(json.dumps(environment))
        self.workshop, self.chance = workshop, chance
        self.bank = Bank(environment)
        self.accounts = [Account(number) for number in range(ACCOUNTS)]
        self.bank.save(*self.accounts)
        self.workers = [workshop.worker("--slots", "4") for _ in range(2)]

    @property
    def store(self) -> JobStore:
        return self.workshop.store

    def write(self, times: int) -> None:
        for _ in range(times):
            account = self.chance.choice(self.accounts)
            account.deposit(BAD if self.chance.random() < 0.02 else self.chance.randrange(1, 10))
            self.bank.save(account)

    def kill_one(self) -> None:
        index = self.chance.randrange(len(self.workers))
        self.workers[index].kill()
        self.workers[index] = self.workshop.worker("--slots", "4")

    def start_something(self) -> None:
        account = str(self.chance.choice(self.accounts).id)
        kinds: list[tuple[str, dict[str, object]]] = [
            ("catch-up-observer", {}),
            ("replay-observer", {"parallel": 3}),
            ("replay-observer", {"beside": True}),
            ("rebuild-index", {}),
            ("replay-observer-partition", {"partition": account}),
            ("recover-partition", {"partition": account}),
        ]
        kind, request = self.chance.choice(kinds)
        done = self.workshop.milepost(
            "jobs", "start", kind, "--request", json.dumps({"observer": "balances", **request}), "-q"
        )
        assert done.code == 0, done

    def set_broken(self, broken: bool) -> None:
        path = self.workshop.folder / BROKEN
        path.touch() if broken else path.unlink(missing_ok=True)

    def live_jobs(self) -> list[str]:
        with self.store.database.read() as connection:
            rows = at_home(connection, self.store.database)
            return list(rows.scalars(sa.select(schema.jobs.c.id).where(schema.jobs.c.live)))

    def remove_failed(self) -> None:
        """A job that has failed can be resumed, and so holds its observer until it is removed."""
        with self.store.database.read() as connection:
            failed = sa.select(schema.jobs.c.id).where(schema.jobs.c.status == "Failed")
            found = list(at_home(connection, self.store.database).scalars(failed))
        for job_id in found:
            try:
                self.store.execute(NAMESPACE, UUID(job_id), lambda _: RemoveJob(), SOMEBODY)
            except JobError as error:  # it was removed already
                tell(str(error))

    def settled(self) -> bool:
        """Nothing is left that anybody would do."""
        if self.live_jobs():
            return False
        self.remove_failed()
        with self.store.database.read() as connection:
            rows = ObserverRows(at_home(connection, self.store.database), NAMESPACE, "balances")
            observer = rows.observer()
            newest = self.bank.recorder.max_notification_id()
            return (
                observer.status is ObserverStatus.ACTIVE
                and observer.job is None
                and rows.count_held(observer.generation) == 0
                and all(each.position == newest for each in rows.slices(observer.generation))
            )

    def all_handled(self) -> bool:
        newest = self.bank.recorder.max_notification_id()
        with self.store.database.read() as connection:
            rows = ObserverRows(at_home(connection, self.store.database), NAMESPACE, "balances")
            found = rows.find()
            return found is not None and all(each.position == newest for each in rows.slices(found.generation))

    def read(self) -> dict[str, tuple[int, str]]:
        table = Generation(observed.tables, NAMESPACE).table(balances)
        with self.store.database.read() as connection:
            rows = at_home(connection, self.store.database).execute(sa.select(table))
            return {row.account: (row.events, row.amounts) for row in rows}


@pytest.fixture(params=["file", "server"])
def fire(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fire]:
    # Not copied there: the application's events name the module that its classes are in.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (tmp_path / "milepost.toml").write_text(f'job_types = ["{observed.__name__}"]\n')
    url = fresh_database() if request.param == "server" else None
    workshop = Workshop(tmp_path, url=url)
    made = Fire(workshop, environment_of(url, tmp_path), dice())
    try:
        yield made
    finally:
        workshop.close()
        made.bank.close()


def environment_of(url: str | None, folder: Path) -> dict[str, str]:
    """Of an application in the event store's own database."""
    if url is None:
        return {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(folder / "bank.sqlite"),
            "SQLITE_LOCK_TIMEOUT": "60",
        }
    address = sa.make_url(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA bank")
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(address.database),
        "POSTGRES_HOST": str(address.query.get("host", address.host or "")),
        "POSTGRES_PORT": str(address.query.get("port", address.port or "5432")),
        "POSTGRES_USER": str(address.username or os.environ.get("USER", "postgres")),
        "POSTGRES_PASSWORD": str(address.password or ""),
        "POSTGRES_SCHEMA": "bank",
    }


def test_workers_that_are_killed_at_any_moment_leave_nothing_out_and_nothing_twice(fire: Fire) -> None:
    for number in range(ROUNDS):
        fire.set_broken(number % 3 == 1)
        fire.write(fire.chance.randrange(100))
        if fire.chance.random() < 0.8:
            fire.start_something()
        fire.write(fire.chance.randrange(100))
        fire.kill_one()
    fire.set_broken(False)
    eventually(fire.settled, "all is handled")

    assert fire.read() == expected(fire.bank)
    tell(f"{fire.bank.recorder.max_notification_id()} events, {ROUNDS} workers killed")


def test_a_worker_that_slept_for_longer_than_its_lease_handles_nothing_twice(fire: Fire) -> None:
    for _ in range(ROUNDS // 2):
        fire.write(50)
        sleeper = fire.chance.choice(fire.workers)
        fire.workshop.freeze(sleeper)
        fire.write(50)
        eventually(fire.all_handled, "others went on")
        sleeper.wake()
    eventually(fire.settled, "all is handled")

    assert fire.read() == expected(fire.bank)
