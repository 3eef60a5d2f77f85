"""Whether a job advances, in a line with its rates, or with the evidence that it does not."""

from typing import Final

from milepost.domain.why.pace import Pace, Verdict
from milepost.domain.why.seen import Seen
from milepost.interfaces.quantities import clean, duration, number
from milepost.interfaces.why.words import short
from milepost.interfaces.why_documents import WhyPace

SLOW: Final = 0.1  # in a second


def pace_line(seen: Seen, pace: Pace) -> WhyPace:
    """The verdict with the rates, or with the silence and what is usual."""
    return WhyPace(
        text=f"{_said(pace)}: {evidence}" if (evidence := _evidence(seen, pace)) else _said(pace),
        verdict=str(pace.verdict),
        unit=pace.unit,
        now=_rounded(pace.now),
        own=_rounded(pace.own),
        of_type=_rounded(pace.of_type),
        silent_seconds=round(pace.silent_seconds, 3),
        usual_seconds=_rounded(pace.usual_seconds),
        longest_seconds=_rounded(pace.longest_seconds),
    )


def _said(pace: Pace) -> str:
    match pace.verdict:
        case Verdict.ADVANCES:
            return "it advances"
        case Verdict.SLOWER:
            return "it advances, more slowly than before"
        case Verdict.STALLED:
            return "it has stalled"
        case Verdict.UNKNOWN if pace.longest_seconds is None:
            return "it has reported too little to say whether it advances"
        case Verdict.UNKNOWN:
            return "nobody can say yet whether it advances"


def _evidence(seen: Seen, pace: Pace) -> str:
    """A rate is none of what is silent."""
    silent = duration(pace.silent_seconds)
    goes_on = pace.verdict in (Verdict.ADVANCES, Verdict.SLOWER) or pace.longest_seconds is None
    if pace.usual_seconds is None or (goes_on and pace.verdict is not Verdict.STALLED):
        rates = ", ".join(_rates(seen, pace))
        return f"{rates}; last heard of {silent} ago" if rates else ""
    between = "for a step of its type" if pace.usual_of_type else "between two reports"
    longest = "" if pace.longest_seconds is None else f", the longest so far were {short(pace.longest_seconds)}"
    return f"nothing for {silent}; usual are {short(pace.usual_seconds)} {between}{longest}"


def _rates(seen: Seen, pace: Pace) -> list[str]:
    found = (
        (pace.now, "now"),
        (pace.own, "since its worker began"),
        (pace.of_type, f"usual for {clean(seen.type)}"),
    )
    return [f"{_often(rate, clean(pace.unit))} {when}" for rate, when in found if rate]


def _often(rate: float, unit: str) -> str:
    """834 flights/s, or 12 steps/h: what is slow does not come down to nothing."""
    return f"{number(float(f'{rate * 3600:.2g}'))} {unit}/h" if rate < SLOW else f"{number(round(rate, 2))} {unit}/s"


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 1) if rate >= 10 else float(f"{rate:.3g}")
