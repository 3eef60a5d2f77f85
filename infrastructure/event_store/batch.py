"""Events decided but not yet recorded: the fold runs ahead, and knows which rows it changed."""

from datetime import datetime

from milepost.domain.commands import JobCommand
from milepost.domain.decide import decide
from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.events import JobClaimed, JobEvent, StepsPlanned
from milepost.domain.job import Job, evolve
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.read_models import Row, job_row, step_row


class Batch:
    """What one transaction will append to one job's stream, and the rows that follow from it."""

    def __init__(self, job: Job, origin: Origin, surroundings: Surroundings) -> None:
        self.before = self.after = job
        self.recorded: list[RecordedEvent] = []
        self.resets_steps = False
        self._origin = origin
        self._surroundings = surroundings
        self._now: datetime = surroundings.now()
        self._touched: set[int] = set()
        self._status_rows: list[Row] = []

    def do(self, command: JobCommand) -> list[JobEvent]:
        """Decide on the job as it will be. Raises JobError, and then adds nothing."""
        events = decide(self.after, command)
        for event in events:
            self._add(event)
        return events

    def _add(self, event: JobEvent) -> None:
        before = self.after
        recorded = RecordedEvent(
            before.id,
            before.version + 1,
            self._surroundings.new_id(),
            self._now,
            self._origin,
            event,
        )
        self.after = evolve(before, recorded)
        self.recorded.append(recorded)
        step: int | None = getattr(event, "step", None)
        if step is not None:
            self._touched.add(step)
        elif isinstance(event, StepsPlanned):
            self._touched.update(range(event.first, event.first + len(event.steps)))
        elif isinstance(event, JobClaimed) and not before.planned:
            self.resets_steps = True
            self._touched.clear()
        elif self.after.steps is not before.steps:
            self._touched.update(index for index, step in self.after.steps.items() if step is not before.steps[index])
        if self.after.status is not before.status:
            self._status_rows.append(
                {
                    "job_id": str(before.id),
                    "version": recorded.version,
                    "status": str(self.after.status),
                    "occurred": self._now.isoformat(timespec="microseconds"),
                    "actor": self._origin.actor,
                    "source": self._origin.source,
                    "reason": self._origin.reason,
                }
            )

    def job_rows(self) -> list[Row]:
        return [job_row(self.after)]

    def step_rows(self) -> list[Row]:
        job_id, steps = str(self.after.id), self.after.steps
        return [step_row(job_id, steps[index]) for index in sorted(self._touched)]

    def status_rows(self) -> list[Row]:
        return self._status_rows
