"""What must hold of every history and of what the lists show, whatever happened."""

from collections import Counter
from uuid import UUID

import sqlalchemy as sa

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.job import Job, evolve
from milepost.domain.state_machine import AT_REST, StepStatus
from milepost.infrastructure.event_store import schema
from milepost.infrastructure.event_store.read_models import job_row, step_values
from milepost.infrastructure.event_store.store import JobStore

OUTCOMES = (e.StepSucceeded, e.StepFailed, e.StepStopped, e.StepInterrupted)


def check_job(store: JobStore, job_id: UUID) -> Job:
    """The fold of the whole history, once everything that must hold of it was found to hold."""
    history = list(store.history(job_id))
    job = _check_history(job_id, history)
    assert store.load(job_id) == job, "a snapshot and its tail differ from the whole history"
    _check_counters(job)
    _check_rows(store, job, history)
    return job


def _check_history(job_id: UUID, history: list[RecordedEvent]) -> Job:
    job, writer = Job(job_id), ""
    outcomes: Counter[tuple[int, int]] = Counter()
    withdrawn: Counter[int] = Counter()
    for expected, recorded in enumerate(history, start=1):
        event = recorded.event
        assert recorded.version == expected, "the versions have a gap"
        if isinstance(event, e.JobClaimed):
            assert event.claim == job.claim + 1
            writer = event.worker
        elif recorded.origin.source == "worker" and recorded.version > 1 and not _before_a_claim(event):
            assert recorded.origin.actor == writer, "a worker wrote after another one had claimed the job"
        if isinstance(event, e.StepStarted):
            assert job.steps[event.step].status is not StepStatus.SUCCEEDED, "a succeeded step ran again"
            assert event.attempt == job.steps[event.step].attempt + 1
        if isinstance(event, OUTCOMES):
            outcomes[event.step, event.attempt] += 1
        was = job
        job = evolve(job, recorded)
        _check_that_losses_count(was, job, event)
        if isinstance(event, e.StepInterrupted) and event.cause == "it had come to rest, and goes on":
            withdrawn[event.step] += 1
        if job.status in AT_REST and was.status not in AT_REST:
            assert job.in_flight == 0, f"{job.status} while steps run"
        if was.status in AT_REST:
            assert isinstance(event, e.JobResumed | e.JobRemoved | e.JobCancelRequested), "it was at rest"
    assert not outcomes or max(outcomes.values()) == 1, "an attempt ended twice"
    resumed = sum(isinstance(recorded.event, e.JobResumed) for recorded in history)
    assert max(withdrawn.values(), default=0) <= resumed, "a step came to rest although no stop was withdrawn"
    return job


def _check_that_losses_count(was: Job, job: Job, event: e.JobEvent) -> None:
    """A step that fails or whose worker is lost again and again must come to an end."""
    if isinstance(event, e.StepFailed):
        assert job.steps[event.step].tries == was.steps[event.step].tries + 1, "a failure that used no try"
    if isinstance(event, e.StepInterrupted) and event.lease_lost:
        before, after = was.steps[event.step], job.steps[event.step]
        further = before.is_passed_by(event.progress)
        assert after.crashes == (0 if further else before.crashes + 1), "a lost worker that does not count"


def check_keys(store: JobStore) -> None:
    """Of the jobs that share a key, at most one is under way; a cleanup that no worker has taken up is not."""
    with store.database.read() as connection:
        found = connection.exec_driver_sql(
            "SELECT type, key, count(*) FROM milepost_jobs WHERE live AND key IS NOT NULL AND status <> 'Pending'"
            " AND (status <> 'Cancelling' OR worker IS NOT NULL)"
            " GROUP BY namespace, type, key HAVING count(*) > 1"
        ).all()
    assert not found, f"two jobs of one key are under way: {found}"


def _before_a_claim(event: e.JobEvent) -> bool:
    """Whether it may be the successor's word on the steps that the dead worker left."""
    return isinstance(event, e.StepInterrupted) or (isinstance(event, e.StepFailed) and event.error.type == "LeaseLost")


def _check_counters(job: Job) -> None:
    counted = Counter(step.status for step in job.steps.values())
    assert {status: job.count(status) for status in StepStatus} == {status: counted[status] for status in StepStatus}
    assert job.items == sum(step.done for step in job.steps.values())


def _check_rows(store: JobStore, job: Job, history: list[RecordedEvent]) -> None:
    mine = str(job.id)
    with store.database.read() as connection:
        row = connection.execute(sa.select(schema.jobs).where(schema.jobs.c.id == mine)).mappings().one()
        steps = connection.execute(
            sa.select(schema.steps).where(schema.steps.c.job_id == mine).order_by(schema.steps.c.step)
        ).all()
        changes = connection.execute(
            sa.select(schema.status_changes.c.version, schema.status_changes.c.status)
            .where(schema.status_changes.c.job_id == mine)
            .order_by(schema.status_changes.c.version)
        ).all()
    found, expected = dict(row), job_row(job)
    differ = {name: (value, expected[name]) for name, value in found.items() if value != expected[name]}
    assert not differ, f"job {job.id}: the row and the fold differ in {differ}"
    assert [tuple(step) for step in steps] == [step_values(mine, job.steps[index]) for index in sorted(job.steps)]
    assert [tuple(change) for change in changes] == _status_changes(job.id, history)


def _status_changes(job_id: UUID, history: list[RecordedEvent]) -> list[tuple[int, str]]:
    job, changes = Job(job_id), list[tuple[int, str]]()
    for recorded in history:
        was, job = job.status, evolve(job, recorded)
        if job.status is not was and job.status is not None:
            changes.append((recorded.version, job.status.value))
    return changes
