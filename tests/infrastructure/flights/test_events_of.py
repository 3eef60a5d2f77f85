"""A flight becomes the events that it really had, under ids and versions that every import gives again."""

from datetime import UTC, date, datetime
from uuid import UUID

from milepost.infrastructure.flights.aircraft import (
    Aircraft,
    aircraft_after,
    aircraft_id,
    carrier_id,
)
from milepost.infrastructure.flights.application import aggregate_ids, events_of
from milepost.infrastructure.flights.dataset import Flight, FlightsDataset
from milepost.infrastructure.flights.events import (
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    FlightScheduled,
)

NEW_YEAR = date(2013, 1, 1)


def flight_on_new_year(dataset: FlightsDataset, carrier: str, number: int) -> Flight:
    found = [f for f in dataset.flights_on(NEW_YEAR) if (f.carrier, f.flight) == (carrier, number)]
    return found[0]


def test_a_flight_that_arrived_was_scheduled_departed_and_arrived(dataset: FlightsDataset) -> None:
    flight = flight_on_new_year(dataset, "UA", 1545)
    aircraft = aircraft_id("N14228")
    which = ("2013-01-01", "UA", 1545, "N14228", "EWR", "IAH")

    assert events_of([flight], {}) == [
        FlightScheduled(aircraft, 1, datetime(2013, 1, 1, tzinfo=UTC), *which, "05:15", "08:19", 1400),
        FlightDeparted(aircraft, 2, datetime(2013, 1, 1, 10, 17, tzinfo=UTC), *which, "05:17", 2),
        FlightArrived(aircraft, 3, datetime(2013, 1, 1, 14, 30, tzinfo=UTC), *which, "08:30", 11, 227),
    ]


def test_a_flight_that_never_left_was_cancelled_when_it_should_have(
    dataset: FlightsDataset,
) -> None:
    scheduled, cancelled = events_of([flight_on_new_year(dataset, "EV", 4308)], {})

    assert isinstance(scheduled, FlightScheduled)
    assert isinstance(cancelled, FlightCancelled)
    assert cancelled.timestamp == datetime(2013, 1, 1, 21, 30, tzinfo=UTC)
    assert cancelled.departure == scheduled.departure == "16:30"


def test_a_flight_without_a_time_of_arrival_departed_and_no_more(dataset: FlightsDataset) -> None:
    events = events_of([flight_on_new_year(dataset, "EV", 4204)], {})

    assert [type(event) for event in events] == [FlightScheduled, FlightDeparted]


def test_a_diverted_flight_arrived_without_delay_or_air_time(dataset: FlightsDataset) -> None:
    arrived = events_of([flight_on_new_year(dataset, "MQ", 4525)], {})[-1]

    assert isinstance(arrived, FlightArrived)
    assert arrived.time == "19:34"
    assert arrived.delay_minutes is None
    assert arrived.air_time_minutes is None


def test_a_departure_at_midnight_belongs_to_the_end_of_its_day(dataset: FlightsDataset) -> None:
    flight = next(f for f in dataset.flights_on(date(2013, 10, 30)) if f.dep_time == 2400)

    departed = events_of([flight], {})[1]

    assert isinstance(departed, FlightDeparted)
    assert departed.time == "24:00"
    assert departed.timestamp == datetime(2013, 10, 31, 4, 0, tzinfo=UTC)


def test_flights_without_a_tail_number_belong_to_their_carrier(dataset: FlightsDataset) -> None:
    flights = [f for day in dataset.days([1]) for f in dataset.flights_on(day) if f.tailnum is None]

    events = events_of(flights, {})

    assert set(aggregate_ids(flights)) == {carrier_id(flight.carrier) for flight in flights}
    assert {type(event) for event in events} == {FlightScheduled, FlightCancelled}


def test_the_ids_are_the_same_for_ever() -> None:
    assert aircraft_id("N14228") == UUID("734002af-1845-54ba-ac95-e76e54204c9c")
    assert carrier_id("UA") == UUID("5dbe7244-7339-500a-9587-3b3f45f90e8c")


def test_aggregate_ids_are_unique_and_in_order_of_appearance(dataset: FlightsDataset) -> None:
    flights = dataset.flights_on(NEW_YEAR)

    ids = aggregate_ids([*flights, *flights])

    assert ids == list(dict.fromkeys(event.originator_id for event in events_of(flights, {})))


def test_versions_go_on_from_those_that_are_given(dataset: FlightsDataset) -> None:
    flight = flight_on_new_year(dataset, "UA", 1545)

    events = events_of([flight], {aircraft_id("N14228"): 41})

    assert [event.originator_version for event in events] == [42, 43, 44]


def test_the_versions_that_are_given_are_left_alone(dataset: FlightsDataset) -> None:
    versions: dict[UUID, int] = {}

    events_of(dataset.flights_on(NEW_YEAR), versions)

    assert versions == {}


def test_an_import_day_by_day_tells_the_same_story_as_one_at_once(dataset: FlightsDataset) -> None:
    week = [dataset.flights_on(day) for day in dataset.days([6])[:7]]

    versions: dict[UUID, int] = {}
    by_day = list[object]()
    for flights in week:
        events = events_of(flights, versions)
        versions.update((event.originator_id, event.originator_version) for event in events)
        by_day += events

    assert by_day == events_of([flight for flights in week for flight in flights], {})


def test_an_aircraft_is_what_its_events_add_up_to(dataset: FlightsDataset) -> None:
    flights = [f for day in dataset.days([1]) for f in dataset.flights_on(day) if f.tailnum == "N14228"]

    aircraft = aircraft_after(None, events_of(flights, {}))

    flown = [f for f in flights if f.dep_time is not None]
    assert aircraft == Aircraft(
        id=aircraft_id("N14228"),
        version=len(flights) + 2 * len(flown) + (len(flights) - len(flown)),
        tail_number="N14228",
        carrier="UA",
        scheduled=len(flights),
        departed=len(flown),
        arrived=len(flown),
        cancelled=len(flights) - len(flown),
        minutes_in_air=sum(f.air_time or 0 for f in flights),
        location=flown[-1].dest,
    )


def test_an_aircraft_that_left_and_did_not_arrive_was_last_seen_where_it_left(
    dataset: FlightsDataset,
) -> None:
    aircraft = aircraft_after(None, events_of([flight_on_new_year(dataset, "EV", 4204)], {}))

    assert aircraft is not None
    assert aircraft.location == "EWR"


def test_nothing_happened_to_an_aircraft_without_events() -> None:
    assert aircraft_after(None, []) is None
