"""What can be done with an observer, by what its class declares; asked before a job begins, and again by the job."""

from typing import Final, Literal

from milepost.domain.observers.errors import NotReplayable
from milepost.infrastructure.observers.observer import Observer

Ability = Literal["replay", "replay-beside", "replay-partition", "rebuild"]
ASKED: Final[dict[Ability, str]] = {
    "replay": "replay",
    "replay-beside": "replay",
    "replay-partition": "replay a partition of",
    "rebuild": "rebuild the index of",
}


def refuse_unable(declared: type[Observer], wanted: Ability) -> None:
    """Raises NotReplayable where the class lacks what it takes."""
    if (missing := _missing(declared, wanted)) is not None:
        raise NotReplayable(declared.name, ASKED[wanted], missing)


def able(declared: type[Observer], wanted: Ability) -> bool:
    return _missing(declared, wanted) is None


def _missing(declared: type[Observer], wanted: Ability) -> str | None:
    match wanted:
        case "replay" if declared.tables is None and not declared.has("reset"):
            return "it has neither `tables` nor a `reset` of its own"
        case "replay-beside" | "rebuild" if declared.tables is None:
            return "only one with `tables` can be rebuilt beside the one that serves"
        case "replay-partition" if not declared.has("reset_partition"):
            return "it has no `reset_partition`"
        case "rebuild" if not declared.has("verify"):
            return "it has no `verify`, so nobody could say that the new one is right"
        case _:
            return None
