"""How two runs compare: durations, rates, failures, and their steps by name."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from milepost.interfaces.bootstrap import Row
from milepost.interfaces.diff_documents import FieldChange, RunComparison, RunDocument, StepComparison, StepRun

Run = tuple[Row, Sequence[Row], Sequence[Row]]  # the job, its changes of status, its steps
AT_WORK: Final = ("Running", "Stopping", "Cancelling")
LAST: Final = frozenset({"CompletedSuccessfully", "CompletedWithFailures", "Failed", "Cancelled", "Removed"})
ENDED: Final = frozenset({"Succeeded", "Failed"})


def compared(one: Run, other: Run, now: datetime, limit: int) -> RunComparison:
    """The second against the first, with at most `limit` of their steps."""
    steps = sorted(_by_name(one[2], other[2]), key=_order)
    return RunComparison(
        one=_run(*one, now),
        other=_run(*other, now),
        request=_request(json.loads(one[0]["request"]), json.loads(other[0]["request"])),
        differing_steps=sum(map(_ended_otherwise, steps)),
        steps=steps[:limit],
        hidden_steps=max(0, len(steps) - limit),
    )


def _run(row: Row, changes: Sequence[Row], steps: Sequence[Row], now: datetime) -> RunDocument:
    by_status = _seconds_by_status(changes, now)
    worked = sum(by_status.get(status, 0.0) for status in AT_WORK)
    ended = row["succeeded"] + row["failed"]
    end = now if row["ended_at"] is None else datetime.fromisoformat(row["ended_at"])
    return RunDocument(
        id=row["id"],
        type=row["type"],
        status=row["status"],
        version=row["version"],
        created=row["created_at"],
        ended=row["ended_at"],
        seconds=round((end - datetime.fromisoformat(row["created_at"])).total_seconds(), 3),
        seconds_by_status={status: round(seconds, 3) for status, seconds in by_status.items()},
        total_steps=row["total"],
        successful_steps=row["succeeded"],
        failed_steps=row["failed"],
        attempts=sum(step["attempt"] for step in steps),
        items_done=row["items"],
        unit=row["unit"],
        steps_per_second=round(ended / worked, 3) if worked > 0 else None,
        items_per_second=round(row["items"] / worked, 3) if worked > 0 and row["items"] else None,
    )


def _seconds_by_status(changes: Sequence[Row], now: datetime) -> dict[str, float]:
    """Of what it left again, and of what it is in: a status that is the last lasts for ever, which says nothing."""
    found: dict[str, float] = {}
    begins = [datetime.fromisoformat(change["occurred"]) for change in changes]
    for change, begin, end in zip(changes, begins, [*begins[1:], now], strict=True):
        if change["status"] not in LAST:
            found[change["status"]] = found.get(change["status"], 0.0) + max(0.0, (end - begin).total_seconds())
    return found


def _request(one: dict[str, Any], other: dict[str, Any]) -> list[FieldChange]:
    names = [*one, *(name for name in other if name not in one)]
    return [FieldChange(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def _by_name(one: Sequence[Row], other: Sequence[Row]) -> Iterator[StepComparison]:
    """Steps of one name belong together; where a run has several of it, in their order."""
    behind: dict[str, list[Row]] = {}
    for step in reversed(other):
        behind.setdefault(step["name"], []).append(step)
    for step in one:
        same = behind.get(step["name"])
        yield _pair(step["name"], step, same.pop() if same else None)
    for name, left in behind.items():
        for step in reversed(left):
            yield _pair(name, None, step)


def _pair(name: str, one: Row | None, other: Row | None) -> StepComparison:
    both = one is not None and other is not None and one["status"] in ENDED and other["status"] in ENDED
    seconds = round(other["seconds"] - one["seconds"], 3) if both and one and other else None
    return StepComparison(name, _step(one), _step(other), seconds)


def _step(row: Row | None) -> StepRun | None:
    if row is None:
        return None
    progress: dict[str, Any] = json.loads(row["progress"] or "{}")
    errors: list[Any] = json.loads(row["errors"] or "[]") if row["status"] == "Failed" else []
    error = f"{errors[-1]['type']}: {errors[-1]['message']}" if errors else None
    return StepRun(
        row["step"],
        row["status"],
        row["seconds"],
        row["attempt"],
        progress.get("done", 0),
        progress.get("unit", ""),
        error,
    )


def _ended_otherwise(step: StepComparison) -> bool:
    return step.one is None or step.other is None or step.one.status != step.other.status


def _order(step: StepComparison) -> tuple[bool, float]:
    return not _ended_otherwise(step), -abs(step.seconds or 0.0)
