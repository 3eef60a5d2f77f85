"""`import-flights`, its worker killed by kill -9 again and again: exactly once, event by event."""

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from uuid import UUID

import pytest
from eventsourcing.persistence import Notification

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.flights.dataset import installed_flights
from milepost.infrastructure.flights.events import FlightScheduled
from milepost.infrastructure.flights.tables import flights_recorder
from tests.scenarios.imported_flights import ImportedFlights
from tests.scenarios.workshop import FULL, Workshop, claims, dice, of_kind, tell

MONTHS = list(range(1, 13)) if FULL else [1]
KILLS = 5
KILLED_WITH_THE_DEFAULT_LEASE = 3
SECONDS_OF_A_DAY = 0.06  # about what its import takes
PAGE = 5_000


def test_flights_imported_through_five_kills_are_those_of_an_undisturbed_import_event_by_event(
    workshop: Workshop, imported_flights: ImportedFlights, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("undisturbed")
    with closing(Workshop(folder, url=imported_flights.copied("file", folder, MONTHS))) as undisturbed:
        killed_at = import_through_kills(workshop)
        events, flights = compare(workshop, undisturbed)

    expected = installed_flights()
    assert flights == sum(expected.count(day) for day in expected.days(MONTHS))
    if FULL:
        assert (flights, events) == (336_776, 1_001_615)
    tell(f"killed after {killed_at} of {len(expected.days(MONTHS))} days; {flights:,} flights, {events:,} events equal")


def import_through_kills(workshop: Workshop) -> list[int]:
    """After how many imported days the worker was killed each time."""
    random = dice()
    days = len(installed_flights().days(MONTHS))
    killed_at = list[int]()
    job_id = workshop.start("import-flights", months=MONTHS)
    for kill, moment in enumerate(sorted(random.sample(range(2, days * 4 // 5), KILLS)), start=1):
        worker = workshop.worker(lease_seconds=None if kill == KILLED_WITH_THE_DEFAULT_LEASE else 1.0)
        at = max(moment, workshop.row(job_id).succeeded + 1)  # it must have done something
        until_imported(workshop, job_id, at)
        time.sleep(random.uniform(0, SECONDS_OF_A_DAY))  # any moment is right, not only those after a commit
        worker.kill()
        row = workshop.row(job_id)
        assert row.status == "Running", "it was not killed in the middle"
        killed_at.append(row.succeeded)
    last = workshop.worker()
    workshop.until_status(job_id, "CompletedSuccessfully")
    assert "Traceback" not in last.says
    the_history_shows_the_takeovers(workshop, job_id)
    return killed_at


def until_imported(workshop: Workshop, job_id: UUID, days: int) -> None:
    workshop.until(job_id, lambda row: row.succeeded >= days, f"{days} days are imported")


def the_history_shows_the_takeovers(workshop: Workshop, job_id: UUID) -> None:
    job, history = workshop.checked(job_id), workshop.history(job_id)
    assert job.status is JobStatus.COMPLETED_SUCCESSFULLY
    assert claims(history) == list(range(1, KILLS + 2))
    claimants = [recorded.origin.actor for recorded in of_kind(history, e.JobClaimed)]
    assert len(set(claimants)) == KILLS + 1
    interrupted = of_kind(history, e.StepInterrupted)
    assert 1 <= len(interrupted) <= KILLS, "one day is imported at a time"
    assert {recorded.origin.actor for recorded in interrupted} <= set(claimants[1:]), "by the worker that takes over"


def compare(one: Workshop, other: Workshop) -> tuple[int, int]:
    """How many events and flights there are, once all were found to be the same and in the same order."""
    events = flights = 0
    for left, right in zip_longest(notifications(one), notifications(other)):
        assert left == right
        events += 1
        flights += left.topic == FlightScheduled.TOPIC
    return events, flights


def notifications(workshop: Workshop) -> Iterator[Notification]:
    """Every event of the application in the order in which its followers hear of it, as the library reads them."""
    recorder = flights_recorder(workshop.store.database, "Default")
    position = 0
    while page := recorder.select_notifications(position + 1, PAGE):
        yield from page
        position = page[-1].id
