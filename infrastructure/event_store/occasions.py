"""What a webhook can be told of: the words that users choose by, and the events that they stand for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from milepost.domain import events as e
from milepost.domain.errors import JobError
from milepost.domain.state_machine import JobStatus


@dataclass(frozen=True, slots=True)
class Occasion:
    """An event, told apart by the `status` that it brought the job to where it may bring it to several."""

    event: type[e.DomainEvent]
    meaning: str
    status: JobStatus | None = None


OCCASIONS: Final[Mapping[str, Occasion]] = {
    "started": Occasion(e.JobStarted, "the job was accepted; it waits for a worker"),
    "running": Occasion(e.JobPrepared, "its steps are planned and run"),
    "stopped": Occasion(e.JobStopped, "it is at rest after a stop"),
    "resumed": Occasion(e.JobResumed, "somebody had it go on"),
    "completed": Occasion(e.JobCompleted, "all its steps succeeded", JobStatus.COMPLETED_SUCCESSFULLY),
    "completed-with-failures": Occasion(
        e.JobCompleted, "all its steps ended, at least one failed", JobStatus.COMPLETED_WITH_FAILURES
    ),
    "failed": Occasion(e.JobFailed, "the job itself could not go on"),
    "cancelled": Occasion(e.JobCancelled, "it was given up for good"),
    "removed": Occasion(e.JobRemoved, "it is gone from the lists"),
}
PING: Final = "ping"  # what `milepost webhooks test` sends


class UnknownOccasion(JobError):
    """A word that stands for no event."""

    def __init__(self, name: str) -> None:
        self.name, self.known = name, tuple(OCCASIONS)
        super().__init__(f"A webhook cannot be told of '{name}'.")


def refuse_unknown(names: Collection[str]) -> None:
    """Raises UnknownOccasion."""
    for name in names:
        if name not in OCCASIONS:
            raise UnknownOccasion(name)


def topics_of(names: Collection[str]) -> tuple[str, ...]:
    """The stored names of the events that these words stand for."""
    return tuple(sorted({OCCASIONS[name].event.topic for name in names}))


def occasion_of(topic: str, status: str, among: Collection[str]) -> str | None:
    """Which of these words an event stands for that brought its job to `status`; None: none of them."""
    for name in among:
        known = OCCASIONS[name]
        if known.event.topic == topic and known.status in (None, status):
            return name
    return None


def message_type(name: str) -> str:
    """As it stands in a message: `job.completed_with_failures`, in the letters that Standard Webhooks allows."""
    return name if name == PING else f"job.{name.replace('-', '_')}"
