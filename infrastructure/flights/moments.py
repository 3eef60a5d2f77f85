"""When a flight's events happened, in UTC: the file has local times, and no time zones for where flights land."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from milepost.infrastructure.flights.dataset import Flight

_CENTRAL: Final = "AUS BHM BNA DFW DSM HOU IAH MCI MDW MEM MKE MSN MSP MSY OKC OMA ORD SAT STL TUL XNA"
_MOUNTAIN: Final = "ABQ BZN DEN EGE HDN JAC MTJ SLC"
_PACIFIC: Final = "BUR LAS LAX LGB OAK PDX PSP SAN SEA SFO SJC SMF SNA"
_ATLANTIC: Final = "BQN PSE SJU STT"

# Their clocks change with New York's; every airport not named in this module keeps New York's time.
_HOURS_BEHIND_NEW_YORK: Final[Mapping[str, int]] = {
    **dict.fromkeys(_CENTRAL.split(), 1),
    **dict.fromkeys(_MOUNTAIN.split(), 2),
    **dict.fromkeys(_PACIFIC.split(), 3),
    "ANC": 4,
}
# No summer time in Arizona, Hawaii, Puerto Rico and the Virgin Islands.
_HOURS_BEHIND_UTC: Final[Mapping[str, int]] = {
    "PHX": 7,
    "HNL": 10,
    **dict.fromkeys(_ATLANTIC.split(), 4),
}

_HOURS_A_DAY: Final = 24
_MINUTES_A_DAY: Final = 24 * 60


@lru_cache(maxsize=512)
def start_of(day: date) -> datetime:
    """Midnight UTC, which is the evening before in New York: ahead of all that happens on that day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def scheduled_departure(flight: Flight) -> datetime:
    """When the timetable has it leave."""
    return flight.time_hour + timedelta(minutes=flight.sched_dep_time % 100)


def departure(flight: Flight, delay_minutes: int) -> datetime:
    """When it left."""
    return scheduled_departure(flight) + timedelta(minutes=delay_minutes)


def arrival(flight: Flight, departed: datetime, dep_time: int, arr_time: int) -> datetime:
    """When it arrived: the first time after departure that the destination's clock shows `arr_time`."""
    new_york = (flight.time_hour.hour - flight.sched_dep_time // 100) % _HOURS_A_DAY
    clocks_apart = 60 * (_hours_behind_utc(flight.dest, new_york) - new_york)
    elapsed = (_minute_of_day(arr_time) - _minute_of_day(dep_time) + clocks_apart) % _MINUTES_A_DAY
    return departed + timedelta(minutes=elapsed)


def clock(hhmm: int) -> str:
    """517 as "05:17"."""
    return _CLOCK[hhmm]


def _hours_behind_utc(airport: str, new_york: int) -> int:
    fixed = _HOURS_BEHIND_UTC.get(airport)
    return fixed if fixed is not None else new_york + _HOURS_BEHIND_NEW_YORK.get(airport, 0)


def _minute_of_day(hhmm: int) -> int:
    return hhmm // 100 * 60 + hhmm % 100


_CLOCK: Final = tuple(f"{hhmm // 100:02}:{hhmm % 100:02}" for hhmm in range(2401))
