"""A database with a job in every state that a command line meets, made by the same commands as in real life."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from milepost.domain import commands as c
from milepost.domain.envelope import Origin
from milepost.domain.events import ErrorDetail, Json, PlannedStep, Progress
from milepost.domain.job import Job
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.store import ClaimOffer, JobStore, Wanted, WorkerRecord

WORKER: Final = "somewhere:1:abc"
OPERATOR: Final = Origin("ann@desk", "cli")
REQUEST: Final[dict[str, Json]] = {"steps": 3, "items": 10}
ERROR: Final = ErrorDetail(
    type="builtins.ValueError",
    message="no such\x1b[31m aircraft",
    traceback='Traceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\nValueError: no such\n',
    causes=("KeyError: 'N1'",),
)


class Furniture:
    """Jobs by what they are, each with its id."""

    def __init__(self, url: str, namespace: str = "Default", seconds_ago: float = 0) -> None:
        self.namespace = namespace
        self.database = open_database(url)
        self.store = JobStore(self.database, RealSurroundings(lambda: -seconds_ago))

    def furnish(self) -> dict[str, str]:
        made = {
            "completed": self.completed(),
            "with_failures": self.with_failures(),
            "failed": self.failed(),
            "stopped": self.stopped(),
            "cancelled": self.cancelled(),
            "removed": self.removed(),
            "unknown_type": self.start("unknown-type"),
            "elsewhere": self.start("self-test", namespace="Other"),
            "pending": self.start("self-test"),
        }
        # Alive, and no help to any of them: it takes no types.
        alone = WorkerRecord("elsewhere:2:def", (), 1, datetime.now(UTC), host="elsewhere", pid=2)
        self.store.register_worker(alone, 100 * 3600.0)
        self.database.close()
        return {name: str(job.id) for name, job in made.items()}

    def start(self, job_type: str, *, namespace: str | None = None, tags: tuple[str, ...] = ()) -> Job:
        command = c.StartJob(namespace or self.namespace, job_type, dict(REQUEST), "3 steps of 10 items", tags=tags)
        return self.store.start(command, OPERATOR)[0]

    def running(self, *, tags: tuple[str, ...] = (), lease_seconds: float = 3600.0, has_cleanup: bool = False) -> Job:
        """Three steps: the first has succeeded, the second is at 4 of 10 items, the third waits for its turn."""
        job = self.claimed(tags=tags, lease_seconds=lease_seconds, has_cleanup=has_cleanup)
        planned = tuple(PlannedStep(name=f"step-{number}") for number in (1, 2, 3))
        return self.work(
            job,
            c.PlanSteps(job.claim, 0, planned),
            c.PrepareJob(job.claim),
            c.StartStep(job.claim, 0),
            c.StartStep(job.claim, 1),
            c.ReportSuccess(job.claim, 0, 1, 0.5, Progress(done=10, total=10, unit="items")),
            c.ReportProgress(
                job.claim, 1, 1, Progress(done=4, total=10, unit="items", message="N14228", checkpoint={"item": 4})
            ),
        )

    def claimed(self, *, tags: tuple[str, ...] = (), lease_seconds: float = 3600.0, has_cleanup: bool = False) -> Job:
        job = self.start("self-test", tags=tags)
        return self.claim(job.id, lease_seconds=lease_seconds, has_cleanup=has_cleanup)

    def claim(self, job_id: UUID, *, lease_seconds: float = 3600.0, has_cleanup: bool = False) -> Job:
        offers = {"self-test": ClaimOffer(has_cleanup=has_cleanup)}
        claimed = self.store.claim(Wanted(WORKER, offers, only=job_id), lease_seconds, Origin(WORKER, "worker"))
        assert claimed is not None
        return claimed

    def completed(self) -> Job:
        job = self.running(tags=("nightly", "flights"))
        return self.work(
            job,
            c.StartStep(job.claim, 2),
            c.ReportSuccess(job.claim, 1, 1, 1.0, Progress(done=10, total=10, unit="items")),
            c.ReportSuccess(job.claim, 2, 1, 1.0, Progress(done=10, total=10, unit="items")),
            c.CompleteJob(job.claim),
        )

    def with_failures(self) -> Job:
        job = self.running()
        return self.work(
            job,
            c.ReportFailure(job.claim, 1, 1, 1.0, ERROR),
            c.StartStep(job.claim, 2),
            c.ReportSuccess(job.claim, 2, 1, 1.0),
            c.CompleteJob(job.claim),
        )

    def failed(self) -> Job:
        job = self.claimed()
        return self.work(job, c.FailJob(job.claim, ERROR))

    def stopped(self) -> Job:
        job = self.running()
        self.execute(job.id, c.StopJob(worker_alive=True), reason="lunch")
        return self.work(self.store.load(job.id), c.ReportStop(job.claim, 1, 1, 1.0), c.Advance(job.claim))

    def cancelled(self) -> Job:
        job = self.start("self-test")
        return self.execute(job.id, c.CancelJob(worker_alive=False))

    def removed(self) -> Job:
        job = self.cancelled()
        return self.execute(job.id, c.RemoveJob())

    def execute(self, job_id: UUID, command: c.OperatorCommand, reason: str = "") -> Job:
        origin = Origin(OPERATOR.actor, OPERATOR.source, reason)
        return self.store.execute(self.namespace, job_id, lambda _: command, origin).job

    def work(self, job: Job, *commands: c.CoordinatorCommand) -> Job:
        """What its worker says of it, in one transaction."""
        batch = Batch(job, Origin(WORKER, "worker"), self.store.surroundings)
        for command in commands:
            batch.do(command)
        return self.store.append(batch)
