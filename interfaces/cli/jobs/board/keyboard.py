"""Keys from a terminal, one by one and without Enter; the terminal is left as it was found."""

import codecs
import os
import re
import select
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

from milepost.interfaces.cli.jobs.board.state import Key

_READ: Final = 1024
_REST_SECONDS: Final = 0.05
_UNFINISHED: Final = re.compile(r"\x1b(\[[\x20-\x3f]*|O)?\Z")
_SEQUENCES: Final = {
    "\x1b[A": Key.UP,
    "\x1b[B": Key.DOWN,
    "\x1bOA": Key.UP,
    "\x1bOB": Key.DOWN,
    "\x1b[5~": Key.PAGE_UP,
    "\x1b[6~": Key.PAGE_DOWN,
    "\x1b[H": Key.HOME,
    "\x1b[F": Key.END,
    "\x1b[1~": Key.HOME,
    "\x1b[4~": Key.END,
    "\x1bOH": Key.HOME,
    "\x1bOF": Key.END,
}
_SINGLE: Final = {
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\x7f": Key.BACKSPACE,
    "\x08": Key.BACKSPACE,
}


def keys_of(text: str) -> Iterator[Key | str]:
    """What was typed, from what the terminal sent. Sequences that stand for no key of ours are left out."""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\x1b":
            end = _end_of_sequence(text, at)
            if key := _SEQUENCES.get(text[at:end], Key.ESCAPE if end == at + 1 else None):
                yield key
            at = end
            continue
        at += 1
        if key := _SINGLE.get(char):
            yield key
        elif char.isprintable():
            yield char


def _end_of_sequence(text: str, at: int) -> int:
    """Behind an escape sequence (ECMA-48 §5.4: parameters, then one final character), or behind a lone Escape."""
    if text[at + 1 : at + 2] == "O":
        return min(at + 3, len(text))
    if text[at + 1 : at + 2] != "[":
        return at + 1
    end = at + 2
    while end < len(text) and not "\x40" <= text[end] <= "\x7e":
        end += 1
    return min(end + 1, len(text))


class Keyboard:
    """Standard input, where it is a terminal whose keys can be heard."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        # A character's bytes may come in two pieces.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def is_heard(self) -> bool:
        return self._descriptor is not None

    def pressed(self, seconds: float) -> list[Key | str]:
        """The keys of at most the next `seconds`: as soon as there are any."""
        if self._descriptor is None:
            time.sleep(seconds)
            return []
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return []
        text = self._sent()
        # The rest of a key's sequence may be on its way; behind an Escape that was pressed nothing comes.
        while _UNFINISHED.search(text) and select.select([self._descriptor], [], [], _REST_SECONDS)[0]:
            text += self._sent()
        return list(keys_of(text))

    def _sent(self) -> str:
        assert self._descriptor is not None
        sent = os.read(self._descriptor, _READ)
        if not sent:  # the terminal is gone
            raise KeyboardInterrupt
        return self._decoder.decode(sent)


@contextmanager
def keyboard() -> "Generator[Keyboard]":
    """Keys are heard within; where standard input is no terminal, or the system has no such ones, there are none."""
    handler = signal.signal(signal.SIGTERM, _end)  # else the terminal would stay as it is now
    try:
        with _heard() as descriptor:
            yield Keyboard(descriptor)
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _heard() -> "Generator[int | None]":
    try:
        import termios
        import tty
    except ImportError:
        yield None
        return
    if not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        now = termios.tcgetattr(descriptor)
        now[6][termios.VSUSP] = b"\0"  # Ctrl-Z would leave the shell with a terminal as it is now
        termios.tcsetattr(descriptor, termios.TCSADRAIN, now)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
