"""The search of airports and carriers finds what a look through all of them finds, on each database."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.flights.application import events_of
from milepost.infrastructure.flights.dataset import FlightsDataset
from milepost.infrastructure.flights.mapper import stored
from milepost.infrastructure.flights.names import installed_names
from milepost.infrastructure.flights.observers.flight_search import (
    FlightSearch,
    Found,
    IndexDiffers,
    found_of,
    named_by,
    search,
    search_table,
    tables,
    words_of,
)
from milepost.infrastructure.flights.tables import ImportedFlights
from milepost.infrastructure.observers.generations import Generation
from milepost.infrastructure.observers.observer import Effects, Observed, Place
from milepost.infrastructure.observers.reading import reading
from milepost.infrastructure.observers.rows import effects_transaction
from tests.stores import url_of

DAY = date(2013, 2, 8)
PAGE = Path(__file__).parents[3] / "docs" / "flights.md"


@pytest.fixture
def named(dataset: FlightsDataset) -> list[Found]:
    """What a day's timetable names."""
    events = events_of(dataset.flights_on(DAY), {})
    return sorted({found_of(kind, code) for event in events for kind, code in named_by(event)})


@pytest.fixture(params=["file", "server"])
def database(request: pytest.FixtureRequest, tmp_path: Path, dataset: FlightsDataset) -> Iterator[Database]:
    """With a day's flights, twice observed."""
    made = open_database(url_of(request.param, tmp_path))
    events = events_of(dataset.flights_on(DAY), {})
    JobStore(made, RealSurroundings())  # makes the schema
    with made.user_transaction() as connection:
        imported = ImportedFlights(connection, made, "Default")
        imported.create_tables()
        imported.add(DAY, [stored(event) for event in events])
    with effects_transaction(made) as connection:
        effects = effects_by(connection)
        effects.generation.ensure(connection)
        timetable = [event for event in events if isinstance(event, FlightSearch.handles or ())]
        observed = [Observed(at, str(event.originator_id), event) for at, event in enumerate(timetable, start=1)]
        FlightSearch().handle_batch(observed[:100], effects)
        FlightSearch().handle_batch(observed, effects)
    yield made
    made.close()


def effects_by(connection: Any) -> Effects:
    return Effects(connection, "Default", Generation(tables, "Default"))


@pytest.mark.parametrize(
    "text",
    ["new int", "EWR", "ewr", "O'Hare", "air lines", "carrier", "airport x", "zzz", "bos", "us", "9e", "l"],
)
def test_a_search_finds_what_a_look_through_all_finds(database: Database, named: list[Found], text: str) -> None:
    def has_all(found: Found) -> bool:
        words = words_of(f"{found.kind} {found.code} {found.name or ''}")
        return all(any(word.startswith(asked) for word in words) for asked in words_of(text))

    with reading(database) as connection:
        found = search(connection, "Default", text, limit=1_000)

    assert sorted(found) == sorted(filter(has_all, named))
    assert [each.code for each in found[:1]] == [text.upper()] or not any(each.code == text.upper() for each in named)


@pytest.mark.parametrize("text", ["", "   ", "'", '"', "*", "(", "a:b OR", "NOT", "\x00", "%_", "'; --"])
def test_nothing_that_is_asked_for_is_taken_for_a_command(database: Database, text: str) -> None:
    with reading(database) as connection:
        found = search(connection, "Default", text)

    assert (found == []) or words_of(text)


def test_what_is_not_as_the_timetable_says_is_not_verified(database: Database) -> None:
    source = FlightSearch.source(Place(database, "Default"))
    with effects_transaction(database) as connection:
        effects = effects_by(connection)
        FlightSearch().verify(effects, source, source.newest())
        table = effects.table(search_table)
        connection.execute(table.delete().where(table.c.code == "EWR"))
        with pytest.raises(IndexDiffers, match="airport EWR is missing"):
            FlightSearch().verify(effects, source, source.newest())
    source.close()


def test_the_search_of_the_page_runs_as_it_stands(database: Database) -> None:
    (example,) = re.findall(r"<!-- search -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    found: dict[str, Any] = {}
    exec(example, found)

    assert [code for _, code, _ in found["look_up"](database.url, "new int")] == ["EWR", "MSY"]


def test_four_airports_of_the_flights_have_no_name(dataset: FlightsDataset) -> None:
    flights = [flight for day in dataset.days(range(1, 13)) for flight in dataset.flights_on(day)]
    codes = {flight.dest for flight in flights} | {flight.origin for flight in flights}

    assert sorted(codes - set(installed_names("airport"))) == ["BQN", "PSE", "SJU", "STT"]
    assert {flight.carrier for flight in flights} <= set(installed_names("carrier"))
