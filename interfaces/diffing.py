"""What changed in a job between two of its folds, and who brought it about."""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from milepost.infrastructure.event_store.read_models import job_row, status_row, step_row
from milepost.interfaces.diff_documents import (
    ActorShare,
    FieldChange,
    JobDiff,
    MomentDocument,
    StepChange,
    StepStand,
)
from milepost.interfaces.documents import to_json
from milepost.interfaces.job_documents import StatusChange
from milepost.interfaces.read_documents import job_document, status_change, step_document

if TYPE_CHECKING:
    from milepost.domain.envelope import RecordedEvent
    from milepost.domain.job import Job
    from milepost.domain.state_machine import JobStatus
    from milepost.domain.step import Step

REASONS_TOLD: Final = 10  # of one actor
_FACTS: Final = ("status", "worker", "ended", "error")
_OF_A_MOMENT: Final = frozenset(
    {"message", "itemsPerSecond", "stepsPerSecond", "etaSeconds"}
)  # they follow from the rest


class Deeds:
    """What happened, counted while it is folded; `status`: the job's before."""

    def __init__(self, status: "JobStatus | None") -> None:
        self.events = Counter[str]()
        self.status_changes: list[StatusChange] = []
        self._status = status
        self._shares = Counter[tuple[str, str]]()
        self._reasons: dict[tuple[str, str], dict[str, None]] = {}

    def note(self, recorded: "RecordedEvent", status: "JobStatus | None") -> None:
        """An event, and the job's status after it."""
        origin = recorded.origin
        who = (origin.actor, origin.source)
        self.events[type(recorded.event).__name__] += 1
        self._shares[who] += 1
        reasons = self._reasons.setdefault(who, {})
        if origin.reason and len(reasons) < REASONS_TOLD:
            reasons[origin.reason] = None
        if status is not self._status:
            self._status = status
            self.status_changes.append(status_change(status_row(recorded, status)))

    @property
    def actors(self) -> list[ActorShare]:
        """In the order in which they first acted."""
        return [ActorShare(*who, events, list(self._reasons[who])) for who, events in self._shares.items()]


def difference(
    before: "Job", began: datetime | None, after: "Job", ended: datetime, deeds: Deeds, limit: int
) -> JobDiff:
    """From one fold of a job to a later one of it, with at most `limit` of the steps that differ."""
    changed = [index for index in range(max(before.total, after.total)) if _differs(before, after, index)]
    some = after if after.started is not None else before
    return JobDiff(
        id=str(after.id),
        type=some.facts.job_type,
        before=_moment(before, began),
        after=_moment(after, ended),
        events=dict(deeds.events),
        actors=deeds.actors,
        status_changes=deeds.status_changes,
        changes=_changes(_fields(before, ended), _fields(after, ended)),
        steps=[_step_change(before, after, index) for index in changed[:limit]],
        hidden_steps=max(0, len(changed) - limit),
    )


def _moment(job: "Job", at: datetime | None) -> MomentDocument:
    status = None if job.status is None else str(job.status)
    return MomentDocument(job.version, None if at is None else at.isoformat(timespec="microseconds"), status)


def _differs(before: "Job", after: "Job", index: int) -> bool:
    one, other = before.steps.get(index), after.steps.get(index)
    return one is not other and one != other


def _fields(job: "Job", at: datetime) -> dict[str, Any]:
    """What may change of a job, under its names in the document."""
    if job.started is None:
        return {}
    document: dict[str, Any] = to_json(job_document(job_row(job), at))
    progress = {f"progress.{name}": value for name, value in document["progress"].items() if name not in _OF_A_MOMENT}
    return {name: document[name] for name in _FACTS} | progress


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[FieldChange]:
    """Before a job began there was nothing, so that a counter at nought is no change."""
    return [
        FieldChange(name, before.get(name), value)
        for name, value in after.items()
        if (before[name] != value if name in before else value)
    ]


def _step_change(before: "Job", after: "Job", index: int) -> StepChange:
    one, other = before.steps.get(index), after.steps.get(index)
    named = other or one
    assert named is not None
    return StepChange(index, named.name, _stand(before, one), _stand(after, other))


def _stand(job: "Job", step: "Step | None") -> StepStand | None:
    if step is None:
        return None
    document = step_document(step_row(str(job.id), step), job.facts.job_type)
    return StepStand(document.status, document.progress, document.attempts, document.checkpoint, document.error)
