"""What lists of observers and of failed partitions ask of the event store, however many there are."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event

from milepost.domain.envelope import Origin
from milepost.infrastructure.event_store.schema import jobs, observer_partitions, observer_waiting
from milepost.infrastructure.observers.queries import ObserverQueries
from milepost.infrastructure.observers.rows import ObserverRows, effects_transaction
from tests.infrastructure.running.stage import Stage
from tests.stores import url_of

NOW: Final = datetime.now(UTC)
NAMES: Final = ("letters", "sums")


@pytest.fixture(params=["memory", "server"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Stage]:
    """Two observers, of which each has three partitions that failed and one that goes on."""
    made = Stage(url_of(request.param, tmp_path))
    made.types = made.types.load([])
    for name in NAMES:
        with effects_transaction(made.database) as connection:
            _ = ObserverRows(connection, "Default", name).register(Origin("ann", "cli"), made.clock)
            of = {"namespace": "Default", "observer": name, "generation": 1}
            held = dict.fromkeys(observer_partitions.c.keys()) | {"status": "Failed", "position": 1, "attempts": 1}
            rows = [{**held, **of, "partition": f"p{index}"} for index in range(3)]
            rows.append({**dict.fromkeys(observer_partitions.c.keys()), **of, "partition": "well"})
            connection.execute(observer_partitions.insert(), rows)
            waiting = [
                {**of, "partition": f"p{index}", "position": at} for index in range(3) for at in range(index + 1)
            ]
            connection.execute(observer_waiting.insert(), waiting)
    yield made
    made.close()


@contextmanager
def statements(stage: Stage) -> Generator[list[tuple[str, Any]]]:
    """What is asked of the database meanwhile."""
    asked: list[tuple[str, Any]] = []

    def hear(_: Any, __: Any, statement: str, parameters: Any, *more: Any) -> None:
        if statement.startswith("SELECT milepost") or "milepost_" in statement:
            asked.append((statement, parameters))

    engine = stage.database.engine
    event.listen(engine, "before_cursor_execute", hear)
    yield asked
    event.remove(engine, "before_cursor_execute", hear)


def retrying(stage: Stage, partition: str) -> str:
    """A job that works on it."""
    command = stage.types.start_command(
        "recover-partition", {"observer": "sums", "partition": partition}, namespace="Default"
    )
    return str(stage.store.start(command, Origin("ann", "cli"))[0].id)


def test_a_page_of_failed_partitions_tells_of_each_what_waits_and_its_job(stage: Stage) -> None:
    job = retrying(stage, "p1")
    queries = ObserverQueries(stage.database, "Default")

    page = queries.failed(None, NOW, limit=2, after=("letters", "p1"))
    next_page = queries.failed(None, NOW, limit=9, after=("sums", "p0"))

    told = [(each["observer"], each["partition"], each["waiting"], each["job"]) for each in (*page, *next_page)]
    assert told == [
        ("letters", "p2", 3, None),
        ("sums", "p0", 1, None),
        ("sums", "p1", 2, job),
        ("sums", "p2", 3, None),
    ]


def test_the_jobs_of_a_page_are_found_by_their_keys_and_nothing_is_read_from_end_to_end(stage: Stage) -> None:
    if stage.database.schema is not None:
        pytest.skip("the other database chooses by how much there is")
    queries = ObserverQueries(stage.database, "Default")
    with statements(stage) as asked:
        queries.failed("sums", NOW, limit=100)

    with stage.database.read() as connection:
        plans = [
            row[3]
            for statement, parameters in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    of_jobs = [plan for plan in plans if jobs.name in plan]
    assert of_jobs
    assert all("milepost_jobs_by_key (live=? AND namespace=? AND type=? AND key=?)" in plan for plan in of_jobs)
    assert not [plan for plan in plans if plan.startswith("SCAN")]


def test_how_much_is_asked_does_not_depend_on_how_many_partitions_or_observers_there_are(stage: Stage) -> None:
    queries = ObserverQueries(stage.database, "Default")
    with statements(stage) as of_one:
        queries.failed("sums", NOW, limit=1)
    with statements(stage) as of_all:
        queries.failed("sums", NOW, limit=100)
    with statements(stage) as lists:
        found = queries.all(NOW)

    assert len(of_one) == len(of_all)
    assert len(lists) == 1
    assert ["partitions" in row for row in found] == [False, False]


def test_one_observer_tells_how_many_partitions_it_has_met(stage: Stage) -> None:
    found = ObserverQueries(stage.database, "Default").one("sums", NOW)

    assert found is not None
    assert (found["partitions"], found["failed"], found["waiting"]) == (4, 3, 6)
