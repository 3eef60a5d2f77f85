"""Following a job while it runs: drawn anew on a terminal, as lines in a pipe."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from milepost.interfaces import bootstrap
from milepost.interfaces.cli.jobs.view import progress_line
from milepost.interfaces.cli.jobs.waiting import UNAVAILABLE
from milepost.interfaces.cli.output import console
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import STATUS_STYLE
from milepost.interfaces.job_documents import JobDocument, StepDocument
from milepost.interfaces.quantities import ITEMS, clean, of_total
from milepost.interfaces.service import StepsAsked

if TYPE_CHECKING:
    from rich.console import RenderableType

REDRAW_SECONDS: Final = 0.15
LINE_SECONDS: Final = 2.0
STEPS_SHOWN: Final = 8
STEP_BAR_WIDTH: Final = 20

Show = Callable[[JobDocument], None]


@contextmanager
def progress_shown(session: Session, *, stderr: bool) -> "Generator[Show]":
    """A function to be called with the job again and again; what it shows fits where it goes."""
    stream = sys.stderr if stderr else sys.stdout
    if session.quiet:
        yield lambda job: None
    elif stream.isatty() and console(stderr=stderr).is_terminal:
        with _drawn(session, stderr=stderr) as show:
            yield show
    else:
        yield Lines(lambda line: print(line, file=stream, flush=True)).show


class Lines:
    """A line for each new status, and one every two seconds where there is progress."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._status: str = ""
        self._version: int = 0
        self._at = 0.0

    def show(self, job: JobDocument) -> None:
        if job.version == self._version:
            return
        if job.status == self._status and time.monotonic() < self._at + LINE_SECONDS:
            return
        self._status, self._version, self._at = job.status, job.version, time.monotonic()
        self._say(progress_text(job))


def progress_text(job: JobDocument) -> str:
    """2026-11-24T10:00:00+00:00 Running 3/10 steps, 1 failed, 42 items"""
    told = job.progress
    words = [bootstrap.now().isoformat(timespec="seconds"), job.status]
    if told.total_steps:
        counts = f"{told.successful_steps}/{told.total_steps} steps"
        counts += f", {told.failed_steps} failed" if told.failed_steps else ""
        words.append(counts + (f", {of_total(told.items_done, None, told.unit or ITEMS)}" if told.items_done else ""))
    return " ".join(words)


@contextmanager
def _drawn(session: Session, *, stderr: bool) -> "Generator[Show]":
    from rich.live import Live

    with Live(console=console(stderr=stderr), auto_refresh=False, transient=True) as live:
        seen = ("", 0.0)

        def show(job: JobDocument) -> None:
            nonlocal seen
            if job.status != seen[0] or time.monotonic() > seen[1] + REDRAW_SECONDS:
                with suppress(*UNAVAILABLE):  # then the last picture stays
                    live.update(_picture(session, job.id), refresh=True)
                seen = (job.status, time.monotonic())

        yield show


def _picture(session: Session, job_id: str) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    job = session.service.job(job_id, StepsAsked(STEPS_SHOWN, begun=True))
    steps = job.steps or []
    head = Text(f"{clean(job.type)}  {job.id}  ", no_wrap=True, overflow="ellipsis")
    lines: list[RenderableType] = [head.append(job.status, style=STATUS_STYLE[job.status]), progress_line(job.progress)]
    if job.waiting:
        lines.append(Text(f"waits: {clean(job.waiting)}", style="yellow"))
    return Group(*lines, *([_steps(steps)] if steps else []))


def _steps(steps: list[StepDocument]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for _ in range(2):
        grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, overflow="ellipsis")
    for step in steps:
        told = step.progress
        filled = int(STEP_BAR_WIDTH * (told.percentage or 0) / 100)
        line = Text("━" * filled, style="cyan").append("╌" * (STEP_BAR_WIDTH - filled), style="dim")
        note = told.message or ("" if step.status == "Running" else step.status.lower())
        reached = of_total(told.done, told.total, told.unit) if told.done or told.total is not None else ""
        grid.add_row(f"  {clean(step.name)}", line, reached, Text(clean(note), "dim"))
    return grid
