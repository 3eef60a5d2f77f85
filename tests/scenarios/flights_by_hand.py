"""What the observers of the flights must have built: plain loops over the events, as the library itself reads them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper

from milepost.infrastructure.flights.events import FlightArrived, FlightCancelled, FlightDeparted, FlightScheduled
from milepost.infrastructure.flights.names import installed_names
from milepost.infrastructure.flights.observers.aircraft_places import AircraftPlaces
from milepost.infrastructure.flights.observers.flight_search import FlightSearch
from milepost.infrastructure.flights.observers.route_delays import RouteDelays
from milepost.infrastructure.flights.tables import flights_recorder
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.observer import Observer
from milepost.infrastructure.observers.reading import reading
from tests.scenarios.workshop import Workshop

PAGE: Final = 10_000

Row = tuple[Any, ...]
Rows = dict[Row, Row]  # by key
Changes = Callable[[Rows, Any], None]  # what an event does to the rows


class Happened(NamedTuple):
    """A flight's event and where it stands in the application's order."""

    position: int
    event: Any  # a FlightEvent


def happened(workshop: Workshop) -> Iterator[Happened]:
    """All events of the flights in their order, by the library's own recorder and mapper."""
    transcoder = JSONTranscoder()
    transcoder.register(DatetimeAsISO())
    mapper = Mapper[UUID](transcoder)
    recorder: Any = flights_recorder(workshop.store.database, "Default")
    position = 0
    while page := recorder.select_notifications(position + 1, PAGE):
        for notification in page:
            yield Happened(notification.id, mapper.to_domain_event(notification))
        position = page[-1].id
    recorder.datastore.close()


def by_hand(observer: type[Observer], events: Iterable[Happened]) -> set[Row]:
    """The rows that this observer must have built of these events."""
    rows: Rows = {}
    for each in events:
        CHANGES[observer](rows, each.event)
    return set(rows.values())


def read_model(workshop: Workshop, observer: type[Observer]) -> set[Row]:
    """The rows of an observer's table, as its readers find them; none of them is there twice."""
    table = table_of(observer)
    columns = [column for column in table.columns if column.computed is None]
    with reading(workshop.store.database) as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(*columns))]
    assert len(set(rows)) == len(rows)
    return set(rows)


def table_of(observer: type[Observer]) -> sa.Table:
    """The one table of its read model."""
    assert observer.tables is not None
    (declared,) = observer.tables.sorted_tables
    return Generation(observer.tables, "Default").table(declared)


def place(rows: Rows, event: Any) -> None:
    if not isinstance(event, FlightDeparted | FlightArrived):
        return
    landed = isinstance(event, FlightArrived)
    at, how = (event.destination, "arrival") if landed else (event.origin, "departure")
    aircraft = str(event.originator_id)
    who = (aircraft, event.tail_number, event.carrier)
    rows[aircraft,] = (*who, at, event.timestamp.isoformat(), how, event.day, event.number)


def delay(rows: Rows, event: Any) -> None:
    key = (event.origin, event.destination, event.day[:7])
    none = (*key, 0, 0, 0, 0, 0, None, 0, 0, None)
    *_, flights, departed, arrived, cancelled, off, off_most, known, on, on_most = rows.get(key, none)
    if isinstance(event, FlightScheduled):
        flights += 1
    elif isinstance(event, FlightDeparted):
        departed, off = departed + 1, off + event.delay_minutes
        off_most = max(event.delay_minutes, event.delay_minutes if off_most is None else off_most)
    elif isinstance(event, FlightArrived):
        arrived += 1
        if event.delay_minutes is not None:
            known, on = known + 1, on + event.delay_minutes
            on_most = max(event.delay_minutes, event.delay_minutes if on_most is None else on_most)
    else:
        assert isinstance(event, FlightCancelled)
        cancelled += 1
    rows[key] = (*key, flights, departed, arrived, cancelled, off, off_most, known, on, on_most)


def naming(rows: Rows, event: Any) -> None:
    if not isinstance(event, FlightScheduled):
        return
    for kind, code in (("airport", event.origin), ("airport", event.destination), ("carrier", event.carrier)):
        if (kind, code) not in rows:
            rows[kind, code] = (kind, code, _names(kind).get(code), _words(kind, code))


def _names(kind: Any) -> Mapping[str, str]:
    return installed_names(kind)


def _words(kind: str, code: str) -> str:
    text = f"{kind} {code} {_names(kind).get(code, '')}".lower()
    words = "".join(each if each.isalnum() else " " for each in text).split()
    return " ".join(word for index, word in enumerate(words) if word not in words[:index])


CHANGES: Final[Mapping[type[Observer], Changes]] = {AircraftPlaces: place, RouteDelays: delay, FlightSearch: naming}
