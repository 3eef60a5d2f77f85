"""Which steps of a folded job are shown: the same choice as the queries make from the rows of today."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from milepost.domain.state_machine import StepStatus

if TYPE_CHECKING:
    from milepost.domain.job import Job
    from milepost.domain.step import Step
    from milepost.interfaces.service import StepsAsked

_ENDED: Final = frozenset({StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.CANCELLED})
_UNDER_WAY: Final = frozenset({StepStatus.RUNNING, StepStatus.WAITING, StepStatus.STOPPED})


def chosen_steps(job: "Job", asked: "StepsAsked") -> "tuple[list[Step], bool]":
    """The steps in order, and whether more follow."""
    if not asked.limit:
        return [], False
    if asked.begun:
        return list(islice(_those(job, _has_begun), asked.limit)), False
    if asked.noteworthy and asked.after < 0 and not asked.statuses and job.total > asked.limit:
        first = sorted(_those(job, lambda _: True), key=_urgency)[: asked.limit]
        return sorted(first, key=lambda step: step.index), False

    def wanted(step: "Step") -> bool:
        return step.index > asked.after and (not asked.statuses or step.status in asked.statuses)

    found = list(islice(_those(job, wanted), asked.limit + 1))
    return found[: asked.limit], len(found) > asked.limit


def running_steps(job: "Job", limit: int) -> "list[Step]":
    return list(islice(_those(job, lambda step: step.status is StepStatus.RUNNING), limit))


def _those(job: "Job", wanted: "Callable[[Step], bool]") -> "Iterator[Step]":
    return (job.steps[index] for index in range(job.total) if wanted(job.steps[index]))


def _has_begun(step: "Step") -> bool:
    return step.attempt > 0 and step.status not in _ENDED


def _urgency(step: "Step") -> int:
    if step.status is StepStatus.FAILED:
        return 0
    if step.status in _UNDER_WAY:
        return 1
    if step.status is StepStatus.PENDING:
        return 1 if step.attempt > 0 else 2
    return 3
