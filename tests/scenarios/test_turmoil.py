"""Everything at once: operators who change their minds, and workers that are killed, ended, frozen and woken."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest

from milepost.domain import events as e
from milepost.domain.commands import OperatorCommand, ResumeJob, StopJob
from milepost.domain.envelope import Origin
from milepost.domain.errors import JobError
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.store import Situation
from tests.scenarios.workshop import (
    FULL,
    WorkerProcess,
    Workshop,
    assert_no_succeeded_step_ran_again,
    dice,
    eventually,
    of_kind,
    tell,
)

JOBS, STEPS, ITEMS, SECONDS = (10, 30, 5, 0.05) if FULL else (4, 8, 3, 0.02)
WORKERS = 3
ACTS = 120 if FULL else 20
OPERATOR = Origin("somebody@somewhere", "cli", "changed my mind")


@pytest.mark.parametrize("executor", ["threads", "processes"] if FULL else ["threads"])
def test_whatever_operators_and_crashes_do_every_job_can_be_finished_and_its_history_is_right(
    workshop: Workshop, executor: str
) -> None:
    jobs = {
        workshop.enqueue(job_type, steps=STEPS, items=ITEMS, seconds=SECONDS): job_type
        for job_type in ("noted", "ledger") * (JOBS // 2)
    }
    turmoil = Turmoil(workshop, executor, list(jobs), dice())
    for _ in range(ACTS):
        turmoil.act()
    turmoil.ends()
    eventually(turmoil.all_completed, "every job has completed")

    assert "Traceback" not in workshop.said
    for job_id, job_type in jobs.items():
        job, history = workshop.checked(job_id), workshop.history(job_id)
        assert job.status is JobStatus.COMPLETED_SUCCESSFULLY
        assert_no_succeeded_step_ran_again(history, workshop.notes(job_id))
        turmoil.told["takeovers"] += job.claim - 1
        turmoil.told["interrupted"] += len(of_kind(history, e.StepInterrupted))
        if job_type == "ledger":
            done = Counter((row.step, row.item) for row in workshop.ledger(job_id))
            assert done == {(step, item): 1 for step in range(STEPS) for item in range(1, ITEMS + 1)}
    tell(str(dict(turmoil.told)))


class Turmoil:
    """Three workers, and an operator who cannot leave things alone."""

    def __init__(self, workshop: Workshop, executor: str, jobs: list[UUID], dice: random.Random) -> None:
        self.told = Counter[str]()
        self._workshop = workshop
        self._options = ("--slots", "2", "--executor", executor)
        self._jobs = jobs
        self._dice = dice
        self._workers = list[WorkerProcess]()
        self._frozen = list[WorkerProcess]()
        self._fill_up()

    def act(self) -> None:
        """One thing, at any moment."""
        time.sleep(self._dice.uniform(0, 0.3))
        acts = (self.stop, self.stop, self.resume, self.resume, self.kill, self.end, self.freeze, self.wake)
        self._dice.choice(acts)()

    def stop(self) -> None:
        self._command(self._dice.choice(self._jobs), _stop)

    def resume(self) -> None:
        self._command(self._dice.choice(self._jobs), lambda _: ResumeJob())

    def kill(self) -> None:
        self._one_of(self._workers).kill()
        self._fill_up()
        self.told["killed"] += 1

    def end(self) -> None:
        self._one_of(self._workers).send(signal.SIGTERM)
        self._fill_up()
        self.told["ended"] += 1

    def freeze(self) -> None:
        worker = self._one_of(self._workers)
        worker.freeze()
        if self._workshop.is_locked():  # it would keep everybody waiting, as any program on SQLite does
            worker.wake()
            self._workers.append(worker)
        else:
            self._frozen.append(worker)
            self._fill_up()
            self.told["frozen"] += 1

    def wake(self) -> None:
        if self._frozen:
            worker = self._one_of(self._frozen)
            worker.wake()
            self._workers.append(worker)

    def ends(self) -> None:
        while self._frozen:
            self.wake()

    def all_completed(self) -> bool:
        """Whether all have; whoever is still stopped is resumed."""
        statuses = {job_id: self._workshop.row(job_id).status for job_id in self._jobs}
        for job_id, status in statuses.items():
            if status == "Stopped":
                self._command(job_id, lambda _: ResumeJob())
        return set(statuses.values()) == {"CompletedSuccessfully"}

    def _fill_up(self) -> None:
        while len(self._workers) < WORKERS:
            self._workers.append(self._workshop.worker(*self._options))

    def _one_of(self, workers: list[WorkerProcess]) -> WorkerProcess:
        return workers.pop(self._dice.randrange(len(workers)))

    def _command(self, job_id: UUID, make: Callable[[Situation], OperatorCommand]) -> None:
        try:
            outcome = self._workshop.store.execute("Default", job_id, make, OPERATOR)
        except JobError:
            self.told["refused"] += 1
        else:
            self.told["commands"] += outcome.changed


def _stop(situation: Situation) -> StopJob:
    return StopJob(worker_alive=situation.worker_alive, reached=situation.reached)
