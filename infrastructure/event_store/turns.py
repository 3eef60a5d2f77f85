"""Whose turn it is to write among the threads of this process: first come, first served."""

import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager


class NotItsTurn(Exception):
    """The other threads did not come to an end in time."""


class Turns:
    """A lock handed over in the order in which it was asked for; threading.Lock lets one thread starve another."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._owner: int | None = None

    @property
    def mine(self) -> bool:
        """Whether the calling thread has the turn."""
        return self._owner == threading.get_ident()

    @property
    def waiting(self) -> int:
        """How many threads stand in line."""
        return len(self._waiting)

    @contextmanager
    def taken(self, timeout_seconds: float) -> Generator[None]:
        """Wait for the turn and hold it. Raises NotItsTurn when time is up."""
        self._acquire(timeout_seconds)
        try:
            self._owner = threading.get_ident()
            yield
        finally:
            self._release()

    def _acquire(self, timeout_seconds: float) -> None:
        if self.mine:
            raise RuntimeError("a write transaction cannot be begun inside another one")
        with self._guard:
            if self._owner is None:
                self._owner = -1  # taken, by whom is said at once
                return
            place = threading.Lock()
            place.acquire()
            self._waiting.append(place)
        called = False
        try:
            called = place.acquire(timeout=timeout_seconds)
        finally:
            if not called:  # time is up, or Ctrl-C
                self._leave(place)
        if not called:
            raise NotItsTurn

    def _leave(self, place: threading.Lock) -> None:
        with self._guard:
            if place in self._waiting:
                self._waiting.remove(place)
                return
        self._release()  # it was this one's turn at the very moment it went away

    def _release(self) -> None:
        with self._guard:
            if self._waiting:
                self._owner = -1
                self._waiting.popleft().release()
            else:
                self._owner = None
