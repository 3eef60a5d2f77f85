"""Which steps of a job may start now: those that wait for nothing, in order, and those whose time to retry has come."""

import heapq

from milepost.domain.events import JobEvent, StepFailed, StepInterrupted
from milepost.domain.job import Job
from milepost.domain.state_machine import StepStatus


class Agenda:
    """Built from a job once; then told of each event, so that the next step is found without looking at all."""

    def __init__(self, job: Job) -> None:
        self._ready: list[int] = []
        self._later: list[tuple[float, int]] = []
        for index in range(job.total):
            step = job.steps[index]
            if step.status is StepStatus.PENDING:
                self._ready.append(index)  # ascending, and so a heap
            elif step.status is StepStatus.WAITING:
                self._wait(job, index)

    def note(self, event: JobEvent, job: Job) -> None:
        """An event that sends a step back, to start again at once or later; `job` is the job after it."""
        if isinstance(event, StepInterrupted):
            heapq.heappush(self._ready, event.step)
        elif isinstance(event, StepFailed) and event.retry_in_seconds is not None:
            self._wait(job, event.step)

    def next(self, now: float) -> int | None:
        """Takes the step that is to start now, if there is one."""
        if self._later and self._later[0][0] <= now:
            return heapq.heappop(self._later)[1]
        return heapq.heappop(self._ready) if self._ready else None

    def due(self, now: float) -> int:
        """How many steps `next` would give, at least; none only if there is none."""
        return len(self._ready) + (1 if self._later and self._later[0][0] <= now else 0)

    def _wait(self, job: Job, index: int) -> None:
        retry_at = job.steps[index].retry_at
        heapq.heappush(self._later, (retry_at.timestamp() if retry_at else 0.0, index))
