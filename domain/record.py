"""What a command does, with who, why and when around it: all that a program with its own storage needs to call."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from milepost.domain.commands import JobCommand
from milepost.domain.decide import decide
from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.job import Job, evolve


def record(
    job: Job,
    command: JobCommand,
    *,
    origin: Origin,
    at: datetime,
    new_id: Callable[[], UUID],
) -> tuple[Job, list[RecordedEvent]]:
    """The job after the command, and the events to append to its history. Raises JobError where it is refused.

    Append them only if the history still ends where `job` does, all or none: then nobody was faster.
    """
    recorded: list[RecordedEvent] = []
    for event in decide(job, command):
        recorded.append(RecordedEvent(job.id, job.version + 1, new_id(), at, origin, event))
        job = evolve(job, recorded[-1])
    return job, recorded
