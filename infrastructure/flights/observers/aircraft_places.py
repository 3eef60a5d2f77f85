"""`aircraft-places`: the last known place of each aircraft, from its departures and arrivals."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from milepost.infrastructure.flights.events import FlightArrived, FlightDeparted
from milepost.infrastructure.flights.observers.of_flights import FlightsObserver, insert_into, write_rows
from milepost.infrastructure.observers.observer import Effects, Observed, observer

tables: Final = sa.MetaData()
places: Final = sa.Table(
    "flights_aircraft_places",
    tables,
    sa.Column("aircraft", sa.String(36), primary_key=True),  # its aggregate, and the observer's partition
    sa.Column("tail_number", sa.Text),
    sa.Column("carrier", sa.Text, nullable=False),
    sa.Column("airport", sa.Text, nullable=False),
    sa.Column("known_at", sa.Text, nullable=False),  # UTC
    sa.Column("known_by", sa.Text, nullable=False),  # departure or arrival
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("flight", sa.Integer, nullable=False),
    sa.Index("flights_aircraft_places_airport", "airport"),
)
_SAID_BY_THE_EVENT: Final = [column.name for column in places.columns if not column.primary_key]


@observer("aircraft-places")
class AircraftPlaces(FlightsObserver):
    """Where each aircraft was last known to be. One that never left is not in it, for its place is not in the data."""

    tables = tables
    handles = (FlightDeparted, FlightArrived)

    def handle_batch(self, events: Sequence[Observed], effects: Effects) -> None:
        last = {each.partition: each.event for each in events}
        insert = insert_into(effects, effects.table(places))
        upsert = insert.on_conflict_do_update(
            index_elements=["aircraft"], set_={name: insert.excluded[name] for name in _SAID_BY_THE_EVENT}
        )
        write_rows(effects, upsert, [place_after(aircraft, last[aircraft]) for aircraft in sorted(last)])

    def reset_partition(self, partition: str, effects: Effects) -> None:
        table = effects.table(places)
        effects.connection.execute(table.delete().where(table.c.aircraft == partition))


def place_after(aircraft: str, event: FlightDeparted | FlightArrived) -> dict[str, Any]:
    """The row of an aircraft to which this has happened."""
    landed = isinstance(event, FlightArrived)
    return {
        "aircraft": aircraft,
        "tail_number": event.tail_number,
        "carrier": event.carrier,
        "airport": event.destination if landed else event.origin,
        "known_at": event.timestamp.isoformat(),
        "known_by": "arrival" if landed else "departure",
        "day": event.day,
        "flight": event.number,
    }
