"""Any sequence of commands, reports, crashes and lost leases leaves a store whose rows are the fold of its events."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from milepost.domain.commands import (
    Advance,
    CancelJob,
    CompleteJob,
    FailJob,
    JobCommand,
    OperatorCommand,
    PlanSteps,
    PrepareJob,
    ReleaseJob,
    RemoveJob,
    ReportFailure,
    ReportProgress,
    ReportStop,
    ReportSuccess,
    ResumeJob,
    StartJob,
    StartStep,
    StopJob,
)
from milepost.domain.errors import JobError
from milepost.domain.events import ErrorDetail, PlannedStep, Policy, Progress
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.checkpoints import save_checkpoint
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.schema import leases
from milepost.infrastructure.event_store.store import ClaimOffer, JobStore, Situation, StreamMoved, Wanted
from tests.infrastructure.event_store.rows import folded, kept
from tests.infrastructure.event_store.scene import LEASE_SECONDS, OPERATOR, WORKER, Surroundings
from tests.length import FULL
from tests.postgres import fresh_url

OnFailure = Literal["continue", "halt"]
BOTH_WAYS: tuple[OnFailure, ...] = ("continue", "halt")
WORKERS = st.sampled_from(["w1", "w2", "w3"])
PLAN = tuple(PlannedStep(name=f"step-{n}", arguments={"n": n}) for n in range(3))
ERROR = ErrorDetail(type="E", message="m")
OFFERS = {"import": ClaimOffer(running=3), "export": ClaimOffer(running_per_key=1, has_cleanup=True)}


jobs_met: set[JobStatus | None] = set()  # in all runs of the machine
steps_met: set[StepStatus] = set()


def progress_of(done: int) -> Progress:
    return Progress(done=done, total=10, checkpoint={"row": done})


class StoreMachine(RuleBasedStateMachine):
    """Operators and three workers on one store. Each worker keeps the jobs it claimed, also when it lost them."""

    url = staticmethod(lambda: "sqlite://")

    @initialize()
    def open(self) -> None:
        self.surroundings = Surroundings()
        self.store = JobStore(open_database(self.url()), self.surroundings)
        self.ids: list[UUID] = []
        self.held: dict[str, dict[UUID, Job]] = {"w1": {}, "w2": {}, "w3": {}}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.database.close()

    # Operators

    @precondition(lambda self: len(self.ids) < 3)
    @rule(
        job_type=st.sampled_from(["import", "export"]),
        key=st.sampled_from([None, None, None, "k"]),
        limit_key=st.none() | st.just("l"),
        attempts=st.integers(1, 2),
        command_id=st.sampled_from([None, None, None, "c-1"]),
    )
    def start(
        self, job_type: str, key: str | None, limit_key: str | None, attempts: int, command_id: str | None
    ) -> None:
        policy = Policy(attempts=attempts, max_failures=1)
        command = StartJob("Default", job_type, {"a": 1}, key=key, limit_key=limit_key, policy=policy)
        try:
            job, new = self.store.start(command, OPERATOR, command_id)
        except JobError:
            return
        assert new == (job.id not in self.ids)
        if new:
            self.ids.append(job.id)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), kind=st.sampled_from([StopJob, ResumeJob, CancelJob]))
    def command(self, data: st.DataObject, kind: type[OperatorCommand]) -> None:
        self.ask(data.draw(st.sampled_from(self.ids)), kind)

    @precondition(lambda self: self.ids)
    @rule(
        data=st.data(),
        kind=st.sampled_from([StopJob, ResumeJob, CancelJob, RemoveJob]),
        command_id=st.sampled_from([None, "c-1", "c-2"]),
        dry_run=st.booleans(),
    )
    def command_carefully(
        self, data: st.DataObject, kind: type[OperatorCommand], command_id: str | None, dry_run: bool
    ) -> None:
        self.ask(data.draw(st.sampled_from(self.ids)), kind, command_id, dry_run)

    def ask(
        self, job_id: UUID, kind: type[OperatorCommand], command_id: str | None = None, dry_run: bool = False
    ) -> None:
        def make(situation: Situation) -> OperatorCommand:
            if kind is StopJob:
                return StopJob(situation.worker_alive, situation.reached)
            if kind is CancelJob:
                return CancelJob(situation.worker_alive, situation.reached)
            return ResumeJob() if kind is ResumeJob else RemoveJob()

        before = self.store.load(job_id)
        try:
            outcome = self.store.execute("Default", job_id, make, OPERATOR, command_id=command_id, dry_run=dry_run)
        except JobError:
            assert self.store.load(job_id) == before
        else:
            assert self.store.load(job_id) == (before if dry_run else outcome.job)
            meet(outcome.job)

    # Workers

    @rule(worker=WORKERS)
    def claim(self, worker: str) -> None:
        job = self.store.claim(Wanted(worker, OFFERS), LEASE_SECONDS, WORKER)
        if job is not None:
            self.held[worker][job.id] = job

    @rule(worker=WORKERS)
    def beat(self, worker: str) -> None:
        still = self.store.renew(worker, LEASE_SECONDS)
        assert still <= set(self.held[worker])
        for job_id in still:
            assert self.store.load(job_id).worker == worker

    @rule(worker=WORKERS)
    def crash(self, worker: str) -> None:
        """All that it had in memory is gone; its leases run out."""
        self.held[worker] = {}
        with self.store.database.write() as connection:
            gone = (self.surroundings.now() - timedelta(seconds=1)).timestamp()
            connection.execute(leases.update().where(leases.c.worker == worker).values(expires_at=gone, worker="dead"))

    @rule(seconds=st.sampled_from([1, 4, 11]))
    def time_passes(self, seconds: int) -> None:
        self.surroundings.wait(seconds)

    @precondition(lambda self: len(self.ids) < 3)
    @rule(
        worker=WORKERS,
        attempts=st.integers(1, 2),
        on_failure=st.sampled_from(BOTH_WAYS),
        before=st.integers(0, 12),
        asked=st.sampled_from([None, StopJob, CancelJob]),
        after=st.integers(0, 12),
    )
    def live(
        self,
        worker: str,
        attempts: int,
        on_failure: OnFailure,
        before: int,
        asked: type[OperatorCommand] | None,
        after: int,
    ) -> None:
        """A job that is run for a while, perhaps told to stop, and run on."""
        command = StartJob("Default", "import", {}, policy=Policy(attempts=attempts, on_failure=on_failure))
        job, _ = self.store.start(command, OPERATOR)
        self.ids.append(job.id)
        meet(job)
        self.rows_are_the_fold_and_so_is_what_is_loaded()
        claimed = self.store.claim(Wanted(worker, OFFERS, only=job.id), LEASE_SECONDS, WORKER)
        if claimed is not None:  # else the type is at its limit
            self.append(worker, claimed, [next_of] * before)
            if asked is not None:
                self.ask(job.id, asked)
            if job.id in self.held[worker]:
                self.append(worker, self.store.catch_up(self.held[worker][job.id]), [next_of] * after)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), much=st.integers(1, 12))
    def work_soundly(self, data: st.DataObject, much: int) -> None:
        """A worker does what comes next on a job that it holds, or believes that it holds."""
        worker, job = self.some_held(data)
        self.append(worker, job, [next_of] * much)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), much=st.integers(1, 4))
    def work_wildly(self, data: st.DataObject, much: int) -> None:
        """It says anything at all."""
        worker, job = self.some_held(data)
        self.append(worker, job, [lambda job: data.draw(self.commands(job))] * much)

    def some_held(self, data: st.DataObject) -> tuple[str, Job]:
        held = [(worker, job) for worker, jobs in self.held.items() for job in jobs.values()]
        return held[data.draw(st.integers(0, len(held) - 1))]

    def append(self, worker: str, job: Job, makers: list[Callable[[Job], JobCommand]]) -> None:
        batch, on_the_way = Batch(job, WORKER, self.surroundings), list[Job]()
        for make in makers:
            try:
                batch.do(make(batch.after))
            except JobError:
                continue
            on_the_way.append(batch.after)
        now = self.store.load(job.id)
        try:
            after = self.store.append(batch)
        except StreamMoved:
            assert now.version > job.version, "only a stale writer is refused"
            after = self.store.catch_up(job)
            assert after == now
        else:
            assert not batch.recorded or now == job, "a stale writer was let in"
            for each in on_the_way:
                meet(each)
        self.held[worker][job.id] = after
        if after.worker != worker:
            del self.held[worker][job.id]

    def commands(self, job: Job) -> st.SearchStrategy[JobCommand]:
        claim, total = job.claim, job.total
        whole: list[JobCommand] = [
            Advance(claim), CompleteJob(claim), ReleaseJob(claim), FailJob(claim, ERROR), PrepareJob(claim),
            PlanSteps(claim, total, PLAN[: 3 - total]),
        ]  # fmt: skip
        choices: list[st.SearchStrategy[JobCommand]] = [st.sampled_from(whole)]
        if total:
            choices.append(st.sampled_from(range(total)).flatmap(lambda step: self.reports(job, step)))
            choices.append(st.builds(StartStep, st.just(claim), st.sampled_from(range(total))))
        return st.one_of(choices)

    def reports(self, job: Job, step: int) -> st.SearchStrategy[JobCommand]:
        """Of the present attempt or of an earlier one, with or without progress."""
        claim, attempt, progress = (
            st.just(job.claim),
            st.integers(1, max(1, job.steps[step].attempt)),
            st.integers(0, 10),
        )
        some = st.none() | progress.map(progress_of)
        index, seconds = st.just(step), st.just(0.5)
        return st.one_of(
            st.builds(ReportProgress, claim, index, attempt, progress.map(progress_of)),
            st.builds(ReportSuccess, claim, index, attempt, seconds, some),
            st.builds(ReportFailure, claim, index, attempt, seconds, st.just(ERROR), st.just(0.0), some),
            st.builds(ReportStop, claim, index, attempt, seconds, some),
        )

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), done=st.integers(0, 10))
    def commit_checkpoint(self, data: st.DataObject, done: int) -> None:
        """A running step commits its progress in a transaction of its own."""
        job = self.store.load(data.draw(st.sampled_from(self.ids)))
        running = [step for step in range(job.total) if job.steps[step].status is StepStatus.RUNNING]
        if running:
            step = job.steps[data.draw(st.sampled_from(running))]
            with self.store.database.write() as connection:
                save_checkpoint(
                    connection, job.id, step.index, step.attempt, progress_of(done), schema=self.store.database.schema
                )

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def take_snapshot(self, data: st.DataObject) -> None:
        self.store.take_snapshot(self.store.load(data.draw(st.sampled_from(self.ids))))

    # What must hold after each of them

    @invariant()
    def rows_are_the_fold_and_so_is_what_is_loaded(self) -> None:
        if hasattr(self, "store"):
            rows, jobs = folded(self.store)
            assert kept(self.store) == rows
            check_counters(rows)
            assert set(jobs) == set(self.ids)
            assert self.store.versions(self.ids) == {job_id: job.version for job_id, job in jobs.items()}
            for job_id, job in jobs.items():
                assert self.store.load(job_id) == job
                meet(job)

    @invariant()
    def a_lease_is_of_the_worker_that_the_history_names(self) -> None:
        if hasattr(self, "store"):
            with self.store.database.read() as connection:
                rows = connection.exec_driver_sql("SELECT job_id, worker, claim FROM milepost_leases").all()
            for job_id, worker, claim in rows:
                job = self.store.load(UUID(job_id))
                assert job.claim == claim
                assert worker in (job.worker, "dead")


def check_counters(rows: dict[str, list[dict[str, Any]]]) -> None:
    for job in rows["milepost_jobs"]:
        of_job = [step["status"] for step in rows["milepost_steps"] if step["job_id"] == job["id"]]
        for status in StepStatus:
            assert job[status.lower()] == of_job.count(status.value)


def meet(job: Job) -> None:
    jobs_met.add(job.status)
    steps_met.update(step.status for step in job.steps.values())


def next_of(job: Job) -> JobCommand:
    """What a sound worker would do next."""
    if not job.planned and job.total == 0:
        return PlanSteps(job.claim, 0, PLAN)
    if not job.prepared and job.status is JobStatus.PREPARING:
        return PrepareJob(job.claim)
    ready = [step for step in job.steps.values() if step.status in (StepStatus.PENDING, StepStatus.WAITING)]
    if ready and job.status is JobStatus.RUNNING:
        return StartStep(job.claim, min(step.index for step in ready))
    for step in job.steps.values():
        if step.status is StepStatus.RUNNING:
            if job.status is JobStatus.STOPPING:
                return ReportStop(job.claim, step.index, step.attempt, 0.5)
            if step.index == step.attempt == 1:  # it fails at first
                return ReportFailure(job.claim, step.index, step.attempt, 0.5, ERROR)
            return ReportSuccess(job.claim, step.index, step.attempt, 0.5)
    return CompleteJob(job.claim) if job.status is JobStatus.RUNNING else Advance(job.claim)


class OnServer(StoreMachine):
    """The same on PostgreSQL."""

    url = staticmethod(fresh_url)


@pytest.mark.parametrize(
    ("machine", "examples"),
    [(StoreMachine, 50 if FULL else 25), (OnServer, 10 if FULL else 5)],
    ids=["memory", "server"],
)
def test_rows_are_the_fold_whatever_happens(machine: type[StoreMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, derandomize=True, database=None
        ),
    )


def test_rows_are_the_fold_in_every_status_of_a_job_and_of_a_step() -> None:
    jobs_met.clear()
    steps_met.clear()

    for attempts, on_failure, asked in product((1, 2), BOTH_WAYS, (None, StopJob, CancelJob)):
        for before in (0, 2, 5, 12):
            machine = StoreMachine()
            machine.open()
            machine.live("w1", attempts, on_failure, before, asked, after=12)
            machine.rows_are_the_fold_and_so_is_what_is_loaded()
            machine.ask(machine.ids[0], RemoveJob)
            machine.rows_are_the_fold_and_so_is_what_is_loaded()
            machine.teardown()

    assert jobs_met == set(JobStatus)
    assert steps_met == set(StepStatus)
