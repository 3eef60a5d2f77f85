"""`import-flights` on PostgreSQL: by three workers and on a cluster it makes the events of one process."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

import pytest
from eventsourcing.postgres import PostgresApplicationRecorder

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.flights.tables import flights_recorder
from tests.postgres import fresh_url
from tests.scenarios.imported_flights import ImportedFlights
from tests.scenarios.workshop import FULL, Workshop, tell

MONTHS = list(range(1, 13)) if FULL else [1]
PAGE = 5_000

Event = tuple[str, int, str, bytes]
Place = Callable[..., Workshop]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    def made(name: str, url: str | None = None) -> Workshop:
        return Workshop(tmp_path, name, url=url or fresh_url())

    return made


@pytest.fixture
def imported_by_one(imported_flights: ImportedFlights, tmp_path: Path) -> str | None:
    """The URL of what one process imported for all tests; None where it does so here, and is timed."""
    return None if FULL else imported_flights.copied("server", tmp_path, MONTHS)


def test_three_workers_and_a_cluster_of_two_processes_import_the_events_of_one_process(
    place: Place, imported_by_one: str | None
) -> None:
    with (
        closing(place("one", imported_by_one)) as one,
        closing(place("three")) as three,
        closing(place("cluster")) as cluster,
    ):
        alone = import_flights(one, 1) if FULL else None
        shared = import_flights(three, 3)
        spread = import_flights(cluster, 1, "--executor", "dask", "--slots", "2")

        events = compare(one, three)
        assert events == compare(one, cluster) > 0
    tell(f"{len(MONTHS)} months, {events:,} events: three workers {shared:.1f} s, a cluster {spread:.1f} s")
    if alone is not None:
        tell(f"one process {alone:.1f} s, speed-ups {alone / shared:.2f} and {alone / spread:.2f}")


def import_flights(workshop: Workshop, workers: int, *options: str) -> float:
    """Seconds from the start of the job to its end, with workers that are there already."""
    for _ in range(workers):
        worker = workshop.worker(*options, lease_seconds=None)
        while "takes" not in worker.says:
            time.sleep(0.01)
    began = time.monotonic()
    job_id = workshop.start("import-flights", months=MONTHS)
    workshop.until_status(job_id, "CompletedSuccessfully")
    seconds = time.monotonic() - began
    assert workshop.checked(job_id).status is JobStatus.COMPLETED_SUCCESSFULLY
    return seconds


def compare(one: Workshop, other: Workshop) -> int:
    """How many events there are, once all were found to be the same and in the same order."""
    events = 0
    for left, right in zip_longest(events_of(one), events_of(other)):
        assert left == right
        events += 1
    return events


def events_of(workshop: Workshop) -> Iterator[Event]:
    """Every event of the application in the order in which its followers hear of it."""
    recorder = flights_recorder(workshop.store.database, "Default")
    assert isinstance(recorder, PostgresApplicationRecorder)
    try:
        position = 0
        while page := recorder.select_notifications(position + 1, PAGE):
            for each in page:
                yield str(each.originator_id), each.originator_version, each.topic, each.state
            position = page[-1].id
    finally:
        recorder.datastore.close()
