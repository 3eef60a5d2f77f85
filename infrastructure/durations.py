"""How lengths of time are written: 30s, 15m, 2h, 30d, 8w."""

import re
from datetime import timedelta
from typing import Final

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
MINUTES: Final = re.compile(r"\d+(?:\.\d+)?\s*m", re.IGNORECASE)
"""What prunes refuse: who wrote it for months would lose all but the newest minutes, for good."""
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration_of(text: str) -> timedelta | None:
    """None where it is none. Raises OverflowError."""
    found = _DURATION.fullmatch(text.strip().lower())
    return timedelta(seconds=float(found[1]) * _SECONDS[found[2]]) if found else None
