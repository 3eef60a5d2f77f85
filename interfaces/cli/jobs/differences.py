"""Diffs as people read them, and as the rows that a program reads."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from milepost.interfaces.cli.output import Column, table
from milepost.interfaces.cli.text import STATUS_STYLE, local
from milepost.interfaces.diff_documents import (
    FieldChange,
    JobDiff,
    MomentDocument,
    RunComparison,
    RunDocument,
    StepChange,
    StepComparison,
    StepRun,
    StepStand,
)
from milepost.interfaces.documents import to_json
from milepost.interfaces.quantities import ITEMS, clean, duration, number, of_total

if TYPE_CHECKING:
    from rich.console import RenderableType

_FLATTENED: Final = frozenset({"progress", "secondsByStatus"})

CHANGE_COLUMNS: Final[tuple[Column[FieldChange], ...]] = (
    Column("What", lambda change: change.what),
    Column("Before", lambda change: _value(change.before), gives_way=True),
    Column("After", lambda change: _value(change.after), gives_way=True),
)
_STEP_COLUMNS: Final[tuple[Column[StepChange], ...]] = (
    Column("#", lambda step: step.index, right=True),
    Column("Name", lambda step: step.name, gives_way=True),
    Column("Before", lambda step: _stand(step.before), style=lambda step: _style(step.before)),
    Column("After", lambda step: _stand(step.after), style=lambda step: _style(step.after)),
    Column("Error", lambda step: _error(step), gives_way=True),
)
_RUN_COLUMNS: Final[tuple[Column[StepComparison], ...]] = (
    Column("Name", lambda step: step.name, gives_way=True),
    Column("One", lambda step: _fared(step.one), style=lambda step: _style(step.one)),
    Column("Other", lambda step: _fared(step.other), style=lambda step: _style(step.other)),
    Column("Longer", lambda step: _longer(step), right=True),
    Column("Error", lambda step: (step.other and step.other.error) or (step.one and step.one.error), gives_way=True),
)


def changes_of(diff: JobDiff) -> list[FieldChange]:
    """Each thing that changed as a row: of the job, then of each step, which is called by its name."""
    steps = [
        FieldChange(f"steps.{step.name}.{field}", before, after)
        for step in diff.steps
        for field, before, after in _fields(step.before, step.after)
    ]
    return [*diff.changes, *steps]


def contrasts_of(found: RunComparison) -> list[FieldChange]:
    """Each figure of the two runs as a row, then what differs of their requests and steps."""
    runs = [FieldChange(name, before, after) for name, before, after in _fields(found.one, found.other, alike=True)]
    request = [FieldChange(f"request.{each.what}", each.before, each.after) for each in found.request]
    steps = [
        FieldChange(f"steps.{step.name}.{field}", one, other)
        for step in found.steps
        for field, one, other in _fields(step.one, step.other)
    ]
    return [*runs, *request, *steps]


def _fields(before: Any, after: Any, *, alike: bool = False) -> Iterator[tuple[str, Any, Any]]:
    """The fields that differ, or all that are `alike`, too."""
    one, other = (dict(_flat(to_json(each) or {})) for each in (before, after))
    for name in other or one:
        if alike or one.get(name) != other.get(name):
            yield name, one.get(name), other.get(name)


def _flat(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if name in _FLATTENED:
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())
        else:
            yield name, value


def diff_view(diff: JobDiff) -> "RenderableType":
    """The whole of a diff on a terminal."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(clean(f"{diff.type} {diff.id}"), style="bold"),
        Text(f"from {_moment(diff.before)} to {_moment(diff.after)}"),
        "",
    ]
    if not diff.events:
        return Group(*parts, "Nothing happened in between.")
    parts.append(Text(", ".join(f"{amount:,} {name}" for name, amount in diff.events.items())))
    parts += [
        Text(clean(f"by {each.actor} ({each.source}): {each.events:,}{_reasons(each.reasons)}")) for each in diff.actors
    ]
    if diff.changes:
        parts += ["", table(diff.changes, CHANGE_COLUMNS)]
    if diff.steps:
        parts += ["", table(diff.steps, _STEP_COLUMNS)]
    return Group(*parts)


def comparison_view(found: RunComparison) -> "RenderableType":
    """Two runs on a terminal: their figures side by side, then their steps."""
    from rich.console import Group
    from rich.text import Text

    figures = [
        FieldChange(what, one, other)
        for (what, one), (_, other) in zip(_figures(found.one), _figures(found.other), strict=True)
    ]
    columns = (
        CHANGE_COLUMNS[0],
        *(Column(title, each.value) for title, each in zip(("One", "Other"), CHANGE_COLUMNS[1:], strict=True)),
    )
    parts: list[RenderableType] = [table(figures, columns)]
    if found.request:
        parts += ["", Text("What they were asked differs:"), table(found.request, columns)]
    if found.steps:
        ended = (
            f"{found.differing_steps:,} ended otherwise or are of one run alone"
            if found.differing_steps
            else "all ended alike"
        )
        parts += ["", Text(f"Steps by name, those that differ most first: {ended}"), table(found.steps, _RUN_COLUMNS)]
    return Group(*parts)


def _figures(run: RunDocument) -> list[tuple[str, str]]:
    rate = f"{number(run.items_per_second)} {run.unit or ITEMS}/s" if run.items_per_second else "-"
    return [
        ("Job", run.id),
        ("Type", run.type),
        ("Status", run.status),
        ("Created", local(run.created)),
        ("Took", duration(run.seconds)),
        *[
            (f"  {status}", duration(run.seconds_by_status.get(status, 0.0)))
            for status in ("Pending", "Running", "Stopped")
        ],
        ("Steps", f"{run.successful_steps}/{run.total_steps}"),
        ("Failed", str(run.failed_steps)),
        ("Attempts", str(run.attempts)),
        ("Done", of_total(run.items_done, None, run.unit or ITEMS)),
        ("Rate", rate),
        ("Steps a second", "-" if run.steps_per_second is None else number(run.steps_per_second)),
    ]


def _moment(moment: MomentDocument) -> str:
    if moment.version == 0:
        return "before it began"
    at = f", {local(moment.at)}" if moment.at else ""
    return f"version {moment.version} ({moment.status}{at})"


def _reasons(reasons: Sequence[str]) -> str:
    return f", because: {'; '.join(reasons)}" if reasons else ""


def _value(value: Any) -> str | None:
    match value:
        case None | str():
            return value
        case {"type": str(kind), "message": str(message)}:  # an error
            return f"{kind}: {message}"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def _stand(stand: StepStand | None) -> str:
    if stand is None:
        return "-"
    told = stand.progress
    amount = f" {of_total(told.done, told.total, told.unit)}" if told.done or told.total is not None else ""
    again = f", attempt {stand.attempts}" if stand.attempts > 1 else ""
    return f"{stand.status}{amount}{again}"


def _error(step: StepChange) -> str:
    before, after = (each.error if each else None for each in (step.before, step.after))
    return f"{after.type.rpartition('.')[2]}: {after.message}" if after and after != before else ""


def _fared(run: StepRun | None) -> str:
    if run is None:
        return "-"
    again = f", {run.attempts} attempts" if run.attempts > 1 else ""
    return f"{run.status} {duration(run.seconds)}{again}"


def _longer(step: StepComparison) -> str:
    return "" if step.seconds is None else f"{step.seconds:+,.2f} s"


def _style(stand: StepStand | StepRun | None) -> str:
    return STATUS_STYLE[stand.status] if stand else "dim"
