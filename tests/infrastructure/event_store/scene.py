"""A store to try things on: its clock is set by hand, its ids and chances come from a seed."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from milepost.domain.commands import (
    CompleteJob,
    JobCommand,
    PlanSteps,
    PrepareJob,
    ReportSuccess,
    StartJob,
    StartStep,
    StopJob,
)
from milepost.domain.envelope import Origin
from milepost.domain.events import PlannedStep
from milepost.domain.job import Job
from milepost.infrastructure.clock import uuid7
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.store import ClaimOffer, JobStore, Outcome, Situation, Wanted

OPERATOR = Origin("ada@engine", "cli", "because")
WORKER = Origin("worker", "worker")
LEASE_SECONDS = 10.0
ANY = {"import": ClaimOffer()}


@dataclass
class Surroundings:
    """A clock that stands still until it is moved."""

    at: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    random: Random = field(default_factory=lambda: Random(7))

    def now(self) -> datetime:
        return self.at

    def new_id(self) -> UUID:
        self.at += timedelta(milliseconds=1)  # so that ids are in the order in which they were made
        return uuid7(int(self.at.timestamp() * 1000), self.random.getrandbits(74))

    def monotonic(self) -> float:
        return self.at.timestamp()

    def chance(self) -> float:
        return self.random.random()

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Scene:
    """A store, and short words for what is done to it."""

    store: JobStore
    surroundings: Surroundings

    def start(
        self,
        job_type: str = "import",
        namespace: str = "Default",
        key: str | None = None,
        limit_key: str | None = None,
        supersedes: bool = False,
        queue: str = "default",
        priority: int = 0,
    ) -> Job:
        command = StartJob(
            namespace,
            job_type,
            {"months": [1, 2]},
            key=key,
            limit_key=limit_key,
            supersedes=supersedes,
            queue=queue,
            priority=priority,
        )
        return self.store.start(command, OPERATOR)[0]

    def claim(self, worker: str = "w1", offers: dict[str, ClaimOffer] = ANY, only: UUID | None = None) -> Job | None:
        return self.store.claim(Wanted(worker, offers, only=only), LEASE_SECONDS, WORKER)

    def claimed(self, worker: str = "w1", only: UUID | None = None) -> Job:
        job = self.claim(worker, only=only)
        assert job is not None
        return job

    def do(self, job: Job, *commands: JobCommand) -> Job:
        """Decide on the job in the caller's hand and append it all at once."""
        batch = Batch(job, WORKER, self.surroundings)
        for command in commands:
            batch.do(command)
        return self.store.append(batch)

    def running(self, steps: int = 3, worker: str = "w1") -> Job:
        """A job that was started, claimed, planned and prepared."""
        return self.planned(self.claimed(worker, only=self.start().id), steps)

    def planned(self, job: Job, steps: int = 3) -> Job:
        planned = tuple(PlannedStep(name=f"step-{n}", arguments={"n": n}) for n in range(steps))
        return self.do(job, PlanSteps(job.claim, 0, planned), PrepareJob(job.claim))

    def succeed(self, job: Job, *steps: int) -> Job:
        for step in steps:
            attempt = job.steps[step].attempt + 1
            job = self.do(job, StartStep(job.claim, step), ReportSuccess(job.claim, step, attempt, 0.5))
        return job

    def completed(self) -> Job:
        job = self.running(steps=1)
        job = self.succeed(job, 0)
        return self.do(job, CompleteJob(job.claim))

    def stop(self, job_id: UUID, namespace: str = "Default", command_id: str | None = None) -> Outcome:
        return self.store.execute(namespace, job_id, stop, OPERATOR, command_id=command_id)


def stop(situation: Situation) -> StopJob:
    return StopJob(situation.worker_alive, situation.reached)
