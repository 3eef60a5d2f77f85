"""Until when a lease holds, by the clock of whoever asks."""

from typing import Any, Final

import sqlalchemy as sa

from milepost.infrastructure.event_store.schema import leases, observers, retention, webhooks, workers

CLOCKS_APART_SECONDS: Final = 5.0
FOR_EVER: Final = 1e12  # seconds

_GIVEN_AT: Final = leases.c.expires_at - leases.c.seconds

Moment = float | sa.BindParameter[Any]  # or what stands for it in a statement that is made once


def lease_holds(now: Moment, without_last: float = 0.0) -> sa.ColumnElement[bool]:
    """Not run out, and not given in the future: after a clock was set back it would hold for as long as that.

    `without_last`: a share of the lease that is taken as run out already.
    """
    ends_at = leases.c.expires_at - leases.c.seconds * without_last
    return sa.and_(ends_at > now, now + CLOCKS_APART_SECONDS >= _GIVEN_AT)


def overdue(now: Moment) -> sa.ColumnElement[float]:
    """For how many seconds a lease has run out; below 0 while it holds."""
    in_the_future = now + CLOCKS_APART_SECONDS < _GIVEN_AT
    return sa.case((in_the_future, FOR_EVER), else_=now - leases.c.expires_at)


def worker_lives(now: float) -> sa.ColumnElement[bool]:
    """The same for a worker's own sign of life."""
    return sa.and_(workers.c.expires_at > now, workers.c.beat_at <= now + CLOCKS_APART_SECONDS)


def webhook_held(now: float) -> sa.ColumnElement[bool]:
    """Whether a process delivers for it: the same again."""
    given_at = webhooks.c.expires_at - webhooks.c.seconds
    return sa.and_(webhooks.c.holder.is_not(None), webhooks.c.expires_at > now, given_at <= now + CLOCKS_APART_SECONDS)


def observer_run(now: float) -> sa.ColumnElement[bool]:
    """Whether a process runs an observer live: the same again."""
    given_at = observers.c.expires_at - observers.c.seconds
    return sa.and_(
        observers.c.holder.is_not(None), observers.c.expires_at > now, given_at <= now + CLOCKS_APART_SECONDS
    )


def rule_carried_out(now: float) -> sa.ColumnElement[bool]:
    """Whether a process carries out a rule of retention: the same again."""
    given_at = retention.c.expires_at - retention.c.seconds
    return sa.and_(
        retention.c.holder.is_not(None), retention.c.expires_at > now, given_at <= now + CLOCKS_APART_SECONDS
    )
