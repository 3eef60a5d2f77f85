"""The only place that asks what time it is, and makes ids and chances."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Final, Protocol
from uuid import UUID, SafeUUID

_LOW_BITS: Final = (1 << 62) - 1
_new, _set = object.__new__, object.__setattr__


class Surroundings(Protocol):
    """What the runtime takes from outside, so that a simulation can give it."""

    def now(self) -> datetime:
        """The time, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds by a clock that nobody sets, for durations; on a machine that sleeps it may stand still."""
        ...

    def new_id(self) -> UUID:
        """A fresh UUIDv7 (RFC 9562 §5.7)."""
        ...

    def chance(self) -> float:
        """A number in [0, 1)."""
        ...


@dataclass
class RealSurroundings:
    """The machine's clock and randomness.

    `ahead`: seconds by which the clock that several machines share is ahead of this one's.
    """

    ahead: Callable[[], float] = lambda: 0.0
    random: Random = field(default_factory=lambda: Random(os.urandom(16)))
    _process: int = field(default_factory=os.getpid, init=False)

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.ahead(), UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def new_id(self) -> UUID:
        if self._process != os.getpid():  # a child of a fork must not make its parent's ids
            self._process = os.getpid()
            self.random.seed(os.urandom(16))
        return uuid7(int((time.time() + self.ahead()) * 1000), self.random.getrandbits(74))

    def chance(self) -> float:
        return self.random.random()


def uuid7(milliseconds: int, randomness: int) -> UUID:
    """UUIDv7 of a Unix time in milliseconds and 74 random bits (RFC 9562 §5.7)."""
    high, low = randomness >> 62, randomness & _LOW_BITS
    made = _new(UUID)  # its constructor would check what is known to be right, for half of the cost
    _set(made, "int", (milliseconds << 80) | (7 << 76) | (high << 64) | (2 << 62) | low)
    _set(made, "is_safe", SafeUUID.unknown)
    return made
