"""Histories told by several people, and what is seen of the job after them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from milepost.domain import events as e
from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.job import replay
from milepost.domain.state_machine import LIVE, StepStatus
from milepost.domain.why.seen import Failure, Lease, Seen, StepSeen
from tests.domain.givens import BEGINNING, JOB_ID

EVA: Final = ("eva@ops", "cli")
STEPS_TOLD: Final = 3
LOST_WITH_IT: Final = (e.StepInterrupted, e.StepFailed)
OF_STEPS: Final = (e.StepStarted, e.StepProgressed, e.StepSucceeded)
Told = tuple[float, str, e.JobEvent] | tuple[float, str, e.JobEvent, str]


def told(*happened: Told) -> tuple[RecordedEvent, ...]:
    """Each with the second it happened at, who did it, and perhaps why."""
    return tuple(
        _recorded(version, each[0], each[1], each[2], each[3] if len(each) == 4 else "")
        for version, each in enumerate(happened, start=1)
    )


def _recorded(version: int, second: float, actor: str, event: e.JobEvent, reason: str) -> RecordedEvent:
    origin = Origin(actor, "cli" if "@" in actor else "worker", reason)
    return RecordedEvent(JOB_ID, version, UUID(int=version), at(second), origin, event)


def at(second: float) -> datetime:
    return BEGINNING + timedelta(seconds=second)


def seen(history: Sequence[RecordedEvent], second: float, *, answered: float | None = None, **more: Any) -> Seen:
    """The job after that, looked at in that second. `answered`: when its worker did, if it lives."""
    job = replay(JOB_ID, history)
    whole = [each for each in history if not isinstance(each.event, OF_STEPS)]
    claimed = [each.recorded_at for each in history if isinstance(each.event, e.JobClaimed | e.JobStopped)]
    story = [each for each in whole if not isinstance(each.event, LOST_WITH_IT) or each.recorded_at in claimed]
    names = {index: step.name for index, step in job.steps.items()}
    running = [step for step in job.steps.values() if step.status is StepStatus.RUNNING]
    worker = Lease(job.worker or "", holds=True, answered_at=at(second if answered is None else answered))
    found = Seen(
        id=str(JOB_ID),
        type=job.facts.job_type,
        status=job.status,  # type: ignore[arg-type]  # it has begun
        version=job.version,
        now=at(second),
        story=tuple(each for each in story if not isinstance(each.event, e.StepsPlanned | e.JobPrepared)),
        total=job.total,
        succeeded=job.count(StepStatus.SUCCEEDED),
        failed=job.count(StepStatus.FAILED),
        running=len(running),
        waiting=job.count(StepStatus.WAITING),
        items=job.items,
        unit=job.unit,
        items_before=job.items_before,
        ended_before=job.ended_before,
        planned=job.planned,
        running_since=job.running_since,
        advanced_at=job.advanced_at,
        at_work=tuple(
            StepSeen(
                step.index,
                step.name,
                step.attempt,
                step.done,
                step.progress.total if step.progress else None,
                job.unit,
                step.started_at,
            )
            for step in running[:STEPS_TOLD]
        ),
        failures=failures(history),
        lease=worker if job.status in LIVE and job.worker else None,
        tail=tuple(each for each in history if isinstance(each.event, OF_STEPS)),
        names=names,
    )
    return replace(found, **more)


def failures(history: Sequence[RecordedEvent]) -> tuple[Failure, ...]:
    """Of the steps that have failed or wait for another attempt."""
    steps = replay(JOB_ID, history).steps
    found: list[Failure] = []
    for each in history:
        if isinstance(each.event, e.StepFailed):
            step, event = steps[each.event.step], each.event
            if step.status in (StepStatus.FAILED, StepStatus.WAITING) and step.attempt == event.attempt:
                when, who = each.recorded_at, each.origin.actor
                found.append(
                    Failure(step.index, step.name, event.attempt, event.error, when, each.version, who, step.retry_at)
                )
    return tuple(found)
