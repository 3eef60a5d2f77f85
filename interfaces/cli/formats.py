"""In which format a command prints, and how that is chosen where nobody says."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from milepost.interfaces.error_mapping import INVALID, Told


class Format(StrEnum):
    TABLE = "table"
    PLAIN = "plain"
    JSON = "json"
    JSON_COMPACT = "json-compact"
    JSONL = "jsonl"
    CSV = "csv"

    @property
    def is_json(self) -> bool:
        return self in (Format.JSON, Format.JSON_COMPACT, Format.JSONL)


def choose(asked: str | None, environ: Mapping[str, str], *, terminal: bool, quiet: bool = False) -> Format:
    """The option, else MILEPOST_OUTPUT, else by where the output goes. Raises Told for an unknown format.

    `id=$(milepost jobs start … -q)` wants the id alone: with `quiet` JSON is only printed when asked for.
    """
    name = asked or environ.get("MILEPOST_OUTPUT") or "auto"
    if name == "auto":
        if environ.get("NO_COLOR") or quiet:
            return Format.PLAIN
        return Format.TABLE if terminal else Format.JSON
    try:
        return Format(name)
    except ValueError:
        known = ", ".join(Format)
        raise Told(INVALID, f"Unknown output format '{name}'", f"Use one of {known}") from None


def guess(arguments: Sequence[str], environ: Mapping[str, str], *, terminal: bool) -> Format:
    """The format of a command line that could not be parsed, so that its error is told as was asked."""
    asked = None
    for at, argument in enumerate(arguments):
        if argument in ("-o", "--output"):
            asked = next(iter(arguments[at + 1 :]), None)
        elif argument.startswith("--output="):
            asked = argument.partition("=")[2]
    try:
        return choose(asked, environ, terminal=terminal)
    except Told:
        return choose("auto", environ, terminal=terminal)
