"""The live table as it is drawn: a line of counts, the jobs that fit, and what the keys are."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from milepost.interfaces.cli.jobs.board.state import Board
from milepost.interfaces.cli.jobs.view import bar, job_view
from milepost.interfaces.cli.text import STATUS_STYLE
from milepost.interfaces.job_documents import JobDocument, JobProgress
from milepost.interfaces.quantities import clean, duration, number
from milepost.interfaces.service import AT_REST

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

PENDING: Final = "Pending"
BAR_WIDTH: Final = 10
WIDEST: Final = {"Type": 24, "Worker": 24}
FRAME: Final = 4  # lines that are not of the table's body: counts, heads of columns, message, keys
KEYS: Final = "↑↓ select · Enter details · s stop · r resume · c cancel · / find · ? help · q quit"
FEW_KEYS: Final = "s stop · r resume · c cancel · ? help · q quit"
NO_KEYS: Final = "Ctrl-C ends"
HELP: Final = (
    ("↑ ↓, k j", "select a job; Page Up, Page Down, Home, End by more"),
    ("Enter", "its steps, errors and what happened to it; again: back"),
    ("s", "stop it: asks for a reason, Enter sends it, Escape does nothing"),
    ("r", "resume it, likewise"),
    ("c", "cancel it for good, if nothing has happened to it since you saw it"),
    ("/", "show only jobs with this in their id, type, status, tags or worker"),
    ("Escape", "back; and take the search and the message away"),
    ("q, Ctrl-C", "end; the jobs go on"),
)


def picture(
    board: Board, console: "Console", now: datetime, short: Mapping[str, str], *, keys: bool
) -> "RenderableType":
    """The whole screen. `short`: ids as short as they may be given; `keys`: whether any are heard."""
    from rich.layout import Layout

    layout = Layout()
    layout.split_column(
        Layout(_head(board), name="head", size=1),
        Layout(_body(board, console, now, short), name="body"),
        Layout(_foot(board, console.width, keys=keys), name="foot", size=2),
    )
    return layout


def window(rows: int, selected: int | None, room: int) -> tuple[int, int]:
    """Which rows fit into `room` lines, so that the selected one is among them, in the middle where it can be."""
    begin = max(0, min((selected or 0) - room // 2, rows - room))
    return begin, min(rows, begin + max(room, 0))


def _head(board: Board) -> "Text":
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    counts = board.counts or {}
    # What is under way first, for there may be no room for all.
    for status in sorted(counts, key=lambda status: (status in AT_REST, status)):
        if count := counts[status]:
            line.append(f"{status} ", style=STATUS_STYLE[status]).append(f"{count:,}   ", style="bold")
    return line if line else Text("No jobs yet", style="dim")


def _body(board: Board, console: "Console", now: datetime, short: Mapping[str, str]) -> "RenderableType":
    from rich.text import Text

    if board.helping:
        return _help()
    if board.in_detail and board.opened is not None:
        return job_view(board.opened)
    if not board.shown:
        nothing = f"No job matches '{clean(board.sought)}'." if board.sought else "No job is under way."
        return Text(nothing, style="dim")
    return _table(board, console, now, short)


def _help() -> "RenderableType":
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for keys, meaning in HELP:
        grid.add_row(keys, meaning)
    return grid


def _table(board: Board, console: "Console", now: datetime, short: Mapping[str, str]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    width = console.width
    begin, end = window(len(board.shown), board.at, max(1, console.height - FRAME))
    titles = ["Id", "Type", "Status", "Progress"]
    # What is missed least goes first where there is little room.
    titles += [title for title, least in (("Rate", 84), ("Left", 74), ("For", 66), ("Worker", 120)) if width >= least]
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    for title in titles:
        right = title in ("Rate", "Left", "For")
        widest = max(_cells(title, job, now, short) for job in board.shown[begin:end])
        drawn.add_column(
            title,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=min(widest, WIDEST.get(title, widest)),
        )
    drawn.add_column("Note", no_wrap=True, overflow="ellipsis", ratio=1)
    for job in board.shown[begin:end]:
        cells = [*(_cell(title, job, now, short) for title in titles), Text(_note(job), style="yellow")]
        if job.id == board.selected:  # colours that are reversed cannot be read
            drawn.add_row(*(Text(cell.plain) for cell in cells), style="reverse")
        else:
            drawn.add_row(*cells)
    return drawn


def _cells(title: str, job: JobDocument, now: datetime, short: Mapping[str, str]) -> int:
    return max(len(title), _cell(title, job, now, short).cell_len)


def _cell(title: str, job: JobDocument, now: datetime, short: Mapping[str, str]) -> "Text":
    from rich.text import Text

    match title:
        case "Id":
            return Text(short.get(job.id, job.id))
        case "Type":
            return Text(clean(job.type))
        case "Status":
            return Text(job.status, style=STATUS_STYLE[job.status])
        case "Progress":
            return _progress(job.progress)
        case "Rate":
            return Text(_rate(job.progress))
        case "Left":
            return Text(duration(job.progress.eta_seconds) if job.progress.eta_seconds is not None else "")
        case "For":
            return Text(_since(job, now), style="dim")
        case _:
            return Text(clean(job.worker or ""), style="dim")


def _progress(progress: JobProgress) -> "Text":
    from rich.text import Text

    if not progress.total_steps:
        return Text("-", style="dim")
    line = bar(progress, BAR_WIDTH).append(f" {progress.successful_steps}/{progress.total_steps}", style="default")
    return line.append(f" ({progress.failed_steps} failed)", style="red") if progress.failed_steps else line


def _rate(progress: JobProgress) -> str:
    if progress.items_per_second:
        return f"{number(progress.items_per_second)}/s"
    return f"{number(progress.steps_per_second)} steps/s" if progress.steps_per_second else ""


def _since(job: JobDocument, now: datetime) -> str:
    """How long it has been what it is."""
    if not job.status_changes:
        return ""
    return duration(max(0.0, (now - datetime.fromisoformat(job.status_changes[-1].occurred)).total_seconds()))


def _note(job: JobDocument) -> str:
    """What keeps it from going on, or how it ended."""
    if job.error:
        return clean(job.error.message)
    # Who asked for a stop said why; the worker that came to rest for it says nothing.
    reasons = (change.reason for change in reversed(job.status_changes[-2:]) if change.reason)
    return clean(job.held_by or job.waiting or next(reasons, ""))


def _foot(board: Board, width: int, *, keys: bool) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    if board.asking is not None:
        asked = board.asking
        line.append(f"{asked.command.capitalize()} {asked.job_id}", style="bold")
        if board.confirming:
            return Group(line.append(" for good? [y/N]: ").append(" ", style="reverse"), "")
        line.append(" for good" if asked.command == "cancel" else "").append("; reason (may be empty): ")
        line.append(clean(board.typed)).append(" ", style="reverse")
        return Group(line, Text("Enter sends it · Escape does nothing", style="dim", no_wrap=True, overflow="ellipsis"))
    if board.seeking:
        line.append("Find: ", style="bold").append(clean(board.sought)).append(" ", style="reverse")
        return Group(
            line, Text("Enter keeps it · Escape takes it away", style="dim", no_wrap=True, overflow="ellipsis")
        )
    if board.said:
        line.append(clean(board.said), style="red" if board.said_is_bad else "green")
    elif board.sought:
        line.append(f"only with '{clean(board.sought)}': {len(board.shown)} of {len(board.jobs)}", style="dim")
    known = (KEYS if width >= len(KEYS) else FEW_KEYS) if keys else NO_KEYS
    return Group(line, Text(known, style="dim", no_wrap=True, overflow="ellipsis"))


def visible(board: Board, height: int) -> Sequence[JobDocument]:
    """The jobs whose rows fit on a screen of that height."""
    begin, end = window(len(board.shown), board.at, max(1, height - FRAME))
    return board.shown[begin:end]
