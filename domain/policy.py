"""When a failed step runs again, and when failed steps fail the job."""

from milepost.domain.events import Policy


def retry_in_seconds(policy: Policy, tries: int, chance: float) -> float | None:
    """Seconds until the next attempt after `tries` failed ones; None when that was the last.

    Exponential backoff with jitter: backoff × factor^(tries-1), at most the maximum, less a random
    share of at most `jitter` (`chance` in [0, 1)); "equal jitter" as AWS's Architecture Blog names it.
    """
    if tries >= policy.attempts:
        return None
    try:
        full = policy.backoff_seconds * policy.backoff_factor ** (tries - 1)
    except OverflowError:
        full = policy.backoff_max_seconds
    return min(full, policy.backoff_max_seconds) * (1 - policy.jitter * chance)


def failures_exceeded(policy: Policy, failed: int, total: int) -> bool:
    """Whether so many failed steps fail the job itself."""
    if failed == 0:
        return False
    if policy.on_failure == "halt":
        return True
    limit = policy.max_failures
    if limit is None:
        return False
    return failed / total > limit if 0 < limit < 1 else failed > limit
