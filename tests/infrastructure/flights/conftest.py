"""The real flights, and one pass over their whole year whose findings the tests look at."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest

from milepost.infrastructure.flights.application import events_of
from milepost.infrastructure.flights.dataset import Flight, FlightsDataset, installed_flights
from milepost.infrastructure.flights.events import FlightArrived, FlightEvent, FlightScheduled

FlightKey = tuple[str, str, int, str]
GAPS_MAY_BE_IN = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum")


@dataclass(slots=True)
class Year:
    """What one pass over all flights of 2013 and all their events has counted."""

    rows: int = 0
    without: Counter[str] = field(default_factory=Counter[str])
    tail_numbers: set[str] = field(default_factory=set[str])
    events: Counter[str] = field(default_factory=Counter[str])
    scheduled: set[FlightKey] = field(default_factory=set[FlightKey])
    versions: dict[UUID, int] = field(default_factory=dict[UUID, int])
    gaps_in_versions: int = 0
    not_adjacent: int = 0
    back_in_time: int = 0
    arrived_too_soon: int = 0
    days_out_of_order: int = 0
    latest_day: dict[str, str] = field(default_factory=dict[str, str])

    def see_flights(self, flights: list[Flight]) -> None:
        self.rows += len(flights)
        for name in GAPS_MAY_BE_IN:
            self.without[name] += sum(getattr(flight, name) is None for flight in flights)
        self.tail_numbers |= {flight.tailnum for flight in flights if flight.tailnum is not None}

    def see_event(self, event: FlightEvent, before: FlightEvent | None) -> None:
        aggregate = event.originator_id
        self.events[type(event).__name__] += 1
        self.gaps_in_versions += event.originator_version != self.versions.get(aggregate, 0) + 1
        self.versions[aggregate] = event.originator_version
        self.days_out_of_order += event.day < self.latest_day.get(event.tail_number or event.carrier, "")
        self.latest_day[event.tail_number or event.carrier] = event.day
        if isinstance(event, FlightScheduled):
            self.scheduled.add(_key(event))
        else:
            self._see_sequel(event, before)

    def _see_sequel(self, event: FlightEvent, before: FlightEvent | None) -> None:
        if before is None or _key(before) != _key(event):
            self.not_adjacent += 1
            return
        self.back_in_time += event.timestamp < before.timestamp
        if isinstance(event, FlightArrived):
            in_air = timedelta(minutes=event.air_time_minutes or 0)
            self.arrived_too_soon += event.timestamp < before.timestamp + in_air


def _key(event: FlightEvent) -> FlightKey:
    return (event.day, event.carrier, event.number, event.origin)


@pytest.fixture(scope="session")
def dataset() -> FlightsDataset:
    return installed_flights()


@pytest.fixture(scope="session")
def year(dataset: FlightsDataset) -> Year:
    seen = Year()
    for day in dataset.days(range(1, 13)):
        flights = dataset.flights_on(day)
        before: FlightEvent | None = None
        seen.see_flights(flights)
        for event in events_of(flights, seen.versions):
            seen.see_event(event, before)
            before = event
    return seen
