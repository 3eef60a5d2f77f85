"""What an audit finds: where what is stored differs from what was recorded, or from what follows from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Final

SHOWN: Final = 200  # characters of a long value, around where it differs
BEFORE: Final = 40

Found = str | int | float | bool | None


class Kind(StrEnum):
    EVENT_CHANGED = "event-changed"  # its bytes are not those that were recorded
    EVENT_MISSING = "event-missing"  # there is none where one must be
    EVENT_MOVED = "event-moved"  # it stands in the place of another one
    LINK_CHANGED = "link-changed"  # the event is right, its link in the chain is not
    EVENT_UNREADABLE = "event-unreadable"
    EVENT_IMPOSSIBLE = "event-impossible"  # the transition table has no such way
    ROW_CHANGED = "row-changed"  # a list shows something else than the events say
    ROW_MISSING = "row-missing"
    ROW_UNFOUNDED = "row-unfounded"  # no event says what it shows
    ID_INVALID = "id-invalid"  # no job can have it
    TOMBSTONE_FALSE = "tombstone-false"  # no prune leaves what it says, or what there is beside it


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference of a job: `version` of the event that it is in, or up to which the row was computed."""

    job_id: str
    version: int
    kind: Kind
    table: str
    row: str  # which of the job's rows in that table
    column: str
    found: Found
    expected: Found
    message: str


class Differs(Exception):
    """Ends the look at one job."""

    def __init__(self, difference: Difference) -> None:
        self.difference = difference
        super().__init__(difference.message)


def brief(found: Any, expected: Any) -> tuple[Found, Found]:
    """Both values as they are told: of long texts the part where they begin to differ."""
    if not (isinstance(found, str) and isinstance(expected, str)):
        return _told(found), _told(expected)
    at = next((n for n, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), 0)
    begin = max(0, at - BEFORE) if max(len(found), len(expected)) > SHOWN else 0
    return _cut(found, begin), _cut(expected, begin)


def _told(value: Any) -> Found:
    if isinstance(value, bytes):
        return _cut(value.hex(), 0)
    return _cut(value, 0) if isinstance(value, str) else value


def _cut(text: str, begin: int) -> str:
    shown = text[begin : begin + SHOWN]
    behind = "…" if begin + SHOWN < len(text) else ""
    return f"{'…' if begin else ''}{shown}{behind}".encode(errors="backslashreplace").decode()


def ahead(row: Sequence[Any], rest: Iterator[Sequence[Any]], most: int) -> list[Sequence[Any]]:
    """An event and those that follow it."""
    return [row, *islice(rest, most)]
