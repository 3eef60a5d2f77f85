"""What an aircraft's events add up to, and the ids under which its events are found."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5

from milepost.infrastructure.flights.dataset import Flight
from milepost.infrastructure.flights.events import (
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    FlightEvent,
    FlightScheduled,
)

NAMESPACE: Final = UUID("5f0c1a52-9d3e-5b0f-8a37-0f2013f11945")  # on disk for ever: it makes every id


@dataclass(frozen=True, slots=True)
class Aircraft:
    """An aircraft after its events; without a tail number, the flights of a carrier for which none was assigned."""

    id: UUID
    version: int
    tail_number: str | None
    carrier: str  # the latest to fly it: some change hands
    scheduled: int = 0
    departed: int = 0
    arrived: int = 0
    cancelled: int = 0
    minutes_in_air: int = 0
    location: str | None = None  # the last airport it was known to be at


def aircraft_after(aircraft: Aircraft | None, events: Iterable[FlightEvent]) -> Aircraft | None:
    """The fold, as `repository.get(aircraft_id("N14228"), projector_func=aircraft_after)` takes it."""
    for event in events:
        aircraft = evolve(aircraft or _unknown(event), event)
    return aircraft


def evolve(aircraft: Aircraft, event: FlightEvent) -> Aircraft:
    """The aircraft after one more event."""
    aircraft = replace(aircraft, version=event.originator_version, carrier=event.carrier)
    match event:
        case FlightScheduled():
            return replace(aircraft, scheduled=aircraft.scheduled + 1)
        case FlightDeparted(origin=origin):
            return replace(aircraft, departed=aircraft.departed + 1, location=origin)
        case FlightArrived(destination=destination, air_time_minutes=minutes):
            return replace(
                aircraft,
                arrived=aircraft.arrived + 1,
                location=destination,
                minutes_in_air=aircraft.minutes_in_air + (minutes or 0),
            )
        case FlightCancelled():
            return replace(aircraft, cancelled=aircraft.cancelled + 1)


@lru_cache(maxsize=8192)
def aircraft_id(tail_number: str) -> UUID:
    """Where the events of this aircraft are."""
    return uuid5(NAMESPACE, f"aircraft/{tail_number}")


@lru_cache(maxsize=64)
def carrier_id(carrier: str) -> UUID:
    """Where the events of this carrier's flights without a tail number are."""
    return uuid5(NAMESPACE, f"carrier/{carrier}")


def aggregate_id(flight: Flight) -> UUID:
    """Where the events of this flight belong."""
    return carrier_id(flight.carrier) if flight.tailnum is None else aircraft_id(flight.tailnum)


def _unknown(event: FlightEvent) -> Aircraft:
    return Aircraft(event.originator_id, 0, event.tail_number, event.carrier)
