"""What a stop or a cancel waits for: steps that run, or code of the job type that cannot be stopped."""

from collections.abc import Callable, Sequence

from milepost.interfaces.bootstrap import Row
from milepost.interfaces.command_results import place_text, resting_places
from milepost.interfaces.job_documents import StepDocument
from milepost.interfaces.service import UNDER_WAY


def held_by(
    row: Row, changes: Sequence[Row], running: Callable[[], Sequence[StepDocument]], has_cleanup: Callable[[], bool]
) -> str | None:
    """Of the job of this row, with its changes of status; None where it is on its way nowhere. `running`: some."""
    if row["status"] not in UNDER_WAY.values():
        return None
    if steps := running():
        return "held by " + ", ".join(place_text(place) for place in resting_places(steps))
    method = in_code(row, changes, has_cleanup)
    return f"no step runs: its worker is in {method}" if method else None


def in_code(row: Row, changes: Sequence[Row], has_cleanup: Callable[[], bool]) -> str:
    """The method of its job type that its worker is in, where a stop or a cancel waits for that."""
    if row["status"] not in UNDER_WAY.values():
        return ""
    before = next((each["status"] for each in reversed(changes) if each["status"] not in UNDER_WAY.values()), "")
    if before == "Preparing":
        return "before_resume()" if row["planned"] else "plan() or before_start()"
    if row["status"] == UNDER_WAY["cancel"] and has_cleanup():
        return "cancelled()"
    if row["status"] == UNDER_WAY["stop"] and row["total"] and row["succeeded"] + row["failed"] == row["total"]:
        return "completed()"
    return ""
