"""One seed's world: two workers, an operator, a database that falters, and a scheduler that decides who goes on."""

from collections import Counter
from collections.abc import Callable
from random import Random
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.commands import CancelJob, OperatorCommand, RemoveJob, ResumeJob, StopJob
from milepost.domain.envelope import Origin
from milepost.domain.errors import JobError
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.schema import refusals
from milepost.infrastructure.event_store.store import JobStore, Situation, StreamMoved
from milepost.infrastructure.job_types.registry import JobTypes, RequestInvalid
from milepost.infrastructure.running.perform import Environment
from milepost.infrastructure.running.worker import Worker
from tests.simulation.invariants import check_job, check_keys
from tests.simulation.stage import FaultyDatabase, SimulatedExecutor, SimulatedSurroundings
from tests.simulation.work import Disk, Ledger, effects, types_for

OPERATOR = Origin(actor="operator", source="test")
ROUNDS = 220
ROUNDS_TO_REST = 2_000
STARVED_ROUNDS = 600  # a minute


class World:
    """Everything that happens in it follows from its seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.surroundings = SimulatedSurroundings(self.random)
        self.database = FaultyDatabase()
        self.store = JobStore(self.database, self.surroundings)
        self.ledger = Ledger()
        self.job_types = JobTypes(types_for(self.ledger))
        self.jobs: list[UUID] = []
        self.workers: list[tuple[Worker, SimulatedExecutor]] = []
        self.crashed: list[SimulatedExecutor] = []
        self.seen: Counter[str] = Counter()
        with self.database.write() as connection:
            effects.create(connection)
        self.turning: Worker | None = None
        self.checked_at = -1
        self.known: dict[UUID, Job] = {}
        Disk.missing = False
        for _ in range(2):
            self.hire()

    def hire(self) -> None:
        slots = self.random.choice([1, 1, 2, 2, 3])
        executor = SimulatedExecutor(slots, Environment(self.job_types, self.database, timer=lambda: 0.01), self.random)
        worker = Worker(
            store=self.store,
            job_types=self.job_types,
            executor=executor,
            surroundings=self.surroundings,
            name=f"worker-{self.random.getrandbits(32):08x}",
        )
        self.workers.append((worker, executor))

    # What may happen

    def live_through(self) -> None:
        """Trouble of all kinds; then peace, in which every job must come to rest; then the reckoning."""
        happenings = [
            (self.a_worker_takes_a_turn, 40),
            (self.a_call_goes_on, 40),
            (self.time_passes, 10),
            (self.the_operator_acts, 6),
            (self.a_job_is_started, 3),
            (self.a_worker_is_killed, 1),
            (self.a_worker_hands_back, 1),
            (self.a_lease_runs_out, 1),
            (self.somebody_sets_the_clock, 1),
            (self.a_disk_comes_or_goes, 1),
            (self.the_database_falters, 3),
        ]
        names, weights = zip(*happenings, strict=True)
        self.database.others = self.somebody_gets_in_between
        for happen in self.random.choices(names, weights, k=ROUNDS):
            happen()
            self.check_keys()
        self.peace()
        self.reckoning()

    def a_worker_takes_a_turn(self) -> None:
        worker, executor = self.random.choice(self.workers)
        self.turning = worker
        try:
            worker.turn()
        except DatabaseUnavailable:
            self.seen["a turn without a database"] += 1
        self.turning = None
        if worker.gone:
            self.dismiss(worker, executor)

    def somebody_gets_in_between(self) -> None:
        """A worker has decided, and before it writes the operator acts, or it is asleep until another has its jobs."""
        if self.turning is None or self.random.random() > 0.1:
            return
        sleeper, faults, self.database.faults = self.turning, self.database.faults, []
        if self.random.random() < 0.7:
            self.the_operator_acts()
        else:
            self.surroundings.pass_time(11.0)
            for worker, _ in self.workers:
                if worker is not sleeper:
                    worker.turn()
        self.database.faults = faults
        self.seen["got in between"] += 1

    def a_call_goes_on(self) -> None:
        busy = [executor for _, executor in self.workers if executor.calls]
        if busy:
            self.random.choice(busy).advance()

    def time_passes(self) -> None:
        self.surroundings.pass_time(self.random.choice([0.001, 0.02, 0.2, 1.0, 4.0]))

    def a_lease_runs_out(self) -> None:
        """The whole machine was asleep: every lease is over, and nobody has noticed yet."""
        self.surroundings.pass_time(11.0)
        self.seen["lease over"] += 1

    def somebody_sets_the_clock(self) -> None:
        self.surroundings.set_clock(self.random.choice([-3_600.0, -5.0, 5.0, 3_600.0]))
        self.seen["clock set"] += 1

    def a_disk_comes_or_goes(self) -> None:
        Disk.missing = not Disk.missing

    def the_database_falters(self) -> None:
        self.database.faults = self.random.choices(["before", "after", ""], k=self.random.randint(1, 3))

    def a_worker_is_killed(self) -> None:
        worker, executor = self.random.choice(self.workers)
        self.workers.remove((worker, executor))
        self.database.faults.clear()  # closing the calls must not write
        executor.close()
        self.seen["killed"] += 1
        self.hire()

    def a_worker_hands_back(self) -> None:
        worker, _ = self.random.choice(self.workers)
        self.random.choice([worker.hand_back, worker.hand_back, worker.abandon])()
        self.seen["handed back"] += 1

    def dismiss(self, worker: Worker, executor: SimulatedExecutor) -> None:
        """Its process ends; what it refused, its successor may take."""
        self.workers.remove((worker, executor))
        executor.close()
        self.hire()

    def a_job_is_started(self) -> None:
        if len(self.jobs) >= 5:
            return
        steps = self.random.randint(0, 5)
        request = {
            "steps": steps,
            "items": self.random.randint(0, 5),
            "failures": {self.random.randrange(5): self.random.randint(1, 4) for _ in range(self.random.randint(0, 2))},
            "hook_failures": {self.random.choice(["completed", "before_start", "before_resume", "cancelled"]): 1}
            if self.random.random() < 0.3
            else {},
            "manner": self.random.choice(["willing", "polite", "deaf"]),
            "key": self.random.choice([None, None, "one", "two"]),
            "needs_disk": self.random.random() < 0.3,
        }
        name = self.random.choice(self.job_types.names())
        try:
            job, new = self.store.start(self.job_types.start_command(name, request, namespace="Default"), OPERATOR)
        except DatabaseUnavailable:
            self.seen["a start without a database"] += 1
        except RequestInvalid:
            self.seen["a start without the disk"] += 1
        else:
            if new:
                self.jobs.append(job.id)

    def the_operator_acts(self) -> None:
        if not self.jobs:
            return
        commands = [stop, stop, resume, resume, resume, cancel, remove]
        self.ask(self.random.choice(self.jobs), *self.random.choices(commands, weights=[4, 4, 4, 4, 4, 1, 1]))

    def ask(self, job_id: UUID, command: Callable[[Situation], OperatorCommand]) -> None:
        try:
            outcome = self.store.execute("Default", job_id, command, OPERATOR)
        except JobError as refused:
            self.seen[type(refused).__name__] += 1
        except (DatabaseUnavailable, StreamMoved):
            self.seen["a command without a database"] += 1
        else:
            self.seen[str(outcome.job.status)] += 1

    # How it ends

    def peace(self) -> None:
        """No more trouble: nothing may be stuck, and nobody may starve beside a free slot."""
        self.database.faults.clear()
        self.database.others = lambda: None
        if Disk.missing:
            Disk.missing = False
            self.seen["disk missing"] += 1
        for worker, executor in list(self.workers):  # they have refused jobs; the next ones will not
            if self._has_refused(worker):
                self.dismiss(worker, executor)
        starved: Counter[UUID] = Counter()
        for _ in range(ROUNDS_TO_REST):
            going = self._live_jobs()
            if not going:
                return
            starved = self._starved(going, starved)
            for worker, executor in list(self.workers):
                worker.turn()
                if worker.gone:
                    self.dismiss(worker, executor)
            for _, executor in self.workers:
                if executor.calls:
                    executor.advance()
            self.check_keys()
            self.surroundings.pass_time(0.1)
        stuck = self._live_jobs()
        raise AssertionError(f"stuck: {[(str(job.id), job.status, job.worker) for job in stuck]}")

    def check_keys(self) -> None:
        marker = self.database.change_marker()
        if marker != self.checked_at:
            self.checked_at = marker
            check_keys(self.store)

    def _live_jobs(self) -> list[Job]:
        with self.database.read() as connection:
            found = connection.exec_driver_sql("SELECT id FROM milepost_jobs WHERE live ORDER BY id").all()
        return [self._loaded(UUID(job_id)) for (job_id,) in found]

    def _loaded(self, job_id: UUID) -> Job:
        known = self.known.get(job_id, Job(job_id))
        job = self.known[job_id] = self.store.catch_up(known)
        return job

    def _has_refused(self, worker: Worker) -> bool:
        with self.database.read() as connection:
            found = sa.select(refusals.c.job_id).where(refusals.c.worker == worker.name)
            return connection.execute(found).first() is not None

    def _starved(self, going: list[Job], before: Counter[UUID]) -> Counter[UUID]:
        """For how many rounds each job had nothing to do but to wait for a worker that had a free slot."""
        if not any(len(executor.calls) < executor.slots for _, executor in self.workers):
            return Counter()
        called = {activity.call.job_id for _, executor in self.workers for activity, _ in executor.calls}
        starved: Counter[UUID] = Counter()
        for job in going:
            if job.id not in called and not job.count(StepStatus.WAITING) and not self._must_wait(job, going):
                starved[job.id] = before[job.id] + 1
                assert starved[job.id] < STARVED_ROUNDS, f"job {job.id}, {job.status}, starves beside a free slot"
        return starved

    def _must_wait(self, job: Job, going: list[Job]) -> bool:
        """For another job: of its key, or of a type with a limit."""
        others = [other for other in going if other is not job and other.facts.job_type == job.facts.job_type]
        limit = self.job_types.named(job.facts.job_type).limits.running
        return (job.facts.key is not None and any(other.facts.key == job.facts.key for other in others)) or (
            limit is not None and len(others) >= limit
        )

    def reckoning(self) -> None:
        for job_id in self.jobs:
            job = check_job(self.store, job_id)
            self.seen[f"ended {job.status}"] += 1
            self._check_effects(job)
        assert self.ledger.checkpoint_lost == [], "a checkpoint that was acknowledged as durable is gone"
        for _, executor in self.workers:
            executor.close()

    def _check_effects(self, job: Job) -> None:
        with self.database.read() as connection:
            rows = connection.execute(sa.select(effects).where(effects.c.job == str(job.id))).all()
        happened = Counter((row.step, row.item) for row in rows)
        assert max(happened.values(), default=1) == 1, "a transaction's effect happened twice"
        alive = {JobStatus.RUNNING.value, JobStatus.STOPPING.value, JobStatus.CANCELLING.value}
        assert {row.status for row in rows} <= alive, "a step wrote although its job was at rest"
        done = {index for (job_id, index) in self.ledger.finished if job_id == job.id}
        for index, step in job.steps.items():
            if step.status == "Succeeded":
                assert index in done, "a step is called succeeded and never came to its end"
                if job.facts.job_type == "exact":
                    items = job.facts.request["items"]
                    assert sorted(item for at, item in happened if at == index) == list(range(1, items + 1))


def stop(now: Situation) -> OperatorCommand:
    return StopJob(now.worker_alive, now.reached)


def resume(now: Situation) -> OperatorCommand:
    return ResumeJob()


def cancel(now: Situation) -> OperatorCommand:
    return CancelJob(now.worker_alive, now.reached)


def remove(now: Situation) -> OperatorCommand:
    return RemoveJob()
