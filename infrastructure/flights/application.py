"""The event-sourced application of the flights, and the pure functions with which `import-flights` fills its store."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from eventsourcing.utils import EnvType, get_topic

from milepost.infrastructure.flights import moments
from milepost.infrastructure.flights.aircraft import (
    Aircraft,
    aggregate_id,
    aircraft_after,
    aircraft_id,
)
from milepost.infrastructure.flights.dataset import Flight
from milepost.infrastructure.flights.events import (
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    FlightEvent,
    FlightScheduled,
)
from milepost.infrastructure.flights.mapper import FlightsMapper, stored


class Flights(Application[UUID]):
    """An ordinary application: opened from the environment, or on a recorder that its caller opened and will close."""

    name = "flights"
    # With the application's own prefix, so that a MAPPER_TOPIC meant for another application is not ours.
    env: ClassVar[dict[str, str]] = {"FLIGHTS_MAPPER_TOPIC": get_topic(FlightsMapper)}

    def __init__(self, env: EnvType | None = None, *, recorder: ApplicationRecorder | None = None) -> None:
        self._given_recorder = recorder
        super().__init__(env)

    def construct_recorder(self) -> ApplicationRecorder:
        return self._given_recorder or super().construct_recorder()

    def aircraft(self, tail_number: str) -> Aircraft:
        """The aircraft as its events left it. Raises eventsourcing's AggregateNotFoundError."""
        return self.repository.get(aircraft_id(tail_number), projector_func=aircraft_after)


def open_flights(recorder: ApplicationRecorder) -> Flights:
    """The application on a recorder of the caller's, whatever its table is called; no other database is opened."""
    return Flights({"FLIGHTS_PERSISTENCE_MODULE": "eventsourcing.popo"}, recorder=recorder)


def aggregate_ids(flights: Iterable[Flight]) -> list[UUID]:
    """The aggregates to which these flights belong: each once, in the order in which they first appear."""
    return list(dict.fromkeys(map(aggregate_id, flights)))


def events_of(flights: Iterable[Flight], versions: Mapping[UUID, int]) -> list[FlightEvent]:
    """What happened to these flights, one after the other; each aggregate goes on from its version (0 if not given)."""
    latest = dict(versions)
    events: list[FlightEvent] = []
    for flight in flights:
        aggregate = aggregate_id(flight)
        version = latest.get(aggregate, 0)
        happened = _history(flight, aggregate, version)
        latest[aggregate] = version + len(happened)
        events += happened
    return events


def stored_events(events: Sequence[FlightEvent]) -> list[StoredEvent]:
    """The events as `Flights` would store them (without compression and encryption), ready for its recorder."""
    return [stored(event) for event in events]


def _history(flight: Flight, aggregate: UUID, version: int) -> list[FlightEvent]:
    """The two or three events of one flight: scheduled always, then cancelled, or departed and perhaps arrived."""
    which = (
        flight.day.isoformat(),
        flight.carrier,
        flight.flight,
        flight.tailnum,
        flight.origin,
        flight.dest,
    )
    departure, arrival = moments.clock(flight.sched_dep_time), moments.clock(flight.sched_arr_time)
    scheduled = FlightScheduled(
        aggregate,
        version + 1,
        moments.start_of(flight.day),
        *which,
        departure,
        arrival,
        flight.distance,
    )
    if flight.dep_time is None or flight.dep_delay is None:
        left = moments.scheduled_departure(flight)
        return [scheduled, FlightCancelled(aggregate, version + 2, left, *which, departure)]
    left = moments.departure(flight, flight.dep_delay)
    departed = FlightDeparted(aggregate, version + 2, left, *which, moments.clock(flight.dep_time), flight.dep_delay)
    if flight.arr_time is None:
        return [scheduled, departed]
    arrived = FlightArrived(
        aggregate, version + 3, moments.arrival(flight, left, flight.dep_time, flight.arr_time), *which,
        moments.clock(flight.arr_time), flight.arr_delay, flight.air_time,
    )  # fmt: skip
    return [scheduled, departed, arrived]
