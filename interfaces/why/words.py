"""Words that all that is said of a job shares."""

from datetime import datetime
from typing import Final

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.why.pace import Pace
from milepost.domain.why.seen import Failure, Lease, Seen, StepSeen
from milepost.interfaces.quantities import clean, duration, number, of_total

STEPS_NAMED: Final = 3
SHORTEST_SECONDS: Final = 0.001
LONGEST_MESSAGE: Final = 200  # of an error: the whole is in the history


def error_in_short(error: e.ErrorDetail) -> str:
    """ValueError: no such aircraft"""
    name, message = error.type.rpartition(".")[2], clean(error.message).strip()
    cut = message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + " …"
    return f"{name}: {cut}" if cut else name


def failure_text(failure: Failure, did: str = "") -> str:
    """step 2013-01-05, attempt 3, with ValueError: no such aircraft; `did`: what it did with that"""
    return f"step {clean(failure.name)}, attempt {failure.attempt},{did} with {error_in_short(failure.error)}"


def seconds_since(seen: Seen, at: datetime) -> float:
    return max(0.0, (seen.now - at).total_seconds())


def answered_ago(seen: Seen) -> str:
    """When its worker last gave a sign of life, as far as that is known."""
    if seen.lease is None or seen.lease.answered_at is None:
        return ""
    return f" answered {duration(seconds_since(seen, seen.lease.answered_at))} ago"


def steps_at_work(seen: Seen) -> str:
    """Some of them by name: 2013-01-05 at 40/900 flights and others"""
    return ", ".join(map(_place, seen.at_work[:STEPS_NAMED])) + (" and others" if seen.running > STEPS_NAMED else "")


def _place(step: StepSeen) -> str:
    if not step.done and step.total is None:
        return clean(step.name)
    return f"{clean(step.name)} at {of_total(step.done, step.total, step.unit)}"


def short(seconds: float) -> str:
    """0.04 s, else as durations are: what is usual may be very little."""
    return f"{seconds:.2g} s" if seconds < 1 else duration(seconds)


def times_usual(pace: Pace) -> str:
    """By how much the silence is longer than usual: 50 times"""
    return f"{number(round(pace.silent_seconds / max(pace.usual_seconds or 0.0, SHORTEST_SECONDS)))} times"


def retry_in(seen: Seen) -> str:
    """When the next attempt comes."""
    at = retry_at(seen)
    return f"in {duration((at - seen.now).total_seconds())}" if at is not None and at > seen.now else "at once"


def retry_at(seen: Seen) -> datetime | None:
    return min((each.retry_at for each in seen.failures if each.retry_at), default=None)


def newest(seen: Seen) -> RecordedEvent | None:
    """The last event about the whole job."""
    return next((each for each in reversed(seen.story) if not isinstance(each.event, e.StepEvent)), None)


def ago(seen: Seen, recorded: RecordedEvent | None) -> str:
    return f"{duration(seconds_since(seen, recorded.recorded_at))} ago" if recorded else "some time ago"


def given(recorded: RecordedEvent) -> str:
    """The reason, set off so that a sentence may go on behind it."""
    return f' ("{clean(recorded.origin.reason)}")' if recorded.origin.reason else ""


def count(amount: int, what: str) -> str:
    return f"{number(amount)} {what}" + ("" if amount == 1 else "s")


def lease_left(seen: Seen, lease: Lease) -> str:
    """How much longer its lease holds."""
    return duration(0.0 if lease.ends_at is None else max(0.0, (lease.ends_at - seen.now).total_seconds()))


def moment(at: datetime) -> str:
    """As it stands in documents."""
    return at.isoformat(timespec="microseconds")
