"""What the observers of the flights share: whose events they see, and how they write rows."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from milepost.infrastructure.flights.mapper import plain_mapper
from milepost.infrastructure.flights.tables import flights_recorder
from milepost.infrastructure.observers.observer import Effects, Observer, Place
from milepost.infrastructure.observers.sources import EventSource, reader_of


class FlightsObserver(Observer):
    """Base of observers of a namespace's imported flights; their partitions are aircraft, and carriers whose flights
    have no tail number."""

    batch_events = 5_000  # what a batch means to a row is added up first, so that large ones write less

    @classmethod
    def source(cls, place: Place) -> EventSource:
        recorder = flights_recorder(place.database, place.namespace)
        close: Callable[[], None] = getattr(recorder, "datastore").close  # noqa: B009 - every SQL recorder has one
        return EventSource(reader_of(recorder), plain_mapper(), close)


def insert_into(effects: Effects, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
    """An insert that can say what to do with rows that are there already."""
    return (sqlite.insert if effects.on_sqlite else postgresql.insert)(table)


def write_rows(effects: Effects, insert: sa.Insert, rows: "list[dict[str, Any]]") -> None:
    """All at once, sorted by the caller: steps side by side lock rows that they share in one order."""
    if rows:
        effects.connection.execute(insert, rows)
