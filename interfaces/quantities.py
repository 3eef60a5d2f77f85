"""How amounts and times are written for people."""

import re
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def clean(text: str) -> str:
    """Without control characters: a job's text must not steer the terminal nor break a line in two."""
    return _CONTROL.sub(" ", text)


def duration(seconds: float) -> str:
    """0.3 s, 42 s, 3 min 20 s, 2 h 05 min, 3 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def number(value: float) -> str:
    """12,345 or 0.25: no more digits than mean something."""
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:,.2f}".rstrip("0")


def counted(number: int, what: str) -> str:
    """1 job, 2 jobs."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def differing(number: int) -> str:
    """1 differs, 2 differ."""
    return f"{number:,} {'differs' if number == 1 else 'differ'}"


ITEMS: Final = "items"  # what steps count where they do not say what


def of_total(done: float, total: float | None, unit: str) -> str:
    """4/10 items, or 4 items where nobody knows of how many."""
    amount = number(done) if total is None else f"{number(done)}/{number(total)}"
    return f"{amount} {clean(unit)}".rstrip()
