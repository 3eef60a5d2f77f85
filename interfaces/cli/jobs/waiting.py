"""Waiting for a job: its row, again and again, as soon as anything was written."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from milepost.interfaces.error_mapping import OUTCOMES

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Application, Row

LISTEN_SECONDS: Final = 0.02  # how often to look whether anybody has written
LOOK_SECONDS: Final = 1.0  # how often to look where nobody has: a lease runs out in silence


def rows_of(
    app: "Application", job_id: str, seconds: float | None = None, *, look_seconds: float = LOOK_SECONDS
) -> "Iterator[Row]":
    """The job as it is now, and again after each change of the event store; ends when the time is up."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        marker, looked = app.database.change_marker(), time.monotonic()
        yield app.queries.job(app.namespace, job_id)
        while app.database.change_marker() == marker and time.monotonic() < looked + look_seconds:
            if deadline is not None and time.monotonic() >= deadline:
                return
            time.sleep(LISTEN_SECONDS)
        if deadline is not None and time.monotonic() >= deadline:
            return


def at_rest(row: "Row") -> bool:
    """Whether nothing happens to it any more unless somebody asks."""
    return row["status"] in OUTCOMES
