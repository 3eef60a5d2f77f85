"""When each step of a job ran, on which worker and how it ended: a picture of bounded size, whatever ran."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from milepost.domain import events as e
from milepost.interfaces.documents import Document

if TYPE_CHECKING:
    from milepost.infrastructure.event_store.runs import TurningPoint

MOST_ROWS: Final = 200
SLOTS: Final = 150  # of time: attempts of a row of many steps that are nearer to each other are shown as one
MOST_RUNS_OF_A_STEP: Final = 50
MOST_MARKS: Final = 100
WORKERS_NAMED: Final = 3

_OUTCOMES: Final[Mapping[type[e.DomainEvent], str]] = {
    e.StepSucceeded: "succeeded",
    e.StepFailed: "failed",
    e.StepStopped: "stopped",
    e.StepInterrupted: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Run(Document):
    """One attempt of a step; in a row of many steps, those of their attempts that lie together."""

    begin: str
    end: str | None
    """null where one of them still runs."""
    attempts: int
    succeeded: int
    failed: int
    stopped: int
    interrupted: int
    running: int
    highest_attempt: int
    workers: list[str]
    """At most three of them."""


@dataclass(frozen=True, slots=True)
class TimelineRow(Document):
    """One step, or several that follow one another."""

    first: int
    last: int
    name: str
    """Of the first."""
    runs: list[Run]


@dataclass(frozen=True, slots=True)
class Mark(Document):
    """Something that happened to the job as a whole."""

    at: str
    event: str
    version: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class TimelineDocument(Document):
    """When the steps from `first` to `last` ran."""

    id: str
    version: int
    status: str
    begin: str
    """When its first step began, or where none has, when the job was started."""
    end: str
    """When its last step came to rest; where one runs, when the newest thing happened that is known."""
    total_steps: int
    first: int
    last: int
    """-1 where there are no steps yet."""
    begun: int
    """How many of these steps have begun at least once."""
    steps_per_row: int
    rows: list[TimelineRow]
    """Those in which a step has begun."""
    marks: list[Mark]
    """The newest ones, oldest first."""
    marks_left_out: int


@dataclass(slots=True)
class Attempt:
    """One attempt of one step."""

    step: int
    number: int
    worker: str
    begin: datetime
    end: datetime | None = None
    outcome: str = "running"


@dataclass(slots=True)
class Attempts:
    """All attempts of a job's steps, in the order in which they began, and what happened to the job itself."""

    all: list[Attempt] = field(default_factory=list[Attempt])
    marks: list[Mark] = field(default_factory=list[Mark])
    running: dict[int, Attempt] = field(default_factory=dict[int, Attempt])
    version: int = 0
    oldest: str = ""
    newest: str = ""

    def add(self, events: "Iterable[TurningPoint]") -> None:
        """What happened behind `version`."""
        for each in events:
            at = _text(each.at)
            self.version, self.oldest, self.newest = each.version, self.oldest or at, at
            if each.event is e.StepStarted:
                begun = self.running[each.step] = Attempt(each.step, each.attempt, each.actor, each.at)
                self.all.append(begun)
            elif each.event in _OUTCOMES:
                if (attempt := self.running.pop(each.step, None)) is not None:
                    attempt.end, attempt.outcome = each.at, _OUTCOMES[each.event]
            else:
                self.marks.append(Mark(at, each.event.__name__, each.version, each.actor, each.reason))


def chosen_rows(first: int, last: int) -> int:
    """How many steps make a row, so that there are not too many rows."""
    return max(1, -(-(last - first + 1) // MOST_ROWS))


def timeline(
    found: Attempts,
    *,
    job_id: str,
    version: int,
    status: str,
    total: int,
    first: int,
    last: int,
    names: Mapping[int, str],
    advanced_at: str | None,
) -> TimelineDocument:
    """The picture of these steps. `names`: of the first step of each row; `advanced_at`: when one last got further."""
    size = chosen_rows(first, last)
    meant = [each for each in found.all if first <= each.step <= last]
    by_row: dict[int, list[Attempt]] = {}
    for each in meant:
        by_row.setdefault((each.step - first) // size, []).append(each)
    begin = min((each.begin for each in meant), default=None)
    newest = max((datetime.fromisoformat(at) for at in (advanced_at, found.newest) if at), default=None)
    until = max((end for each in meant if (end := each.end or newest)), default=None)
    slot = (until - begin) / SLOTS if begin and until else timedelta()
    return TimelineDocument(
        id=job_id,
        version=version,
        status=status,
        begin=_text(begin) if begin else found.oldest,
        end=_text(until) if until else found.newest,
        total_steps=total,
        first=first,
        last=last,
        begun=len({each.step for each in meant}),
        steps_per_row=size,
        rows=[_row(first + row * size, last, size, by_row[row], names, slot) for row in sorted(by_row)],
        marks=found.marks[-MOST_MARKS:],
        marks_left_out=max(0, len(found.marks) - MOST_MARKS),
    )


def _row(
    first: int, last: int, size: int, attempts: Sequence[Attempt], names: Mapping[int, str], slot: timedelta
) -> TimelineRow:
    apart = size == 1 and len(attempts) <= MOST_RUNS_OF_A_STEP
    groups: list[list[Attempt]] = []
    reach: datetime | None = None  # where the last group ends; None: it has not ended
    for each in attempts:
        together = bool(groups) and not apart and (reach is None or each.begin - reach < slot)
        if together:
            groups[-1].append(each)
            reach = None if reach is None or each.end is None else max(reach, each.end)
        else:
            groups.append([each])
            reach = each.end
    return TimelineRow(
        first=first,
        last=min(first + size - 1, last),
        name=names.get(first, ""),
        runs=[_run(group) for group in groups],
    )


def _run(group: Sequence[Attempt]) -> Run:
    ends = [each.end for each in group if each.end is not None]
    outcomes = [each.outcome for each in group]
    return Run(
        begin=_text(min(each.begin for each in group)),
        end=_text(max(ends)) if len(ends) == len(group) else None,
        attempts=len(group),
        succeeded=outcomes.count("succeeded"),
        failed=outcomes.count("failed"),
        stopped=outcomes.count("stopped"),
        interrupted=outcomes.count("interrupted"),
        running=outcomes.count("running"),
        highest_attempt=max(each.number for each in group),
        workers=sorted({each.worker for each in group})[:WORKERS_NAMED],
    )


@lru_cache(maxsize=64)  # the events of one commit share theirs
def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
