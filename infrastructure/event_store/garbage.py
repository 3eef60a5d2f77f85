"""Folding a long history makes a million objects and no garbage: looking for some takes longer than the fold."""

import gc
import threading
from collections.abc import Generator
from contextlib import contextmanager

_guard = threading.Lock()
_pauses = 0  # of all threads, now
_was_on = False


@contextmanager
def collection_paused() -> Generator[None]:
    """The search for cyclic garbage rests in this process; where it was off, it stays off."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    global _pauses, _was_on
    with _guard:
        if _pauses == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _pauses += change
        if _pauses == 0 and _was_on:
            gc.enable()
