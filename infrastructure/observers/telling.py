"""What the log says of partitions that fail: a line each, and not more than anybody would read."""

import logging
from collections.abc import Sequence
from typing import Final

from milepost.domain.events import ErrorDetail
from milepost.domain.observers.events import PartitionFailed

log = logging.getLogger("milepost.observers")

LINES_MOST: Final = 10  # of one batch
ERROR_MOST: Final = 200  # characters


def tell_failures(observer: str, events: Sequence[object], more: int = 0) -> None:
    """One line for each partition that failed; `more` of them are only counted."""
    for event in events:
        if isinstance(event, PartitionFailed):
            tell_failure(observer, event.partition, event.error)
    if more > 0:
        log.warning("observer %s: %d more partitions failed in the same batch", observer, more)


def tell_failure(observer: str, partition: str, error: ErrorDetail) -> None:
    said = " ".join(f"{error.type.rpartition('.')[2]}: {error.message}".split())
    short = said if len(said) <= ERROR_MOST else f"{said[:ERROR_MOST]}…"
    log.warning("observer %s: partition %s failed: %s", observer, partition, short)
