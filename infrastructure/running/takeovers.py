"""How fast a worker takes over the jobs of workers that are gone: not all of them do it at once. See ADR/0014."""

from typing import Final

from milepost.infrastructure.clock import Surroundings

BURST: Final = 4  # so many one after the other,
PER_SECOND: Final = 2.0  # and then at this rate, or as fast as fills the worker within one lease
BEYOND_ROOM_SHARE: Final = 0.5  # of a lease: how long a worker with no slot left leaves it to one that has
DELAY_SHARE: Final = 0.5  # of the time between two heartbeats: how long a worker waits at most before a takeover


class Takeovers:
    """One worker's allowance. A job that was handed back, or that nobody had yet, needs none."""

    def __init__(
        self, surroundings: Surroundings, *, max_jobs: int, lease_seconds: float, heartbeat_seconds: float
    ) -> None:
        self._surroundings = surroundings
        self._per_second = max(PER_SECOND, max_jobs / lease_seconds)
        self._lease_seconds, self._heartbeat_seconds = lease_seconds, heartbeat_seconds
        self._left = float(BURST)
        self._counted_at: float | None = None
        self._beat_at: float | None = None
        self._not_before = float("-inf")
        self._delay = self._drawn()

    def beat(self, tick: float) -> None:
        """The worker has given a sign of life. Where that was as late as a whole lease, the others will be late for
        the same reason, a database that was away or a machine that slept, and get the time to give theirs."""
        late = self._beat_at is not None and tick >= self._beat_at + self._lease_seconds
        if self._beat_at is None or late:
            self._not_before = tick + self._drawn() + (self._heartbeat_seconds * DELAY_SHARE if late else 0.0)
        self._beat_at = tick

    def after(self, tick: float, *, beyond_room: bool = False) -> float | None:
        """For how long a lease must have run out before this worker takes the job over; None: no takeover now.

        `beyond_room`: it has no slot for the job.
        """
        self._refill(tick)
        if self._left < 1 or tick < self._not_before:
            return None
        return self._delay + (self._lease_seconds * BEYOND_ROOM_SHARE if beyond_room else 0.0)

    def count(self) -> None:
        """It took one over."""
        self._left -= 1
        self._delay = self._drawn()

    def _refill(self, tick: float) -> None:
        if self._counted_at is not None:
            self._left = min(float(BURST), self._left + max(0.0, tick - self._counted_at) * self._per_second)
        self._counted_at = tick

    def _drawn(self) -> float:
        return self._surroundings.chance() * self._heartbeat_seconds * DELAY_SHARE
