"""Who, from where, why and when: what every recorded event carries around what happened."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from milepost.domain.events import JobEvent
from milepost.domain.value import value


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from: `actor` who, `source` through what, `reason` why, if one was given.

    `correlation_id`: the same for an operator's command and all that a worker does because of it.
    """

    actor: str
    source: str
    reason: str = ""
    correlation_id: str = ""


@value
class RecordedEvent:
    """An event as it stands in a job's stream at `version` (1, 2, 3 …), recorded at a UTC time."""

    job_id: UUID
    version: int
    event_id: UUID
    recorded_at: datetime
    origin: Origin
    event: JobEvent

    @property
    def originator_id(self) -> UUID:
        return self.job_id

    @property
    def originator_version(self) -> int:
        return self.version
