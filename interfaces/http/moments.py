"""How a moment is given in a URL: a time with its zone, or a version of a job's history."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field
from pydantic_core import PydanticCustomError

LARGEST: Final = 1_000_000_000
_NUMBER: Final = re.compile(r"\s*[+-]?[\d.]+\s*")


def _no_number(value: Any) -> Any:
    """Pydantic would take one for seconds since 1970, which is hardly ever what is meant where versions are numbers."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        raise PydanticCustomError("datetime_parsing", "a number is no time")
    return value


def _in_utc(at: datetime) -> datetime:
    """As all times are told; what leaves the calendar on its way there is no time."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("datetime_parsing", "there is no such time in UTC") from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Time = Annotated[Instant, BeforeValidator(_no_number)]
At = Annotated[Time | None, Query(description="As it was at this time.")]
Begin = Annotated[int, Field(ge=0, le=LARGEST)] | Time
End = Annotated[int, Field(ge=1, le=LARGEST)] | Time
