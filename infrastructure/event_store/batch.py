"""Events decided but not yet recorded: the fold runs ahead, and knows which rows it changed."""

from dataclasses import replace

from milepost.domain.commands import JobCommand
from milepost.domain.decide import decide
from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.events import JobClaimed, JobEvent, StepsPlanned
from milepost.domain.job import Job, evolve
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.read_models import (
    Row,
    Values,
    job_row,
    status_row,
    step_changes,
    step_values,
)


class Batch:
    """What one transaction will append to one job's stream, and the rows that follow from it."""

    def __init__(self, job: Job, origin: Origin, surroundings: Surroundings) -> None:
        self.before = self.after = job
        self.recorded: list[RecordedEvent] = []
        self.resets_steps = False  # the rows of an unfinished plan go before those of the new one come
        # What a worker does, it does because of what an operator said last.
        self._origin = origin if origin.correlation_id else replace(origin, correlation_id=job.correlation_id)
        self._new_id = surroundings.new_id
        self._now = surroundings.now()
        self._planned: set[int] = set()
        self._touched: set[int] = set()
        self._status_rows: list[Row] = []

    def do(self, command: JobCommand) -> list[JobEvent]:
        """Decide on the job as it will be. Raises JobError, and then adds nothing."""
        events = decide(self.after, command)
        for event in events:
            job = self.after
            self.take(RecordedEvent(job.id, job.version + 1, self._new_id(), self._now, self._origin, event))
        return events

    def take(self, recorded: RecordedEvent) -> None:
        """Add what has happened already, elsewhere. Raises JobError where it cannot have, and then adds nothing."""
        before, event = self.after, recorded.event
        after = self.after = evolve(before, recorded)
        self.recorded.append(recorded)
        step: int | None = getattr(event, "step", None)
        if step is not None:
            self._touched.add(step)
        elif after.steps is not before.steps:
            self._touch_many(event, before, after)
        if after.status is not before.status:
            self._status_rows.append(status_row(recorded, after.status))

    def _touch_many(self, event: JobEvent, before: Job, after: Job) -> None:
        if isinstance(event, StepsPlanned):
            self._planned.update(range(event.first, event.first + len(event.steps)))
        elif isinstance(event, JobClaimed):
            self.resets_steps = True
            self._planned.clear()
            self._touched.clear()
        else:
            self._touched.update(index for index, step in after.steps.items() if step is not before.steps[index])

    def job_row(self) -> Row:
        return job_row(self.after)

    def planned_steps(self) -> list[Values]:
        """Rows for steps that have none yet."""
        job_id, steps = str(self.after.id), self.after.steps
        return [step_values(job_id, steps[index]) for index in sorted(self._planned)]

    def changed_steps(self) -> list[Values]:
        """Changes of rows that are there."""
        job_id, steps = str(self.after.id), self.after.steps
        return [step_changes(job_id, steps[index]) for index in sorted(self._touched - self._planned)]

    def status_rows(self) -> list[Row]:
        return self._status_rows
