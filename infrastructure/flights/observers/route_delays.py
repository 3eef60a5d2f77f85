"""`route-delays`: how many flights of a route and month left, landed and were cancelled, and how late they were."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from milepost.infrastructure.flights.events import (
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    FlightEvent,
    FlightScheduled,
)
from milepost.infrastructure.flights.observers.of_flights import FlightsObserver, insert_into, write_rows
from milepost.infrastructure.observers.observer import Effects, Observed, observer

tables: Final = sa.MetaData()
delays: Final = sa.Table(
    "flights_route_delays",
    tables,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("destination", sa.Text, primary_key=True),
    sa.Column("month", sa.Text, primary_key=True),  # as "2013-01", of the day on which the flight stood
    sa.Column("flights", sa.Integer, nullable=False),
    sa.Column("departed", sa.Integer, nullable=False),
    sa.Column("arrived", sa.Integer, nullable=False),
    sa.Column("cancelled", sa.Integer, nullable=False),
    sa.Column("departure_delay_minutes", sa.Integer, nullable=False),  # those that were early count as less than none
    sa.Column("departure_delay_most", sa.Integer),
    sa.Column("arrival_delays_known", sa.Integer, nullable=False),  # of diverted flights the delay is not in the data
    sa.Column("arrival_delay_minutes", sa.Integer, nullable=False),
    sa.Column("arrival_delay_most", sa.Integer),
)
KEY: Final = ("origin", "destination", "month")


@dataclass(slots=True)
class Delays:
    """What happened to some flights of one route and month; the names are those of the columns."""

    flights: int = 0
    departed: int = 0
    arrived: int = 0
    cancelled: int = 0
    departure_delay_minutes: int = 0
    departure_delay_most: int | None = None
    arrival_delays_known: int = 0
    arrival_delay_minutes: int = 0
    arrival_delay_most: int | None = None

    def add(self, event: FlightEvent) -> None:
        match event:
            case FlightScheduled():
                self.flights += 1
            case FlightDeparted(delay_minutes=minutes):
                self.departed += 1
                self.departure_delay_minutes += minutes
                self.departure_delay_most = _most(self.departure_delay_most, minutes)
            case FlightArrived(delay_minutes=minutes):
                self.arrived += 1
                if minutes is None:
                    return
                self.arrival_delays_known += 1
                self.arrival_delay_minutes += minutes
                self.arrival_delay_most = _most(self.arrival_delay_most, minutes)
            case FlightCancelled():
                self.cancelled += 1


@observer("route-delays")
class RouteDelays(FlightsObserver):
    """Delays by route and month. Many aircraft write one row, so a single partition cannot be undone: replay all."""

    tables = tables

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        found: dict[tuple[str, str, str], Delays] = {}
        for each in events:
            event: FlightEvent = each.event
            key = (event.origin, event.destination, event.day[:7])
            if (known := found.get(key)) is None:
                known = found[key] = Delays()
            known.add(event)
        rows = [dict(zip(KEY, key, strict=True)) | asdict(found[key]) for key in sorted(found)]
        write_rows(effects, _adding(effects), rows)


def _adding(effects: Effects) -> sa.Insert:
    """Rows are added to those that are there: sums to sums, and of two maxima the larger one stays."""
    table = effects.table(delays)
    insert = insert_into(effects, table)
    added: dict[str, Any] = {}
    for column in table.columns:
        more = insert.excluded[column.name]
        if column.name.endswith("_most"):
            added[column.name] = sa.case((sa.or_(column.is_(None), more > column), more), else_=column)
        elif column.name not in KEY:
            added[column.name] = column + more
    return insert.on_conflict_do_update(index_elements=KEY, set_=added)


def _most(known: int | None, minutes: int) -> int:
    return minutes if known is None or minutes > known else known
