"""Until when a lease holds, by the clock of whoever asks."""

from typing import Final

import sqlalchemy as sa

from milepost.infrastructure.event_store.schema import leases, workers

CLOCKS_APART_SECONDS: Final = 5.0


def lease_holds(now: float) -> sa.ColumnElement[bool]:
    """Not run out, and not given in the future: after a clock was set back it would hold for as long as that."""
    given_at = leases.c.expires_at - leases.c.seconds
    return sa.and_(leases.c.expires_at > now, given_at <= now + CLOCKS_APART_SECONDS)


def worker_lives(now: float) -> sa.ColumnElement[bool]:
    """The same for a worker's own sign of life."""
    return sa.and_(workers.c.expires_at > now, workers.c.beat_at <= now + CLOCKS_APART_SECONDS)
