"""Everything that can happen to an observer or to one of its partitions: past tense, frozen, on disk for ever.

What it handled is no event: that is its position, which commits together with its effects. Names and fields are
stored; never edit one, add a field with a default.
"""

from datetime import datetime
from typing import ClassVar, Literal, get_args

from milepost.domain.events import ErrorDetail, Value

Held = Literal["catch-up", "replay", "beside"]  # how a job holds a whole observer


class _Happened(Value):
    topic: ClassVar[str]


class ObserverRegistered(_Happened):
    """It was seen for the first time; it has handled nothing."""

    topic: ClassVar[str] = "ObserverRegistered"


class ObserverPaused(_Happened):
    """An operator has it handle no live events until it is unpaused."""

    topic: ClassVar[str] = "ObserverPaused"


class ObserverUnpaused(_Happened):
    """It goes on where it was; a quarantine is over, too."""

    topic: ClassVar[str] = "ObserverUnpaused"


class ObserverQuarantined(_Happened):
    """It stands still for everybody until an operator acts: `why` says which limit was passed, or what went wrong."""

    topic: ClassVar[str] = "ObserverQuarantined"
    why: str


class ObserverTaken(_Happened):
    """A job has begun to work on it as a whole, up to the event at `to`. `generation`: that it writes."""

    topic: ClassVar[str] = "ObserverTaken"
    job: str
    held: Held
    generation: int
    to: int


class ObserverReleased(_Happened):
    """That job works on it no more. `completed`: it reached its end; `generation`: the one that is read from now on."""

    topic: ClassVar[str] = "ObserverReleased"
    job: str
    completed: bool
    generation: int


class PartitionFailed(_Happened):
    """Its event at `position` could not be handled at the `attempt`th try; its later events wait.

    `retry_at`: when it is tried again by itself; None: it is quarantined.
    """

    topic: ClassVar[str] = "PartitionFailed"
    partition: str
    generation: int
    position: int
    attempt: int
    error: ErrorDetail
    retry_at: datetime | None


class PartitionAdvanced(_Happened):
    """A job has handled what waited before the event at `position`, which is the next."""

    topic: ClassVar[str] = "PartitionAdvanced"
    partition: str
    generation: int
    job: str
    position: int


class PartitionRecovered(_Happened):
    """All that waited is handled: it goes on with the others. `job`: that did it."""

    topic: ClassVar[str] = "PartitionRecovered"
    partition: str
    generation: int
    job: str


class PartitionSkipped(_Happened):
    """An operator decided that the event at `position` is never handled. `then`: where the next one waits, if any."""

    topic: ClassVar[str] = "PartitionSkipped"
    partition: str
    generation: int
    position: int
    retry_at: datetime
    then: int | None = None


class PartitionRetryAsked(_Happened):
    """An operator wants it tried again now; its attempts count anew."""

    topic: ClassVar[str] = "PartitionRetryAsked"
    partition: str
    generation: int
    retry_at: datetime


class PartitionReplayBegan(_Happened):
    """It was set back to its beginning: `events` of it wait to be handled again."""

    topic: ClassVar[str] = "PartitionReplayBegan"
    partition: str
    generation: int
    job: str
    position: int
    events: int


PartitionEvent = (
    PartitionFailed
    | PartitionAdvanced
    | PartitionRecovered
    | PartitionSkipped
    | PartitionRetryAsked
    | PartitionReplayBegan
)
ObserverEvent = (
    ObserverRegistered
    | ObserverPaused
    | ObserverUnpaused
    | ObserverQuarantined
    | ObserverTaken
    | ObserverReleased
    | PartitionEvent
)
OBSERVER_EVENTS: dict[str, type[_Happened]] = {each.topic: each for each in get_args(ObserverEvent)}
