"""Whether a running job advances: its rate now beside its own and its type's, and silence only with its evidence."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import Final

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus
from milepost.domain.value import value
from milepost.domain.why.seen import Seen

STALLED_TIMES: Final = 10  # as long as usual, and nothing came: then it is said to have stalled,
STALLED_SECONDS: Final = 10.0  # but not before that: reports come once a second at most, and commits take time
LONGER_THAN_EVER: Final = 2  # nor where it was silent for about as long before, and went on
GAPS_NEEDED: Final = 5  # between reports, to say what is usual
SLOW_SHARE: Final = 0.5
RECENT: Final = timedelta(seconds=30)
RECENT_REPORTS: Final = 20  # at least, where there are as many


class Verdict(StrEnum):
    ADVANCES = "advances"
    SLOWER = "slower"  # at less than half of what it, or its type, did before
    STALLED = "stalled"
    UNKNOWN = "unknown"  # too little was reported yet


@value
class Pace:
    """Rates are per second, of `unit`. `silent_seconds`: since it last got further; `usual_seconds`: between two
    reports. `usual_of_type`: it has reported too little itself, so that is how long its type takes for a step."""

    verdict: Verdict
    unit: str
    now: float | None
    own: float | None
    of_type: float | None
    silent_seconds: float
    usual_seconds: float | None
    longest_seconds: float | None
    usual_of_type: bool = False


@value
class _Advance:
    at: datetime
    step: int
    items: float
    ended: int


def pace(seen: Seen) -> Pace | None:
    """None where nothing can advance, or nobody knows: it does not run, or its worker is lost or silent."""
    began, lease = seen.running_since, seen.lease
    if seen.status is not JobStatus.RUNNING or began is None:
        return None
    if lease is None or not lease.holds or lease.overdue(seen.now):
        return None
    advances = _advances(seen, began)
    by_items = seen.items > seen.items_before
    own = _own(seen, began, by_items=by_items)
    now = _recent(advances, began, seen.now, by_items=by_items)
    of_type = _of_type(seen, by_items=by_items)
    moments = sorted({each.at for each in advances})
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    known = len(gaps) >= GAPS_NEEDED
    usual, longest = (median(gaps), max(gaps)) if known else (_step_of_type(seen), None)
    silent = _silent(seen, began)
    return Pace(
        _verdict(silent, usual, longest, now=now, before=[own, of_type], working=seen.running > 0, known=known),
        (seen.unit or "items") if by_items else "steps",
        now,
        own,
        of_type,
        silent,
        usual,
        longest,
        usual_of_type=not known and usual is not None,
    )


def _verdict(
    silent: float,
    usual: float | None,
    longest: float | None,
    *,
    now: float | None,
    before: Sequence[float | None],
    working: bool,
    known: bool,
) -> Verdict:
    long = silent >= STALLED_SECONDS and silent > LONGER_THAN_EVER * (longest or 0.0)
    if working and usual is not None and long and silent >= STALLED_TIMES * usual:
        return Verdict.STALLED
    if now is None or not known:
        return Verdict.ADVANCES if now else Verdict.UNKNOWN
    return Verdict.SLOWER if any(rate and now < SLOW_SHARE * rate for rate in before) else Verdict.ADVANCES


def _advances(seen: Seen, began: datetime) -> list[_Advance]:
    """What the newest reports added. Of a step that had begun before them, the first one adds nothing that is known."""
    reached: dict[int, float] = {}
    found: list[_Advance] = []
    for each in seen.tail:
        event = each.event
        if isinstance(event, e.StepStarted):
            if event.attempt == 1:
                reached[event.step] = 0.0
        elif isinstance(event, e.StepProgressed | e.StepSucceeded):
            done = event.progress.done if event.progress else reached.get(event.step, 0.0)
            added = done - reached.get(event.step, done)
            reached[event.step] = done
            if each.recorded_at >= began:
                found.append(_Advance(each.recorded_at, event.step, added, int(isinstance(event, e.StepSucceeded))))
    return found


def _recent(advances: Sequence[_Advance], began: datetime, now: datetime, *, by_items: bool) -> float | None:
    """Up to now, so that it falls while nothing comes."""
    young = sum(each.at >= now - RECENT for each in advances)
    first = max(0, len(advances) - max(young, RECENT_REPORTS))
    counted = advances[first:] if first else advances
    since = advances[first - 1].at if first else max(began, counted[0].at) if counted else began
    if not first:
        counted = counted[1:]  # its time begins with the first of them
    return _rate(sum(each.items if by_items else each.ended for each in counted), (now - since).total_seconds())


def _own(seen: Seen, began: datetime, *, by_items: bool) -> float | None:
    done = seen.items - seen.items_before if by_items else seen.ended - seen.ended_before
    return _rate(done, (seen.now - began).total_seconds())


def _of_type(seen: Seen, *, by_items: bool) -> float | None:
    rates = [each.items for each in seen.peers if each.unit == seen.unit] if by_items else [p.steps for p in seen.peers]
    rates = [rate for rate in rates if rate > 0]
    return median(rates) if rates else None


def _step_of_type(seen: Seen) -> float | None:
    rates = [each.steps for each in seen.peers if each.steps > 0]
    return 1 / median(rates) if rates else None


def _silent(seen: Seen, began: datetime) -> float:
    """A step that has just begun has nothing to tell yet."""
    begun = (each.started_at for each in seen.at_work)
    newest = max(filter(None, [began, seen.advanced_at, *begun]))
    return max(0.0, (seen.now - newest).total_seconds())


def _rate(done: float, seconds: float) -> float | None:
    return done / seconds if seconds > 0 and done > 0 else None
