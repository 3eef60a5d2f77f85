"""How many events the next batch may have: as many as the last ones were handled in half a second.

A batch is a transaction. On SQLite nobody else writes meanwhile, and everywhere operators and replays wait for its end.
"""

from typing import Final

AIM_SECONDS: Final = 0.5
FIRST_EVENTS: Final = 50  # nobody knows yet how slow the handler is
GROWTH: Final = 4  # at most: a batch of a few events says little about one of many


class Pace:
    """The size of the next batch, between 1 and `most`."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self.events = min(FIRST_EVENTS, self._most)

    def took(self, events: int, seconds: float) -> None:
        """A batch of so many events has taken so long. One that was not full does not show how much could be done."""
        fits = self._most if seconds <= 0 else AIM_SECONDS * events / seconds
        grown = max(self.events, events * GROWTH)
        self.events = max(1, int(min(fits, grown, self._most)))
