"""Waiting for a job by looking again and again: how long until the next look."""

import time
from typing import Final

from milepost.interfaces.client.errors import CannotConnect, TimedOut
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.quantities import duration

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Patience:
    """Of one wait: it outlives a server that does not answer for a while."""

    def __init__(self, job_id: str, seconds: float | None) -> None:
        self._job_id, self._seconds = job_id, seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._pause = FIRST_PAUSE

    def after(self, seen: JobDocument | CannotConnect) -> float:
        """Seconds until the next look. Raises TimedOut, or the trouble itself, when the time is up."""
        left = LONGEST_PAUSE if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            if isinstance(seen, CannotConnect):
                raise seen
            waited = duration(self._seconds or 0)
            raise TimedOut(f"Job {self._job_id} is still {seen.status} after {waited}", seen.waiting or "")
        pause, self._pause = self._pause, min(LONGEST_PAUSE, 1.5 * self._pause)
        return min(pause, left)
