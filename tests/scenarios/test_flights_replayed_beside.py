"""While generations are built beside and flights are imported, readers find the old rows or the new, all of them."""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from milepost.infrastructure.flights.observers.aircraft_places import AircraftPlaces
from milepost.infrastructure.flights.observers.flight_search import FlightSearch
from milepost.infrastructure.flights.observers.route_delays import RouteDelays
from milepost.infrastructure.observers.observer import Observer
from milepost.infrastructure.observers.rows import effects_transaction
from tests.scenarios.flights_by_hand import CHANGES, Happened, Row, Rows, by_hand, happened, read_model, table_of
from tests.scenarios.imported_flights import ImportedFlights, import_only
from tests.scenarios.observatory import Observatory
from tests.scenarios.workshop import FULL, tell

BEFORE, MEANWHILE = (list(range(1, 12)), [12]) if FULL else ([1], [2])
DAYS = None if FULL else 6
DAYS_MEANWHILE = None if FULL else 3
OBSERVERS: list[type[Observer]] = [AircraftPlaces, RouteDelays, FlightSearch]
JOBS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "aircraft-places": ("replay-observer", {"beside": True}),
    "route-delays": ("replay-observer", {"beside": True}),
    "flight-search": ("rebuild-index", {}),
}
PAUSE_SECONDS = 0.05 if FULL else 0.1  # between two looks, so that what is looked at gets on
# Rows that only the old generation has: nobody's events say them.
MARKS: Final[dict[str, Row]] = {
    "aircraft-places": ("old", None, "XX", "OLD", "", "", "", 0),
    "route-delays": ("OLD", "OLD", "", 0, 0, 0, 0, 0, None, 0, 0, None),
    "flight-search": ("airport", "OLD", None, "old"),
}


@dataclass
class Reader:
    """Reads a read model again and again: whether the old mark was in it, and a digest of all else."""

    observatory: Observatory
    observer: type[Observer]
    found: list[tuple[bool, int]] = field(default_factory=list[tuple[bool, int]])
    error: Exception | None = None

    def read(self, enough: threading.Event) -> None:
        mark = MARKS[self.observer.name]
        try:
            while not enough.wait(PAUSE_SECONDS):
                rows = read_model(self.observatory, self.observer)
                found = (mark in rows, digest(rows - {mark}))
                if not self.found or self.found[-1] != found:
                    self.found.append(found)
        except Exception as error:  # noqa: BLE001 - told by the test, in its own thread
            self.error = error


@pytest.fixture(params=["file", "server"])
def observatory(
    request: pytest.FixtureRequest, tmp_path: Path, imported_flights: ImportedFlights
) -> Iterator[Observatory]:
    made = Observatory(tmp_path, url=imported_flights.copied(request.param, tmp_path, BEFORE, DAYS))
    try:
        yield made
    finally:
        made.close()


def test_readers_find_the_old_generation_or_the_new_one_and_never_go_back_in_time(observatory: Observatory) -> None:
    newest = observatory.newest()
    observatory.register(*JOBS)
    observatory.worker()
    for observer in OBSERVERS:
        observatory.until_at(observer.name, newest)
        mark(observatory, observer)

    enough = threading.Event()
    readers = [Reader(observatory, observer) for observer in OBSERVERS]
    threads = [threading.Thread(target=reader.read, args=(enough,)) for reader in readers]
    for thread in threads:
        thread.start()
    try:
        jobs = [observatory.start(job_type, observer=name, **how) for name, (job_type, how) in JOBS.items()]
        importing = observatory.start("import-flights", months=MEANWHILE)
        if DAYS_MEANWHILE is not None:
            import_only(observatory, importing, DAYS_MEANWHILE)
        else:
            jobs.append(importing)
        for job_id in jobs:
            observatory.until_status(job_id, "CompletedSuccessfully")
        newest = observatory.newest()
        for observer in OBSERVERS:
            observatory.until_at(observer.name, newest)
    finally:
        enough.set()
        for thread in threads:
            thread.join()

    events = list(happened(observatory))
    for reader in readers:
        assert reader.error is None
        what_it_found_was_so(reader, events, first=len(events) - later(events))
        assert read_model(observatory, reader.observer) == by_hand(reader.observer, events), "nothing is missing"


def what_it_found_was_so(reader: Reader, events: Sequence[Happened], first: int) -> None:
    """Each time it was the state after some event, and never one before a state that it had found already."""
    states = states_after(reader.observer, events)
    seen = first
    for marked, state in reader.found:
        places = states.get(state, [])
        at = bisect_left(places, seen)
        assert at < len(places), f"after {seen} events, {'old' if marked else 'new'}: this was never so, or earlier"
        seen = places[at]
    marks = [marked for marked, _ in reader.found]
    assert marks == sorted(marks, reverse=True), "it found the old generation after the new one"
    assert set(marks) == {True, False}
    tell(f"{reader.observer.name}: {len(marks)} different states, {marks.count(True)} of them of the old generation")


def states_after(observer: type[Observer], events: Sequence[Happened]) -> dict[int, list[int]]:
    """After how many events the read model was so, ascending, by its digest."""
    rows = Digested()
    states: dict[int, list[int]] = {}
    for count, each in enumerate(events, start=1):
        CHANGES[observer](rows, each.event)
        states.setdefault(rows.digest, []).append(count)
    return states


class Digested(Rows):
    """Rows that know their digest at any time."""

    digest = 0

    def __setitem__(self, key: Row, row: Row) -> None:
        if key in self:
            self.digest -= hash(self[key])
        self.digest += hash(row)
        super().__setitem__(key, row)


def digest(rows: set[Row]) -> int:
    return sum(map(hash, rows))


def mark(observatory: Observatory, observer: type[Observer]) -> None:
    table = table_of(observer)
    columns = [column.name for column in table.columns if column.computed is None]
    with effects_transaction(observatory.store.database) as connection:
        connection.execute(table.insert(), [dict(zip(columns, MARKS[observer.name], strict=True))])


def later(events: Sequence[Happened]) -> int:
    """How many events were imported meanwhile."""
    return sum(int(each.event.day[5:7]) in MEANWHILE for each in events)
