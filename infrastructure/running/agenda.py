"""Which steps of a job may start now: those that wait for nothing, in order, and those whose time to retry has come."""

import heapq

from milepost.domain.events import JobEvent, StepFailed, StepInterrupted
from milepost.domain.job import Job, Step
from milepost.domain.state_machine import StepStatus


class Agenda:
    """Built from a job once; then told of each event, so that the next step is found without looking at all.

    The history has the time of a retry by the wall clock, which may be set. So here a retry is waited for by the
    monotonic one (`tick`), and never longer than it was to wait when its step failed.
    """

    def __init__(self, job: Job, *, now: float, tick: float) -> None:
        self._ready: list[int] = []
        self._later: list[tuple[float, int]] = []
        for index in range(job.total):
            step = job.steps[index]
            if step.status is StepStatus.PENDING:
                self._ready.append(index)  # ascending, and so a heap
            elif step.status is StepStatus.WAITING:
                self._wait(job.steps[index], now, tick)

    def note(self, event: JobEvent, *, tick: float) -> None:
        """An event that sends a step back, to start again at once or later."""
        if isinstance(event, StepInterrupted):
            heapq.heappush(self._ready, event.step)
        elif isinstance(event, StepFailed) and event.retry_in_seconds is not None:
            heapq.heappush(self._later, (tick + event.retry_in_seconds, event.step))

    def next(self, tick: float) -> int | None:
        """Takes the step that is to start now, if there is one."""
        if self._later and self._later[0][0] <= tick:
            return heapq.heappop(self._later)[1]
        return heapq.heappop(self._ready) if self._ready else None

    def due(self, tick: float) -> int:
        """How many steps `next` would give, at least; none only if there is none."""
        return len(self._ready) + (1 if self._later and self._later[0][0] <= tick else 0)

    def _wait(self, step: Step, now: float, tick: float) -> None:
        if step.retry_at is None or step.ended_at is None:
            left = 0.0
        else:
            retry_at = step.retry_at.timestamp()
            left = min(retry_at - now, retry_at - step.ended_at.timestamp())
        heapq.heappush(self._later, (tick + left, step.index))
