"""The whole of 2013, flight by flight: nothing is lost, nothing is invented, and everything is in order."""

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Year


def test_the_gaps_of_the_year_are_those_of_the_raw_file(year: "Year") -> None:
    assert year.rows == 336_776
    assert year.without == Counter(
        dep_time=8_255,
        dep_delay=8_255,
        arr_time=8_713,
        arr_delay=9_430,
        air_time=9_430,
        tailnum=2_512,
    )


def test_every_flight_leaves_its_events(year: "Year") -> None:
    assert year.events == Counter(
        FlightScheduled=336_776,
        FlightDeparted=328_521,
        FlightArrived=328_063,
        FlightCancelled=8_255,
    )
    assert year.events.total() == 1_001_615


def test_every_row_is_scheduled_exactly_once(year: "Year") -> None:
    assert len(year.scheduled) == year.events["FlightScheduled"] == year.rows


def test_there_is_one_aggregate_per_tail_number_and_one_per_carrier_with_flights_that_have_none(
    year: "Year",
) -> None:
    assert len(year.tail_numbers) == 4_043
    assert len(year.versions) == 4_043 + 7


def test_the_versions_of_an_aggregate_have_no_gaps(year: "Year") -> None:
    assert year.gaps_in_versions == 0
    assert sum(year.versions.values()) == year.events.total()


def test_an_aggregate_lives_its_days_in_calendar_order(year: "Year") -> None:
    assert year.days_out_of_order == 0


def test_the_events_of_a_flight_stand_together_and_go_forward_in_time(year: "Year") -> None:
    assert year.not_adjacent == 0
    assert year.back_in_time == 0


def test_no_flight_is_shorter_than_its_time_in_the_air_in_any_time_zone(year: "Year") -> None:
    assert year.arrived_too_soon == 0
