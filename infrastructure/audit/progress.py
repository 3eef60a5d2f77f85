"""How far it is with histories that are read or written one after the other."""

from collections.abc import Callable
from typing import Final

AT_A_TIME: Final = 1_000  # events between two tellings


class Progress:
    """Counts the jobs that were done and the events that were met; `told` hears of both now and then."""

    def __init__(self, told: "Callable[[int, int], object] | None" = None) -> None:
        self._told = told
        self.jobs = self.events = 0

    def met(self, events: int = 1) -> None:
        before = self.events
        self.events += events
        if self._told is not None and before // AT_A_TIME < self.events // AT_A_TIME:
            self._told(self.jobs, self.events)

    def done(self) -> None:
        self.jobs += 1
