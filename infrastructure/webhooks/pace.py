"""How long a receiver may take, when it is tried again, and when it is given up."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from milepost.domain.events import Policy
from milepost.domain.policy import retry_in_seconds

ASKED_MOST: Final = 999_999_999.0  # seconds; a receiver may write any number


@dataclass(frozen=True, slots=True)
class Pace:
    """`hold_seconds`: the lease of the process that delivers, longer than a try takes."""

    connect_seconds: float = 5.0
    answer_seconds: float = 15.0  # for all of a try: name, connection, request, status
    hold_seconds: float = 30.0
    first_wait_seconds: float = 5.0
    longest_wait_seconds: float = 3600.0
    give_up_seconds: float = 3 * 86_400.0
    at_once: int = 8  # receivers that one process tells at the same time
    listen_seconds: float = 0.1
    leave_seconds: float = 2.0  # for tries that are under way when the process ends
    quiet_seconds: float = 1.0  # between two looks whether there is a webhook by now

    def wait_seconds(self, failures: int, chance: float, asked: float | None) -> float:
        """Until the next try, after so many in vain: what the receiver asked for (Retry-After), where that is longer.

        Exponential backoff, of which a random share of up to a half is taken off ("equal jitter", AWS Architecture
        Blog, "Exponential Backoff And Jitter"): 5 s, 10 s, 20 s … an hour.
        """
        policy = Policy(
            attempts=failures + 1,
            backoff_seconds=self.first_wait_seconds,
            backoff_max_seconds=self.longest_wait_seconds,
            jitter=0.5,
        )
        ours = retry_in_seconds(policy, failures, chance) or 0.0
        return min(max(ours, asked or 0.0), self.longest_wait_seconds)


def asked_to_wait(retry_after: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which names them or a date (RFC 9110 §10.2.3); None where it says neither."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after[:10]), ASKED_MOST)
    try:
        until = parsedate_to_datetime(retry_after)
        seconds = ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError, TypeError):  # whatever it says, it stops nobody
        return None
    return min(max(0.0, seconds), ASKED_MOST)
