"""Times and statuses as people read them, and texts that do a terminal no harm."""

import re
import shutil
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

from milepost.infrastructure.durations import duration_of

LAST_YEAR: Final = 9000
LARGEST: Final = 1_000_000_000  # of anything that is counted on a command line
STATUS_STYLE: Final[Mapping[str, str]] = {
    "Pending": "dim",
    "Preparing": "cyan",
    "Running": "cyan",
    "Waiting": "yellow",
    "Stopping": "yellow",
    "Stopped": "yellow",
    "Cancelling": "magenta",
    "Cancelled": "magenta",
    "Succeeded": "green",
    "CompletedSuccessfully": "green",
    "CompletedWithFailures": "red",
    "Failed": "red",
    "Removed": "dim",
    "Active": "green",
    "CatchingUp": "cyan",
    "Replaying": "cyan",
    "Paused": "yellow",
    "Quarantined": "red",
    "Disconnected": "yellow",
}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def escaped(text: str) -> str:
    """The same with each control character to be seen, where its place matters."""
    return _CONTROL.sub(lambda found: "".join(f"\\x{ord(each):02x}" for each in found[0]), text)


def fitted(text: str, stream: TextIO) -> str:
    """On a terminal, broken between words; a pipe gets its line whole."""
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(
        textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False, subsequent_indent="  ")
        for line in text.splitlines()
    )


def local(moment: str) -> str:
    """A recorded time on the clock of whoever reads it."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def local_short(moment: str) -> str:
    """The same in at most twelve characters: 10:23:09 today, 24 Nov 10:23 this year, else 2025-11-24."""
    at, today = datetime.fromisoformat(moment).astimezone(), datetime.now(UTC).astimezone()
    if at.date() == today.date():
        return at.strftime("%H:%M:%S")
    return at.strftime("%d %b %H:%M" if at.year == today.year else "%Y-%m-%d")


def moment(text: str, now: datetime) -> datetime:
    """A point in time: `2h` ago, a date, or an ISO 8601 time (local where no zone is given). Raises ValueError."""
    if (ago := duration_of(text)) is not None:
        return now - ago
    return _told(text)


def moment_to_come(text: str, now: datetime) -> datetime:
    """The same, but `2h` is in two hours. Raises ValueError, OverflowError."""
    if (ahead := duration_of(text)) is not None:
        return now + ahead
    return _told(text)


def _told(text: str) -> datetime:
    told = datetime.fromisoformat(text.strip())
    if told.year > LAST_YEAR:
        raise ValueError("nothing is that far away")
    return told.astimezone(UTC)
