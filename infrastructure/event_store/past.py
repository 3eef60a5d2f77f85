"""Which moments of a job's past there are none of: what is asked for that never was is refused, and told apart."""

from datetime import datetime
from uuid import UUID


class VersionUnknown(Exception):
    """The job's history does not go as far."""

    def __init__(self, job_id: UUID, version: int, newest: int) -> None:
        self.job_id, self.version, self.newest = job_id, version, newest
        super().__init__(f"Job {job_id} has no version {version}: its newest is {newest}")


class NotBegun(Exception):
    """The job was not there yet."""

    def __init__(self, job_id: UUID, at: datetime, began: datetime) -> None:
        self.job_id, self.at, self.began = job_id, at, began
        super().__init__(f"Job {job_id} was not there at {_text(at)}: it was started at {_text(began)}")


class NotYet(Exception):
    """What will be, nobody can tell."""

    def __init__(self, at: datetime, now: datetime) -> None:
        self.at, self.now = at, now
        super().__init__(f"{_text(at)} is yet to come: it is {_text(now)} now")


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
