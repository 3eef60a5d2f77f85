"""What a job that nobody works on waits for."""

from enum import StrEnum

from milepost.domain.value import value


class WaitsFor(StrEnum):
    """What a job that nobody works on waits for."""

    ANY_WORKER = "any worker"  # none is running
    ACCEPTANCE = "a worker that does not refuse it"
    TYPE = "a worker that knows its type"
    QUEUE = "a worker that takes its queue"
    ROOM = "room on a worker"
    LIMIT = "a worker, or fewer jobs of its type"
    WORKER = "a worker that takes it"
    TAKEOVER = "a worker that takes it over"
    JOB = "the end of another job"


@value
class Waits:
    """`text`: the same with the facts. `job`: the one whose end it waits for."""

    what: WaitsFor
    text: str
    job: str = ""
