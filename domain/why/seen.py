"""What must be known of a job to explain it: few of its events, where its steps stand, and who would work on it."""

from collections.abc import Mapping
from datetime import datetime

from immutables import Map

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.state_machine import JobStatus
from milepost.domain.value import value
from milepost.domain.why.waits import Waits


@value
class StepSeen:
    """Where a step stands."""

    index: int
    name: str
    attempt: int
    done: float = 0.0
    total: float | None = None
    unit: str = ""
    started_at: datetime | None = None


@value
class Failure:
    """A failed attempt. `version` and `worker`: where its event was found; `retry_at`: it is tried again then."""

    step: int
    name: str
    attempt: int
    error: e.ErrorDetail
    at: datetime
    version: int | None = None
    worker: str = ""
    retry_at: datetime | None = None


@value
class Lease:
    """Who has the job. `answered_at`: the worker's newest sign of life, as far as any is known."""

    worker: str
    holds: bool
    answered_at: datetime | None = None
    ends_at: datetime | None = None

    def overdue(self, now: datetime) -> bool:
        """Whether more than half of it has passed without a sign of life, where one comes in each third."""
        if self.answered_at is None or self.ends_at is None:
            return False
        return now - self.answered_at > (self.ends_at - self.answered_at) / 2


@value
class Rates:
    """How fast a job of the same type went, since its last worker began."""

    items: float
    steps: float
    unit: str = ""


@value
class Seen:
    """One job at one moment.

    `story`: its newest events about the whole job, oldest first, with the interruptions that belong to them.
    `tail`: its newest events about steps, oldest first. `peers`: jobs of its type that completed.
    `failures`: of steps that failed for good, or that wait for another attempt; oldest first.
    """

    id: str
    type: str
    status: JobStatus
    version: int
    now: datetime
    story: tuple[RecordedEvent, ...]
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    running: int = 0
    waiting: int = 0
    items: float = 0.0
    unit: str = ""
    items_before: float = 0.0
    ended_before: int = 0
    planned: bool = False
    running_since: datetime | None = None
    advanced_at: datetime | None = None
    queue: str = "default"
    at_work: tuple[StepSeen, ...] = ()
    failures: tuple[Failure, ...] = ()
    waits: Waits | None = None
    lease: Lease | None = None
    in_code: str = ""  # the method of its type that is under way, where no step is
    tail: tuple[RecordedEvent, ...] = ()
    peers: tuple[Rates, ...] = ()
    names: Mapping[int, str] = Map()  # of the steps that the events are about

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed

    def name_of(self, step: int) -> str:
        return self.names.get(step, f"number {step}")
