"""Everything that can happen to a flight. These topics and names are on disk for ever: add fields with a default or new
events, never edit.

They are plain frozen dataclasses, without slots, because that is what the stock mapper of eventsourcing reads and
writes: anybody who imports this module can read them with an ordinary `Application`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, get_args
from uuid import UUID

from eventsourcing.utils import register_topic


@dataclass(frozen=True)
class FlightFacts:
    """What all events of a flight say: which it is (day, carrier, number and origin name just one) and where it goes.

    `timestamp` comes from the flight's own data and never from a clock, so that two imports write the same bytes.
    `day` is a date as ISO text; times of day below are local to the airport, as "05:17".
    """

    originator_id: UUID
    originator_version: int
    timestamp: datetime
    day: str
    carrier: str
    number: int
    tail_number: str | None
    origin: str
    destination: str


@dataclass(frozen=True)
class FlightScheduled(FlightFacts):
    """It stood in the day's timetable. Stamped with the start of that day: when it was planned is not in the data."""

    TOPIC: ClassVar[str] = "flights:FlightScheduled"
    departure: str
    arrival: str
    distance_miles: int


@dataclass(frozen=True)
class FlightDeparted(FlightFacts):
    """It left its gate, early when the delay is negative."""

    TOPIC: ClassVar[str] = "flights:FlightDeparted"
    time: str
    delay_minutes: int


@dataclass(frozen=True)
class FlightArrived(FlightFacts):
    """It reached its gate. A diverted flight that got there in the end has neither delay nor air time."""

    TOPIC: ClassVar[str] = "flights:FlightArrived"
    time: str
    delay_minutes: int | None
    air_time_minutes: int | None


@dataclass(frozen=True)
class FlightCancelled(FlightFacts):
    """It never left. Stamped with the moment at which it should have."""

    TOPIC: ClassVar[str] = "flights:FlightCancelled"
    departure: str


FlightEvent = FlightScheduled | FlightDeparted | FlightArrived | FlightCancelled

for _event in get_args(FlightEvent):
    register_topic(_event.TOPIC, _event)
