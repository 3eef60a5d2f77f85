"""A job as people read it: what it is, how far it is and why, what went wrong, what happened when."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

from milepost.domain.queues import DEFAULT_QUEUE
from milepost.interfaces.cli.job_columns import STEP_COLUMNS, error_text
from milepost.interfaces.cli.output import table
from milepost.interfaces.cli.text import STATUS_STYLE, local
from milepost.interfaces.job_documents import ErrorDocument, JobDocument, JobProgress
from milepost.interfaces.quantities import ITEMS, clean, duration, number, of_total

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

BAR_WIDTH: Final = 30
CAUSES_SHOWN: Final = 3


def job_view(job: JobDocument) -> "RenderableType":
    """The whole of `jobs get` on a terminal."""
    from rich.console import Group

    return Group(facts(job), *_error(job), *_steps(job), *_changes(job))


def outcome_view(job: JobDocument) -> "RenderableType":
    """How a job that was followed ended, in few lines."""
    from rich.console import Group
    from rich.text import Text

    line = Text(job.status, style=STATUS_STYLE[job.status]).append(f" {job.id} ", style="default")
    line.append(f"{job.progress.successful_steps}/{job.progress.total_steps} steps")
    if job.progress.failed_steps:
        line.append(f", {job.progress.failed_steps} failed", style="red")
    if job.progress.items_done:
        line.append(f", {of_total(job.progress.items_done, None, job.progress.unit or ITEMS)}")
    if job.ended:
        line.append(f" in {duration(seconds_between(job.created, job.ended))}")
    return Group(line, *_error(job), *_failed_steps(job))


def seconds_between(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def facts(job: JobDocument) -> "RenderableType":
    """The head: id, type, status, progress, request."""
    import json

    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("Job", job.id)
    if job.as_of:
        then = Text(f"as it was at version {job.as_of.version}, {local(job.as_of.at)}", style="yellow")
        grid.add_row("Then", then)
    grid.add_row("Type", clean(f"{job.type}  {job.details}".rstrip()))
    grid.add_row("Status", Text(job.status, style=STATUS_STYLE[job.status]).append(f"  (version {job.version})", "dim"))
    if job.waiting:
        grid.add_row("Waits", Text(clean(job.waiting), style="yellow"))
    grid.add_row("Progress", progress_line(job.progress))
    grid.add_row("Created", local(job.created))
    if job.ended:
        grid.add_row("Ended", local(job.ended))
    if job.worker:
        grid.add_row("Worker", job.worker)
    if job.tags:
        grid.add_row("Tags", clean(", ".join(job.tags)))
    if job.key:
        grid.add_row("Key", clean(job.key))
    if job.queue != DEFAULT_QUEUE or job.priority:
        grid.add_row("Queue", clean(f"{job.queue}, priority {job.priority}"))
    grid.add_row("Request", clean(json.dumps(job.request, ensure_ascii=False)))
    return grid


def progress_line(progress: JobProgress) -> "Text":
    """━━━━━━━╌╌╌ 7/10 steps, 1 failed · 42 items, 12/s · 3 s left"""
    from rich.text import Text

    if not progress.total_steps:
        return Text("100 %, no steps" if progress.is_completed else "no steps yet")
    line = bar(progress)
    line.append(f" {progress.successful_steps}/{progress.total_steps} steps")
    if progress.failed_steps:
        line.append(f", {progress.failed_steps} failed", style="red")
    if progress.items_done:
        line.append(f" · {of_total(progress.items_done, None, progress.unit or ITEMS)}")
    if progress.items_per_second:
        line.append(f", {number(progress.items_per_second)}/s")
    if progress.eta_seconds is not None:
        line.append(f" · {duration(progress.eta_seconds)} left")
    return line


def bar(progress: JobProgress, width: int = BAR_WIDTH) -> "Text":
    """Filled green what succeeded and red what failed; cyan, and not filled, what runs."""
    from rich.text import Text

    line = Text()
    left = width
    for count, style in (
        (progress.successful_steps, "green"),
        (progress.failed_steps, "red"),
    ):
        # A single failure among thousands still shows.
        cells = min(left, max(count * width // progress.total_steps, 1 if style == "red" and count else 0))
        line.append("━" * cells, style=style)
        left -= cells
    running = min(left, progress.running_steps * width // progress.total_steps)
    return line.append("╌" * running, style="cyan").append("╌" * (left - running), style="dim")


def _error(job: JobDocument) -> "Iterator[RenderableType]":
    if job.error:
        yield ""
        yield from error_lines("The job failed", job.error)


def _steps(job: JobDocument) -> "Iterator[RenderableType]":
    from rich.text import Text

    if not job.steps:
        return
    yield ""
    yield table(job.steps, STEP_COLUMNS)
    hidden = job.progress.total_steps - len(job.steps)
    if hidden > 0 and job.next_steps_after is None:
        yield Text(f"and {hidden:,} more steps; --steps {job.progress.total_steps} shows all", style="dim")
    yield from _failed_steps(job)


def _failed_steps(job: JobDocument) -> "Iterator[RenderableType]":
    """The first failed step's error in full; the others' are in the table."""
    failed = [step for step in job.steps or () if step.status == "Failed" and step.errors]
    if failed:
        yield ""
        yield from error_lines(f"Step {failed[0].name} failed", failed[0].errors[-1])


def _changes(job: JobDocument) -> "Iterator[RenderableType]":
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("Time", "Status", "By", "Reason"):
        grid.add_column(title, no_wrap=True, overflow="ellipsis")
    for change in job.status_changes:
        grid.add_row(
            local(change.occurred),
            Text(change.status, style=STATUS_STYLE[change.status]),
            Text(clean(f"{change.actor} ({change.source})")),
            Text(clean(change.reason)),
        )
    yield ""
    yield grid


def error_lines(title: str, error: ErrorDocument) -> "Iterator[RenderableType]":
    """The error with the end of its traceback: the place where it was raised."""
    from rich.text import Text

    yield Text(f"{title}: {clean(error_text(error))}", style="red")
    for line in error.traceback.strip().splitlines()[-5:-1]:
        yield Text(f"  {clean(line.rstrip())}" if line.strip() else "", style="dim")
    for cause in error.causes[:CAUSES_SHOWN]:
        yield Text(f"  caused by {clean(cause.strip().splitlines()[-1] if cause.strip() else cause)}", style="dim")
