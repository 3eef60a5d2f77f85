"""When a failed partition is tried again by itself, and when so many have failed that the observer stands still."""

from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from milepost.domain.events import LONGEST_WAIT_SECONDS, Value

LONGEST_EXPONENT: Final = 64  # beyond it any backoff is at its most


class PartitionPolicy(Value):
    """How an observer deals with failing partitions.

    attempts: tries of one event until its partition is quarantined; the wait between two is backoff_seconds × 2ⁿ,
    at most backoff_max_seconds. max_failed and max_failed_share (0 < x <= 1, of the partitions that were met): with
    more failed partitions than that the whole observer is quarantined (None: never).
    """

    attempts: int = Field(default=10, ge=1)
    backoff_seconds: float = Field(default=1.0, ge=0)
    backoff_max_seconds: float = Field(default=600.0, ge=0, le=LONGEST_WAIT_SECONDS)
    max_failed: int | None = Field(default=None, ge=0)
    max_failed_share: float | None = Field(default=None, gt=0, le=1)


def retry_at(policy: PartitionPolicy, attempt: int, now: datetime) -> datetime | None:
    """When it is tried again after its `attempt`th failure (1, 2 …); None when that was the last."""
    if attempt >= policy.attempts:
        return None
    wait = policy.backoff_seconds * 2.0 ** min(attempt - 1, LONGEST_EXPONENT)
    return now + timedelta(seconds=min(wait, policy.backoff_max_seconds))


def too_many_failed(policy: PartitionPolicy, failed: int, partitions: int) -> str | None:
    """Which limit is passed, in words; None while none is."""
    if policy.max_failed is not None and failed > policy.max_failed:
        return f"{failed} partitions have failed, and at most {policy.max_failed} may"
    share = policy.max_failed_share
    if share is not None and partitions and failed / partitions > share:
        return f"{failed} of {partitions} partitions have failed, and at most {share:.0%} may"
    return None
