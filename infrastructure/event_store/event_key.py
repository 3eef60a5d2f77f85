"""How an event is named wherever a place in the order of all events is kept."""

from typing import NamedTuple
from uuid import UUID


class EventKey(NamedTuple):
    """An event by its job and its version there."""

    job_id: UUID
    version: int
