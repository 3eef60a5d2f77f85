"""Applications that know nothing of Milepost are observed as they are, whatever their style and however they store."""

import os
import sqlite3
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from eventsourcing.application import Application
from eventsourcing.cryptography import AESCipher
from eventsourcing.persistence import StoredEvent
from eventsourcing.tests.application import BankAccounts
from psycopg import sql

from milepost.domain.envelope import Origin
from milepost.domain.observers.state import PartitionStatus
from milepost.domain.state_machine import AT_REST, JobStatus
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.rows import ObserverRows, at_home, effects_transaction
from milepost.infrastructure.observers.sources import EventsInMemory, source_of_application
from milepost.infrastructure.settings import resolve
from milepost.interfaces.bootstrap import Application as Milepost
from tests.infrastructure.observers.foreign import dog_school
from tests.infrastructure.observers.foreign.dog_school import DogSchool
from tests.infrastructure.observers.foreign.record import RECORDED
from tests.infrastructure.observers.foreign.styles import Harbour, Library, Passports, Register
from tests.infrastructure.observers.foreign.watching import (
    Accounts,
    Arrivals,
    Heard,
    Journeys,
    Loans,
    Moves,
    told,
    tricks,
)
from tests.infrastructure.observers.stage import environment_beside
from tests.infrastructure.running.stage import Stage
from tests.postgres import fresh_database
from tests.stores import url_of

HERE: Final = "tests.infrastructure.observers.foreign.watching"
STORAGES: Final[dict[str, dict[str, str]]] = {
    "plain": {},
    "compressed": {"COMPRESSOR_TOPIC": "zlib"},
    "encrypted": {
        "COMPRESSOR_TOPIC": "zlib",
        "CIPHER_TOPIC": "eventsourcing.cryptography:AESCipher",
        "CIPHER_KEY": AESCipher.create_key(num_bytes=16),
    },
}


@pytest.fixture(params=["file", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)


@pytest.fixture
def environment(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the process's environment says of where applications keep their events."""
    said = environment_beside(url)
    for key, value in said.items():
        monkeypatch.setenv(key, value)
    return said


@pytest.fixture
def stage(url: str, environment: dict[str, str]) -> Generator[Stage]:
    made = Stage(url)
    yield made
    made.close()


def replay(stage: Stage, observer: type[Heard]) -> JobStatus | None:
    stage.types = stage.types.load([f"{HERE}:{observer.__name__}"])
    return stage.finish(stage.start("replay-observer", {"observer": observer.name}), stage.worker(slots=2))


def heard(stage: Stage, observer: type[Heard]) -> list[tuple[int, str, str]]:
    with stage.database.read() as connection:
        table = Generation(observer.tables, "Default").table(observer.happened)
        rows = at_home(connection, stage.database).execute(sa.select(table).order_by(table.c.position))
        return [(row.position, row.partition, row.said) for row in rows]


def recorded(application: Application[Any]) -> list[tuple[int, str, str]]:
    """By the library's own means."""
    return [
        (each.id, str(each.originator_id), told(application.mapper.to_domain_event(each)))
        for each in application.recorder.select_notifications(1, 1_000)
    ]


def test_the_example_is_word_for_word_that_of_the_documentation() -> None:
    readme = metadata("eventsourcing").json["description"]
    assert isinstance(readme, str)
    ours = Path(dog_school.__file__).read_text(encoding="utf-8")
    classes = [block.split("```")[0] for block in readme.split("```python\n")[1:3]]

    assert ["class Dog(" in classes[0], "class DogSchool(" in classes[1]] == [True, True]
    assert ours.split("\n\n", 1)[1] == "\n".join(classes)


def test_recorded_events_of_a_documented_example_are_observed_without_changing_it(
    url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    stored = recorded_school()
    with DogSchool() as school:
        school.recorder.insert_events(stored)
        dogs = list(dict.fromkeys(each.originator_id for each in stored))
        expected = {str(dog): school.get_dog(UUID(str(dog))) for dog in dogs}
        before = school.recorder.select_notifications(1, 1_000)
    (tmp_path / "milepost.toml").write_text(
        f'observers = ["{HERE}:Tricks"]\ndefault_event_store = "here"\n[event_stores]\nhere = "{url}"\n'
    )
    milepost = Milepost(resolve(environ={}, folder=tmp_path))
    worker, executor = milepost.worker(slots=2, kind="threads")
    command = milepost.job_types.start_command("replay-observer", {"observer": "tricks"}, namespace="Default")
    job, _ = milepost.store.start(command, Origin("ann@desk", "test"))
    worker.run(until=lambda: milepost.store.load(job.id).status in AT_REST)
    executor.close()

    assert milepost.store.load(job.id).status is JobStatus.COMPLETED_SUCCESSFULLY
    with milepost.database.read() as connection:
        rows = at_home(connection, milepost.database).execute(sa.select(tricks)).all()
    milepost.close()
    assert {row.dog: (row.name, row.tricks) for row in rows} == {
        dog: (said["name"], "".join(f"{trick};" for trick in said["tricks"])) for dog, said in expected.items()
    }
    assert len(rows) == 4
    with DogSchool() as school:
        assert school.recorder.select_notifications(1, 1_000) == before


def recorded_school() -> list[StoredEvent]:
    """The golden file's, as the library wrote them once."""
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(RECORDED.read_text(encoding="utf-8"))
        rows = connection.execute("SELECT * FROM stored_events ORDER BY rowid").fetchall()
    connection.close()
    return [StoredEvent(UUID(originator), version, topic, state) for originator, version, topic, state in rows]


@pytest.mark.parametrize("storage", STORAGES)
def test_classic_aggregates_are_observed_with_their_own_transcodings(
    stage: Stage, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in STORAGES[storage].items():
        monkeypatch.setenv(key, value)
    with BankAccounts() as bank:
        ann, bob = (bank.open_account(name, f"{name}@example.com") for name in ("Ann", "Bob"))
        for account in (ann, bob, ann):
            bank.credit_account(account, Decimal("10.05"))

        assert replay(stage, Accounts) is JobStatus.COMPLETED_SUCCESSFULLY
        assert heard(stage, Accounts) == recorded(bank)
        assert len(heard(stage, Accounts)) == 5


def test_functional_aggregates_are_observed(stage: Stage) -> None:
    with Library() as library:
        for readers in (("Ann", "Bob"), ("Cleo",)):
            library.lend(*readers)

        assert replay(stage, Loans) is JobStatus.COMPLETED_SUCCESSFULLY
        assert heard(stage, Loans) == recorded(library)
        assert len(heard(stage, Loans)) == 3


@pytest.mark.parametrize("storage", ["plain", "compressed"])
def test_pydantic_events_are_observed_by_their_own_mapper(
    stage: Stage, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in STORAGES[storage].items():
        monkeypatch.setenv(key, value)
    with Register() as register:
        register.move(("Ulm", "Hahnengasse"), ("Zürich", "Rämistrasse"))

        assert replay(stage, Moves) is JobStatus.COMPLETED_SUCCESSFULLY
        assert heard(stage, Moves) == recorded(register)
        assert len(heard(stage, Moves)) == 2


def test_originators_that_are_texts_are_partitions_as_they_are(stage: Stage) -> None:
    like_a_uuid = uuid4().hex
    with Passports() as passports:
        passports.stamp("passport/ä 1", "IT", "FR")
        passports.stamp(like_a_uuid, "CH")

        assert replay(stage, Journeys) is JobStatus.COMPLETED_SUCCESSFULLY
        assert heard(stage, Journeys) == recorded(passports)
        assert [partition for _, partition, _ in heard(stage, Journeys)] == ["passport/ä 1"] * 2 + [like_a_uuid]


@pytest.mark.parametrize(
    "identity", ["passport/ä 1", "0f8e6c1b2a3d4e5f8a9b0c1d2e3f4a5b", "0f8e6c1b-2a3d-4e5f-8a9b-0c1d2e3f4a5b"]
)
def test_the_events_of_an_originator_that_is_a_text_are_found(environment: dict[str, str], identity: str) -> None:
    with Passports() as passports:
        passports.stamp("another", "IT")
        passports.stamp(identity, "IT", "FR")
        source = source_of_application(Passports, {})

        assert list(source.of_originator(identity, until=3)) == [2, 3]
        assert list(source.of_originator(identity, until=2)) == [2]
        source.close()


def test_events_of_an_older_version_are_upcast(stage: Stage) -> None:
    old = StoredEvent(
        uuid4(),
        1,
        "tests.infrastructure.observers.foreign.styles:Ship.Named",
        b'{"timestamp":{"_type_":"datetime_iso","_data_":"2019-05-01T12:00:00+00:00"},'
        b'"originator_topic":"tests.infrastructure.observers.foreign.styles:Ship","name":"Fram"}',
    )
    with Harbour() as harbour:
        harbour.recorder.insert_events([old])
        harbour.arrive("Gjøa", "NO")

        assert replay(stage, Arrivals) is JobStatus.COMPLETED_SUCCESSFULLY
        assert heard(stage, Arrivals) == recorded(harbour)
        assert "('flag', 'unknown')" in heard(stage, Arrivals)[0][2]


def test_an_event_whose_class_is_gone_fails_its_partition_and_says_which(stage: Stage) -> None:
    with Library() as library:
        book = library.lend("Ann")
        topic = "tests.infrastructure.observers.foreign.styles:Burnt"
        library.recorder.insert_events([StoredEvent(book, 2, topic, b"{}"), StoredEvent(book, 3, topic, b"{}")])
        library.lend("Bob", "Cleo")

    assert replay(stage, Loans) is JobStatus.COMPLETED_SUCCESSFULLY
    assert [position for position, _, _ in heard(stage, Loans)] == [1, 4, 5]
    with effects_transaction(stage.database) as connection:
        held = ObserverRows(connection, "Default", "loans").partition(1, str(book))
    assert held is not None
    assert held.error is not None
    assert (held.status, held.position) == (PartitionStatus.FAILED, 2)
    assert held.error.type.endswith("TopicError")
    assert topic in held.error.message


@pytest.mark.parametrize(
    "environment",
    [{}, {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": ":memory:"}],
    ids=["nothing said", "a database in memory"],
)
def test_an_application_whose_events_nobody_else_sees_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(EventsInMemory, match="DOGSCHOOL_PERSISTENCE_MODULE"):
        source_of_application(DogSchool, environment)


def test_an_application_that_nobody_has_used_yet_has_no_events(environment: dict[str, str]) -> None:
    source = source_of_application(DogSchool, environment)

    assert (source.newest(), source.after(0)) == (0, [])
    source.close()


def test_an_application_is_opened_by_many_at_once(environment: dict[str, str]) -> None:
    with DogSchool() as school, ThreadPoolExecutor(8) as threads:
        school.register_dog("Fido")
        sources = list(threads.map(source_of_application, [DogSchool] * 32, [environment] * 32))

    assert [source.newest() for source in sources] == [1] * 32
    for source in sources:
        source.close()


def test_an_application_on_a_server_is_read_by_one_connection_that_is_closed_at_the_end() -> None:
    url = fresh_database()
    address = sa.make_url(url)
    environment = {**environment_of(address), "DOGSCHOOL_POSTGRES_DBNAME": address.database or ""}
    with DogSchool(environment) as school:
        school.register_dog("Fido")
    source = source_of_application(DogSchool, environment)
    assert len(source.after(0)) == 1
    with psycopg.connect(url, autocommit=True) as watching:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        (open_before,) = (still_open,) = watching.execute(asked).fetchone() or (0,)
        source.close()
        for _ in range(10_000):  # the server notes it in its own time
            (still_open,) = watching.execute(asked).fetchone() or (0,)
            if still_open == 1:
                break

    assert (open_before, still_open) == (2, 1)


def test_a_role_that_may_only_read_is_enough() -> None:
    url = fresh_database()
    environment = {**environment_of(sa.make_url(url)), "POSTGRES_DBNAME": sa.make_url(url).database or ""}
    with DogSchool(environment) as school:
        school.register_dog("Fido")
    reader = f"reader_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(reader)))
        owner.execute(sql.SQL("GRANT SELECT ON dogschool_events TO {}").format(sql.Identifier(reader)))
    source = source_of_application(DogSchool, {**environment, "POSTGRES_USER": reader})

    assert [source.event(stored).name for stored in source.after(0)] == ["Fido"]
    source.close()


def environment_of(address: sa.URL) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_HOST": str(address.query.get("host", address.host or "")),
        "POSTGRES_PORT": str(address.port or 5432),
        "POSTGRES_USER": str(address.username or os.environ.get("USER", "postgres")),
        "POSTGRES_PASSWORD": str(address.password or ""),
    }
