"""How far a long command is, on standard error: one line that is drawn anew on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable
from typing import Final

from milepost.infrastructure.audit.progress import Progress
from milepost.interfaces.cli.session import Session
from milepost.interfaces.quantities import counted

LINE_SECONDS: Final = 5.0
REDRAW_SECONDS: Final = 0.2


class ProgressLine:
    """It is taken away at the end, so that what was found stands alone."""

    def __init__(self, session: Session) -> None:
        self._quiet = session.quiet
        self._terminal = sys.stderr.isatty()
        self._at = time.monotonic()
        self._drawn = False

    def show(self, line: Callable[[], str]) -> None:
        """If it is time for it: only then is `line` made."""
        pause = REDRAW_SECONDS if self._terminal else LINE_SECONDS
        if self._quiet or time.monotonic() < self._at + pause:
            return
        self._at = time.monotonic()
        sys.stderr.write(f"\r\x1b[2K{line()}" if self._terminal else f"{line()}\n")
        sys.stderr.flush()
        self._drawn = self._terminal

    def counting(self, done: str) -> Progress:
        """Shows of how many jobs and events this was `done`."""
        return Progress(
            lambda jobs, events: self.show(lambda: f"{done} {counted(jobs, 'job')}, {counted(events, 'event')}")
        )

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
