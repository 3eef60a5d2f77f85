"""A month of real flights: the right events, the same ones however often it is interrupted, and never twice."""

from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.flights.dataset import installed_flights
from milepost.infrastructure.flights.tables import events_table
from milepost.infrastructure.job_types.import_flights import ImportFlights
from milepost.infrastructure.job_types.registry import RequestInvalid
from tests.infrastructure.running.stage import NAMESPACE, Stage, turn_until

FEBRUARY: Final = {"months": [2]}
S = JobStatus


def events(stage: Stage, namespace: str = NAMESPACE) -> list[tuple[Any, ...]]:
    """All of them, byte by byte, in the order in which they were recorded."""
    with stage.database.read() as connection:
        found = connection.exec_driver_sql(f"SELECT * FROM {events_table(namespace)} ORDER BY rowid")
        return [tuple(row) for row in found]


def succeeded(stage: Stage, job_id: UUID) -> int:
    return stage.job(job_id).count(StepStatus.SUCCEEDED)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    """February, imported without a disturbance."""
    stage = Stage(f"sqlite:///{tmp_path_factory.mktemp('imported')}/events.sqlite", ImportFlights)
    assert stage.finish(stage.start("import-flights", FEBRUARY), stage.worker()) is S.COMPLETED_SUCCESSFULLY
    yield stage
    stage.close()


def test_a_month_gives_the_events_that_its_flights_really_had(imported: Stage) -> None:
    february = installed_flights()
    flights = [flight for day in february.days([2]) for flight in february.flights_on(day)]
    departed = sum(flight.dep_time is not None for flight in flights)
    arrived = sum(flight.arr_time is not None for flight in flights)
    topics = Counter(topic.rpartition("Flight")[2] for _, _, topic, _ in events(imported))

    assert len(flights) == 24_951
    assert topics["Scheduled"] == 24_951
    assert topics["Cancelled"] == 1_261
    assert (topics["Departed"], topics["Cancelled"]) == (departed, len(flights) - departed)
    assert topics["Arrived"] == arrived


def test_an_import_that_was_stopped_and_resumed_leaves_the_same_events(imported: Stage, tmp_path: Path) -> None:
    stage = Stage(f"sqlite:///{tmp_path}/events.sqlite", ImportFlights)
    job_id, worker = stage.start("import-flights", FEBRUARY), stage.worker()
    for day in (3, 9):
        turn_until(lambda day=day: succeeded(stage, job_id) >= day, worker)  # type: ignore[misc]
        stage.stop(job_id)
        assert stage.finish(job_id, worker) is S.STOPPED
        stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert stage.happened(job_id).count("StepSucceeded") == 28
    assert events(stage) == events(imported)
    stage.close()


def test_a_month_that_is_imported_again_adds_nothing_and_says_so(imported: Stage) -> None:
    before = len(events(imported))
    job_id = imported.start("import-flights", FEBRUARY)

    assert imported.finish(job_id, imported.worker()) is S.COMPLETED_SUCCESSFULLY
    assert len(events(imported)) == before
    progress = imported.job(job_id).steps[0].progress
    assert progress is not None
    assert progress.message == "imported by an earlier job"


def test_a_day_whose_commit_was_not_answered_is_there_once(imported: Stage, tmp_path: Path) -> None:
    stage = Stage(f"sqlite:///{tmp_path}/events.sqlite", ImportFlights)
    stage.database.step_faults = ["after"]
    job_id, worker = stage.start("import-flights", FEBRUARY), stage.worker()
    turn_until(lambda: stage.job(job_id).count(StepStatus.WAITING) == 1, worker)
    stage.clock.pass_time(1)
    turn_until(lambda: succeeded(stage, job_id) >= 2, worker)
    stage.stop(job_id)
    stage.finish(job_id, worker)

    assert events(stage) == events(imported)[: len(events(stage))]
    assert stage.job(job_id).steps[0].attempt == 2
    stage.close()


def test_each_namespace_has_flights_of_its_own(imported: Stage) -> None:
    before = events(imported)
    job_id = imported.start("import-flights", FEBRUARY, namespace="Other")
    worker = imported.worker()
    turn_until(lambda: succeeded(imported, job_id) >= 1, worker)
    imported.cancel(job_id)
    imported.finish(job_id, worker)

    assert events(imported, "Other") == before[: len(events(imported, "Other"))]
    assert events(imported) == before


def test_one_import_lives_at_a_time(tmp_path: Path) -> None:
    stage = Stage(f"sqlite:///{tmp_path}/events.sqlite", ImportFlights)

    assert stage.start("import-flights", {"months": [1]}) == stage.start("import-flights", {"months": [2]})
    stage.close()


@pytest.mark.parametrize("months", [[], [0], [13], ["may"]])
def test_months_that_there_are_not_are_refused(tmp_path: Path, months: list[Any]) -> None:
    stage = Stage(f"sqlite:///{tmp_path}/events.sqlite", ImportFlights)

    with pytest.raises(RequestInvalid):
        stage.start("import-flights", {"months": months})
    stage.close()


def test_the_lists_say_which_months_are_imported(tmp_path: Path) -> None:
    stage = Stage(f"sqlite:///{tmp_path}/events.sqlite", ImportFlights)

    assert stage.types.start_command("import-flights", {}, namespace="n").details == "all of 2013"
    assert stage.types.start_command("import-flights", {"months": [3, 1, 3]}, namespace="n").details == (
        "2013-01, 2013-03"
    )
    stage.close()
