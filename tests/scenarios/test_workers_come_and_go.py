"""Several workers on one file: killed, ended, frozen and woken; no job notices more than a takeover."""

import signal
import subprocess
from collections import Counter

import pytest
import sqlalchemy as sa

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.event_store import schema
from tests.scenarios.workshop import (
    FULL,
    WorkerProcess,
    Workshop,
    assert_no_succeeded_step_ran_again,
    claims,
    dice,
    eventually,
    of_kind,
    tell,
)

JOBS, STEPS, ITEMS = 24, 20, 3
KILLS = 25 if FULL else 5


@pytest.mark.parametrize("executor", ["threads", "processes"] if FULL else ["threads"])
def test_jobs_complete_while_their_workers_are_killed_at_random_and_nothing_is_counted_twice(
    workshop: Workshop, executor: str
) -> None:
    options = ("--slots", "2", "--executor", executor)
    random = dice()
    seconds = 0.1 if FULL else 0.02
    jobs = [workshop.enqueue("noted", steps=STEPS, items=ITEMS, seconds=seconds) for _ in range(JOBS)]
    workers = [workshop.worker(*options) for _ in range(4)]
    fallen = list[WorkerProcess]()
    for moment in sorted(random.sample(range(5, JOBS * STEPS * 4 // 5), KILLS)):
        until_succeeded(workshop, moment)
        victim = random.randrange(len(workers))
        workers[victim].kill()
        fallen.append(workers[victim])
        workers[victim] = workshop.worker(*options)
    for job_id in jobs:
        workshop.until_status(job_id, "CompletedSuccessfully")

    assert all(worker.runs for worker in workers)
    assert "Traceback" not in workshop.said
    takeovers = interrupted = 0
    for job_id in jobs:
        job, history = workshop.checked(job_id), workshop.history(job_id)
        assert job.status is JobStatus.COMPLETED_SUCCESSFULLY
        assert job.count(StepStatus.SUCCEEDED) == len(of_kind(history, e.StepSucceeded)) == STEPS
        assert_no_succeeded_step_ran_again(history, workshop.notes(job_id))
        takeovers += job.claim - 1
        interrupted += len(of_kind(history, e.StepInterrupted))
    assert takeovers > 0
    assert interrupted > 0
    tell(f"{len(fallen)} workers killed, {takeovers} takeovers, {interrupted} steps interrupted and run again")


def until_succeeded(workshop: Workshop, steps: int) -> None:
    def so_many() -> bool:
        with workshop.store.database.read() as connection:
            found: int = connection.scalars(sa.select(sa.func.sum(schema.jobs.c.succeeded))).one()
            return found >= steps

    eventually(so_many, f"{steps} steps have succeeded")


def test_a_worker_told_to_end_hands_back_its_job_and_another_goes_on_from_the_checkpoints(workshop: Workshop) -> None:
    workshop.hold()
    job_id = workshop.note_down("noted", steps=4, items=30, seconds=0.02)
    first = workshop.worker("--slots", "2")
    workshop.until(job_id, lambda row: row.items > 0, "a step has reported")

    first.send(signal.SIGTERM)

    assert first.ended() == 0
    job, history = workshop.checked(job_id), workshop.history(job_id)
    assert job.status is JobStatus.PENDING
    assert job.worker is None
    assert isinstance(history[-1].event, e.JobReleased)
    assert "ended" in first.says

    workshop.let_go()
    workshop.worker("--slots", "2")
    workshop.until_status(job_id, "CompletedSuccessfully")
    workshop.checked(job_id)
    assert claims(workshop.history(job_id)) == [1, 2]
    items = Counter((note.step, note.what) for note in workshop.notes() if note.what.isdigit())
    assert items == {(step, str(item)): 1 for step in range(4) for item in range(1, 31)}, "from the checkpoints"


def test_a_worker_frozen_past_its_lease_writes_nothing_when_it_wakes_and_then_takes_new_work(
    workshop: Workshop,
) -> None:
    workshop.hold()
    job_id = workshop.note_down("ledger", steps=4, items=25, seconds=0.02)
    frozen = workshop.worker("--slots", "2")
    workshop.until(job_id, lambda row: row.items > 0, "a step has reported")
    workshop.freeze(frozen)

    successor = workshop.worker("--slots", "2")
    workshop.until(job_id, lambda row: str(row.worker).split(":")[-2] == str(successor.pid), "taken over")
    frozen.wake()

    eventually(lambda: "lost" in frozen.says, "it has noticed")
    workshop.let_go()
    workshop.until_status(job_id, "CompletedSuccessfully")
    workshop.checked(job_id)  # no event of it follows the claim of the other
    history = workshop.history(job_id)
    assert claims(history) == [1, 2]
    taken_over_at = of_kind(history, e.JobClaimed)[1].version
    assert not [recorded for recorded in history if recorded.version > taken_over_at and frozen.wrote(recorded)]
    rows = workshop.ledger(job_id)
    assert Counter((row.step, row.item) for row in rows) == {(s, i): 1 for s in range(4) for i in range(1, 26)}
    last_of_it = max(at for at, row in enumerate(rows) if row.pid == frozen.pid)
    first_of_other = min(at for at, row in enumerate(rows) if row.pid == successor.pid)
    assert last_of_it < first_of_other, "a transaction of the old worker's came through"

    successor.send(signal.SIGTERM)
    assert successor.ended() == 0
    another = workshop.note_down("noted", steps=2, items=2)
    workshop.until_status(another, "CompletedSuccessfully")
    assert {note.pid for note in workshop.notes(another)} == {frozen.pid}


def test_the_step_processes_of_a_killed_worker_end_with_it(workshop: Workshop) -> None:
    workshop.hold()
    job_id = workshop.note_down("noted", steps=3, items=5, seconds=0.02)
    worker = workshop.worker("--slots", "2", "--executor", "processes")
    workshop.until(job_id, lambda row: row.items > 0, "a step has reported")
    of_steps = {note.pid for note in workshop.notes()}
    assert worker.pid not in of_steps

    worker.kill()

    eventually(lambda: not any(runs(pid) for pid in of_steps), "its step processes are gone")
    workshop.let_go()
    workshop.worker("--slots", "2", "--executor", "processes")
    workshop.until_status(job_id, "CompletedSuccessfully")
    workshop.checked(job_id)
    assert_no_succeeded_step_ran_again(workshop.history(job_id), workshop.notes())


def runs(pid: int) -> bool:
    """Whether there is such a process, other than one that has ended and was not asked for its exit code yet."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")
