"""What the live table shows and what a key does to it: pure functions over an immutable state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.service import CommandName

COMMANDS: Final[Mapping[str, CommandName]] = {"s": "stop", "r": "resume", "c": "cancel"}
PAGE: Final = 10


class Key(Enum):
    """A key that is no character."""

    UP = "up"
    DOWN = "down"
    PAGE_UP = "page up"
    PAGE_DOWN = "page down"
    HOME = "home"
    END = "end"
    ENTER = "enter"
    ESCAPE = "escape"
    BACKSPACE = "backspace"


_MOVES: Final[Mapping[Key | str, int]] = {
    Key.UP: -1,
    "k": -1,
    Key.DOWN: 1,
    "j": 1,
    Key.PAGE_UP: -PAGE,
    Key.PAGE_DOWN: PAGE,
    Key.HOME: -1_000_000,
    "g": -1_000_000,
    Key.END: 1_000_000,
    "G": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Order:
    """A command that somebody has given by keys. `version`: the one they saw, where what they do cannot be undone."""

    command: CommandName
    job_id: str
    reason: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Asking:
    """A command that waits for its reason, and then, where it cannot be undone, for a `y`."""

    command: CommandName
    job_id: str
    version: int | None
    is_sure: bool = True


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that decides what is to be seen. `jobs`: all that were read; `sought` narrows them down."""

    jobs: tuple[JobDocument, ...] = ()
    counts: Mapping[str, int] | None = None
    selected: str | None = None
    opened: JobDocument | None = None  # the selected job with its steps, where it is looked at alone
    in_detail: bool = False
    helping: bool = False
    seeking: bool = False
    sought: str = ""
    asking: Asking | None = None
    confirming: bool = False
    typed: str = ""
    said: str = ""
    said_is_bad: bool = False
    order: Order | None = None
    ended: bool = False

    @property
    def shown(self) -> tuple[JobDocument, ...]:
        """Those in whose id, type, status, tags or worker the sought text is."""
        text = self.sought.lower()
        return tuple(job for job in self.jobs if not text or text in _searched(job)) if text else self.jobs

    @property
    def at(self) -> int | None:
        """The place of the selected job among those shown."""
        return next((place for place, job in enumerate(self.shown) if job.id == self.selected), None)

    @property
    def job(self) -> JobDocument | None:
        """The selected one."""
        at = self.at
        return None if at is None else self.shown[at]


def refreshed(
    board: Board, jobs: Sequence[JobDocument], counts: Mapping[str, int] | None, opened: JobDocument | None
) -> Board:
    """With what is so now. The selection stays on its job; where that is gone, on what stands in its place."""
    at = board.at
    return _selecting(replace(board, jobs=tuple(jobs), counts=counts, opened=opened), at)


def pressed(board: Board, key: Key | str) -> Board:
    """After a key. Where it gives a command that is `order`, which whoever runs the board takes away."""
    if board.asking is not None:
        return _in_reason(board, board.asking, key)
    if board.seeking:
        return _in_search(board, key)
    if board.helping:
        return replace(board, helping=False)
    return _moved(board, _MOVES[key]) if key in _MOVES else _in_table(board, key)


def _in_table(board: Board, key: Key | str) -> Board:
    match key:
        case "q":
            return replace(board, ended=True)
        case "?":
            return replace(board, helping=True)
        case "/":
            return replace(board, seeking=True, in_detail=False)
        case "s" | "r" | "c":
            return _asked(board, COMMANDS[key])
        case Key.ENTER:
            return replace(board, in_detail=not board.in_detail and board.job is not None, opened=None)
        case Key.ESCAPE:
            return _gone_back(board)
        case _:
            return board


def told(board: Board, text: str, *, bad: bool = False) -> Board:
    """With a message in its last line."""
    return replace(board, said=text, said_is_bad=bad)


def _gone_back(board: Board) -> Board:
    """What was looked at last goes first."""
    if board.in_detail:
        return replace(board, in_detail=False, opened=None)
    return _selecting(replace(board, sought="", said="", said_is_bad=False), board.at)


def _asked(board: Board, command: CommandName) -> Board:
    job = board.job
    if job is None:
        return told(board, "No job is selected", bad=True)
    # A stop is meant for the job as it will be then; what cannot be undone only for the job as it was seen.
    final = command == "cancel"
    asking = Asking(command, job.id, job.version if final else None, is_sure=not final)
    return replace(board, asking=asking, typed="", said="", said_is_bad=False)


def _in_reason(board: Board, asking: Asking, key: Key | str) -> Board:
    if board.confirming:
        return _ordered(board, asking) if key in ("y", "Y") else _given_up(board)
    if key is Key.ENTER:
        return _ordered(board, asking) if asking.is_sure else replace(board, confirming=True)
    if key is Key.ESCAPE:
        return _given_up(board)
    return replace(board, typed=_edited(board.typed, key))


def _ordered(board: Board, asking: Asking) -> Board:
    order = Order(asking.command, asking.job_id, board.typed.strip(), asking.version)
    return replace(board, asking=None, confirming=False, typed="", order=order)


def _given_up(board: Board) -> Board:
    return told(replace(board, asking=None, confirming=False, typed=""), "Nothing was done")


def _in_search(board: Board, key: Key | str) -> Board:
    at = board.at
    if key is Key.ENTER:
        return replace(board, seeking=False)
    if key is Key.ESCAPE:
        return _selecting(replace(board, seeking=False, sought=""), at)
    if isinstance(key, Key) and key in _MOVES:
        return _moved(board, _MOVES[key])
    return _selecting(replace(board, sought=_edited(board.sought, key)), at)


def _edited(text: str, key: Key | str) -> str:
    if key is Key.BACKSPACE:
        return text[:-1]
    return text + key if isinstance(key, str) else text


def _moved(board: Board, by: int) -> Board:
    if not board.shown:
        return board
    at = min(max((board.at or 0) + by, 0), len(board.shown) - 1)
    return replace(board, selected=board.shown[at].id, opened=None)


def _selecting(board: Board, at: int | None) -> Board:
    """With a selection that is among those shown, if there are any: the same job, else the one at that place."""
    if board.at is not None:
        return board
    shown = board.shown
    selected = shown[min(at or 0, len(shown) - 1)].id if shown else None
    return replace(board, selected=selected, opened=None, in_detail=False)


def _searched(job: JobDocument) -> str:
    return " ".join((job.id, job.type, job.status, *job.tags, job.worker or "")).lower()
