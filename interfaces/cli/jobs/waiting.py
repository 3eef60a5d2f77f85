"""Waiting for a job: looking at it again and again, as soon as anything was written."""

import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from milepost.interfaces.bootstrap import DatabaseUnavailable
from milepost.interfaces.cli.session import Session
from milepost.interfaces.client.errors import CannotConnect
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.service import AT_REST

T = TypeVar("T")

Unavailable = DatabaseUnavailable | CannotConnect
UNAVAILABLE: Final = (DatabaseUnavailable, CannotConnect)  # what does not answer now may do so later

LISTEN_SECONDS: Final = 0.02  # how often to look whether anybody has written
LOOK_SECONDS: Final = 1.0  # how often to look where nobody has: a lease runs out in silence
TROUBLE_SECONDS: Final = 0.2  # how long to leave a database alone that does not answer


def answered(
    session: Session,
    ask: Callable[[], T],
    told: Callable[[Unavailable], str],
    deadline: float = float("inf"),
) -> T:
    """What `ask` gives as soon as the database or the server answers; that it does not is `told` once.

    Raises DatabaseUnavailable or CannotConnect when the time is up and it still does not.
    """
    trouble = ""
    while True:
        try:
            return ask()
        except UNAVAILABLE as error:
            if time.monotonic() >= deadline:
                raise
            if str(error) != trouble:
                session.note(told(error))
            trouble = str(error)
            time.sleep(TROUBLE_SECONDS)


def looks(
    session: Session,
    read: Callable[[], T],
    seconds: float | None = None,
    *,
    look_seconds: float = LOOK_SECONDS,
    pause_seconds: float = 0.0,
) -> Iterator[T]:
    """What `read` gives now, and again after each change of the event store; ends when the time is up.

    Whoever waits outlives a database or a server that does not answer for a while, as workers do. Raises
    DatabaseUnavailable or CannotConnect only when the time is up and it still does not.
    `pause_seconds`: at least so long between two looks.
    """
    deadline = float("inf") if seconds is None else time.monotonic() + seconds

    def look() -> tuple[float, int, T]:
        return time.monotonic(), session.service.marker(), read()

    while True:
        looked, marker, found = answered(session, look, "{0} Trying again until it answers.".format, deadline)
        yield found
        time.sleep(pause_seconds)
        while time.monotonic() < min(deadline, looked + look_seconds) and not _changed(session, marker):
            time.sleep(LISTEN_SECONDS)
        if time.monotonic() >= deadline:
            return


def looks_at(
    session: Session, job_id: str, seconds: float | None = None, *, look_seconds: float = LOOK_SECONDS
) -> Iterator[JobDocument]:
    """The job as it is now, and again after each change; see `looks`."""
    return looks(session, lambda: session.service.job(job_id), seconds, look_seconds=look_seconds)


def at_rest(job: JobDocument) -> bool:
    """Whether nothing happens to it any more unless somebody asks."""
    return job.status in AT_REST


def _changed(session: Session, marker: int) -> bool:
    """Whether to look again: also where only a look can tell what is the matter."""
    try:
        return session.service.marker() != marker
    except UNAVAILABLE:
        return True
