"""What the import stores is what eventsourcing itself would have written, and any application of it can read it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import get_args
from uuid import UUID

import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
from eventsourcing.utils import get_topic, resolve_topic

from milepost.infrastructure.flights.aircraft import aircraft_after, aircraft_id
from milepost.infrastructure.flights.application import (
    Flights,
    aggregate_ids,
    events_of,
    open_flights,
    stored_events,
)
from milepost.infrastructure.flights.dataset import FlightsDataset
from milepost.infrastructure.flights.events import FlightEvent
from milepost.infrastructure.flights.mapper import FlightsMapper, plain_mapper


@pytest.fixture(scope="module")
def events(dataset: FlightsDataset) -> list[FlightEvent]:
    """Three days of a snowstorm: every kind of event, tail numbers missing, flights diverted."""
    days = [date(2013, 2, 8), date(2013, 2, 9), date(2013, 2, 10)]
    return events_of([flight for day in days for flight in dataset.flights_on(day)], {})


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[SQLiteApplicationRecorder]:
    datastore = SQLiteDatastore(str(tmp_path / "flights.db"))
    recorder = SQLiteApplicationRecorder(datastore, events_table_name="flights_events")
    recorder.create_table()
    yield recorder
    datastore.close()


def sqlite(tmp_path: Path) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(tmp_path / "stock.db"),
    }


def test_the_mapper_writes_the_very_bytes_of_the_stock_mapper(events: list[FlightEvent]) -> None:
    transcoder = JSONTranscoder()
    transcoder.register(DatetimeAsISO())
    stock = Mapper[UUID](transcoder)

    assert {type(event) for event in events} == set(get_args(FlightEvent))
    assert stored_events(events) == [stock.to_stored_event(event) for event in events]


def test_what_the_mapper_wrote_it_reads_back_equal(events: list[FlightEvent]) -> None:
    mapper = plain_mapper()

    assert [mapper.to_domain_event(stored) for stored in stored_events(events)] == events


def test_the_mapper_reads_what_the_stock_mapper_reads(events: list[FlightEvent]) -> None:
    transcoder = JSONTranscoder()
    transcoder.register(DatetimeAsISO())
    ours, stock = plain_mapper(), Mapper[UUID](transcoder)

    for stored in stored_events(events):
        read, expected = ours.to_domain_event(stored), stock.to_domain_event(stored)
        assert (type(read), vars(read)) == (type(expected), vars(expected))


@pytest.mark.parametrize("state", [b"", b"{}", b"[]", b'{"timestamp": 1}', b"\xff"])
def test_a_state_that_is_no_event_is_refused_as_the_stock_mapper_refuses_it(
    events: list[FlightEvent], state: bytes
) -> None:
    transcoder = JSONTranscoder()
    transcoder.register(DatetimeAsISO())
    stored = replace(stored_events(events[:1])[0], state=state)

    assert outcome(plain_mapper(), stored) == outcome(Mapper[UUID](transcoder), stored)


def outcome(mapper: Mapper[UUID], stored: StoredEvent) -> object:
    """What was read, or the error."""
    try:
        return vars(mapper.to_domain_event(stored))
    except Exception as error:  # noqa: BLE001 - whichever it is, it must be the same one
        return type(error), str(error)


def test_an_event_that_was_read_can_be_written_again(events: list[FlightEvent]) -> None:
    mapper = plain_mapper()
    stored = stored_events(events[:50])

    assert [mapper.to_stored_event(mapper.to_domain_event(event)) for event in stored] == stored


def test_text_that_json_must_escape_survives(events: list[FlightEvent]) -> None:
    mapper = plain_mapper()
    strange = replace(events[0], tail_number='N"1\\%s\u00e9')

    assert mapper.to_domain_event(mapper.to_stored_event(strange)) == strange


@pytest.mark.parametrize("event_type", get_args(FlightEvent))
def test_a_topic_names_the_event_and_not_its_module(event_type: type[FlightEvent]) -> None:
    assert get_topic(event_type) == f"flights:{event_type.__name__}"
    assert resolve_topic(f"flights:{event_type.__name__}") is event_type


def test_a_stock_application_reads_an_imported_file(tmp_path: Path, events: list[FlightEvent]) -> None:
    with Flights(sqlite(tmp_path)) as flights:
        flights.recorder.insert_events(stored_events(events))

    with Application[UUID](sqlite(tmp_path)) as stock:
        assert type(stock.mapper) is Mapper
        read = [stock.mapper.to_domain_event(n) for n in stock.recorder.select_notifications(1, len(events))]
        aircraft = stock.repository.get(events[0].originator_id, projector_func=aircraft_after)

    assert read == events
    assert aircraft == aircraft_after(None, [e for e in events if e.originator_id == events[0].originator_id])


def test_events_saved_by_the_application_are_those_the_import_stores(tmp_path: Path, events: list[FlightEvent]) -> None:
    with Flights(sqlite(tmp_path)) as flights:
        flights.save(*events[:100])

        assert type(flights.mapper) is FlightsMapper
        kept = flights.recorder.select_notifications(1, 100)
        assert [(n.topic, n.state) for n in kept] == [(e.topic, e.state) for e in stored_events(events[:100])]


def test_a_compressing_application_keeps_its_compression(tmp_path: Path, events: list[FlightEvent]) -> None:
    with Flights({**sqlite(tmp_path), "COMPRESSOR_TOPIC": "zlib"}) as flights:
        flights.save(*events[:10])

        (first, *_) = flights.recorder.select_notifications(1, 1)
        assert not first.state.startswith(b"{")
        assert flights.mapper.to_domain_event(first) == events[0]


def test_a_mapper_meant_for_another_application_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAPPER_TOPIC", "somebody.elses:Mapper")

    with Flights(sqlite(tmp_path)) as flights:
        assert type(flights.mapper) is FlightsMapper


def test_the_application_opens_on_a_given_recorder_whatever_its_table(
    recorder: SQLiteApplicationRecorder, events: list[FlightEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSISTENCE_MODULE", "nothing.to.open")
    recorder.insert_events(stored_events(events))

    flights = open_flights(recorder)

    assert flights.aircraft(events[0].tail_number or "").tail_number == events[0].tail_number
    with pytest.raises(AggregateNotFoundError):
        flights.aircraft("N0SUCH")


def test_closing_the_application_leaves_the_given_recorder_open(
    recorder: SQLiteApplicationRecorder, dataset: FlightsDataset
) -> None:
    flights = dataset.flights_on(date(2013, 7, 4))

    with open_flights(recorder):
        pass
    recorder.insert_events(stored_events(events_of(flights, {})))

    assert set(aggregate_ids(flights)) >= {aircraft_id(flight.tailnum) for flight in flights if flight.tailnum}
    assert recorder.max_notification_id() == len(events_of(flights, {}))
