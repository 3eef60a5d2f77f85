"""Where a job waits for a worker: in a queue, which has a name, and before or behind others by its priority."""

import re
from typing import Final

from milepost.domain.errors import JobError

DEFAULT_QUEUE: Final = "default"
LOWEST_PRIORITY: Final = -1_000
HIGHEST_PRIORITY: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # no comma: that is what separates several


class QueueInvalid(JobError):
    """That cannot be the name of a queue."""

    def __init__(self, queue: object) -> None:
        self.queue = queue
        super().__init__(
            f"{queue!r} is no name for a queue: use letters, digits, dots, dashes and underscores, 100 at most."
        )


class PriorityInvalid(JobError):
    """A priority that is no whole number, or beyond the highest or the lowest."""

    def __init__(self, priority: object) -> None:
        self.priority = priority
        super().__init__(f"{priority!r} is no priority: use a whole number, {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}.")


def refuse_bad_queue(queue: object) -> None:
    """Raises QueueInvalid."""
    if not isinstance(queue, str) or not _NAME.fullmatch(queue):
        raise QueueInvalid(queue)


def refuse_bad_priority(priority: object) -> None:
    """Raises PriorityInvalid."""
    if (
        not isinstance(priority, int)
        or isinstance(priority, bool)
        or not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY
    ):
        raise PriorityInvalid(priority)
