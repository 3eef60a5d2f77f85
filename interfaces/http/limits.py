"""How much one caller may ask for, so that nobody takes the server away from the others."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

KEPT: Final = 10_000  # callers that are remembered; whoever has not asked for long is forgotten first


@dataclass(frozen=True, slots=True)
class Limits:
    """In the long run; twice as many at once after a pause.

    `requests_per_second`: of one caller. `failures_per_second`: of one address, without a token that holds.
    """

    requests_per_second: float = 500.0
    failures_per_second: float = 20.0


class Buckets:
    """A bucket of permits for each caller, which fills as time goes by."""

    def __init__(self, per_second: float) -> None:
        self._per_second, self._most = per_second, 2 * per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def wait(self, caller: str, now: float) -> float:
        """Takes a permit: 0. Where none is left, the seconds until there is one."""
        left, at = self._left.get(caller, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._left[caller] = (left if wait else left - 1, now)
        self._left.move_to_end(caller)
        if len(self._left) > KEPT:
            self._left.popitem(last=False)
        return wait
