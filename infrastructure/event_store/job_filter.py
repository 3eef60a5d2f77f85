"""Which jobs are meant: the filter that lists, counts and commands take."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are meant; what is empty does not matter. `since` and `until` are of the creation.

    `live`: only those that are not at rest. `prefix`: how their ids begin.
    """

    statuses: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    live: bool = False
    prefix: str = ""


ALL_JOBS: Final = JobFilter()
