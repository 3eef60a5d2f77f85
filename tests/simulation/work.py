"""The job types of the simulation, and the ledger that their steps keep outside of Milepost."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, field_validator

from milepost.domain.events import Policy
from milepost.infrastructure.job_types.job_type import JobType, Limits, Step, job_type
from milepost.infrastructure.running.step_context import HookContext, StepContext, StopRequested
from tests.simulation.stage import pause

effects = sa.Table(
    "effects",
    sa.MetaData(),
    sa.Column("job", sa.Text),
    sa.Column("step", sa.Integer),
    sa.Column("item", sa.Integer),
    sa.Column("status", sa.Text),
)


Manner = Literal["willing", "polite", "deaf"]


class Disk:
    """What a request may name: it may be missing for a while."""

    missing: ClassVar[bool] = False


DEAF_ROUNDS: Final = 60  # in peace, that is longer than its time and the grace


class Work(BaseModel):
    """What a simulated job has to do. `failures`: how many attempts of which step fail.

    `manner`: how a step that may take too long hears that it should end: where it reports; it looks, and raises
    StopRequested itself; or not at all.
    """

    steps: int = 3
    items: int = 3
    failures: dict[int, int] = {}
    hook_failures: dict[str, int] = {}
    manner: Manner = "willing"
    key: str | None = None
    needs_disk: bool = False

    @field_validator("needs_disk")
    @classmethod
    def looks(cls, needs_disk: bool) -> bool:
        if needs_disk and Disk.missing:
            raise FileNotFoundError("the disk that the request names is missing")
        return needs_disk


@dataclass
class Ledger:
    """What really happened, counted by the steps themselves."""

    finished: list[tuple[UUID, int]] = field(default_factory=list[tuple[UUID, int]])
    started: list[tuple[UUID, int, int]] = field(default_factory=list[tuple[UUID, int, int]])
    hooks: list[tuple[UUID, str]] = field(default_factory=list[tuple[UUID, str]])
    checkpoint_lost: list[tuple[UUID, int]] = field(default_factory=list[tuple[UUID, int]])
    acknowledged: dict[tuple[UUID, int], int] = field(default_factory=dict[tuple[UUID, int], int])


class SimulatedFailure(Exception):
    """As ordered."""


class Observed(JobType[Work]):
    """Plans what its request says, and writes down what really happens."""

    ledger: ClassVar[Ledger]

    def plan(self, request: Work) -> Iterable[Step]:
        for number in range(request.steps):
            yield Step(f"step-{number}")

    def key(self, request: Work) -> str | None:
        return request.key

    def begin(self, step: StepContext[Work]) -> None:
        self.ledger.started.append((step.job_id, step.index, step.attempt))

    def end(self, step: StepContext[Work]) -> None:
        if step.attempt <= step.request.failures.get(step.index, 0):
            raise SimulatedFailure(f"attempt {step.attempt}")
        self.ledger.finished.append((step.job_id, step.index))

    def called(self, job: HookContext[Work], hook: str) -> None:
        self.ledger.hooks.append((job.job_id, hook))
        if self.ledger.hooks.count((job.job_id, hook)) <= job.request.hook_failures.get(hook, 0):
            raise SimulatedFailure(hook)


@job_type("plain")
class Plain(Observed):
    """Reports progress outside of transactions; every other checkpoint must be durable."""

    policy = Policy(attempts=3, backoff_seconds=0.5)

    def perform(self, step: StepContext[Work]) -> None:
        self.begin(step)
        this = (step.job_id, step.index)
        reached = step.checkpoint or 0
        if reached < self.ledger.acknowledged.get(this, 0):
            self.ledger.checkpoint_lost.append(this)
        for item in range(reached + 1, step.request.items + 1):
            durable = item % 2 == 0
            step.progress(item, step.request.items, checkpoint=item, durable=durable)
            if durable:
                self.ledger.acknowledged[this] = item
        self.end(step)


@job_type("exact")
class Exact(Observed):
    """Writes each item and its checkpoint in one transaction."""

    policy = Policy(attempts=2, backoff_seconds=0.5, max_failures=1)
    limits = Limits(running=2)

    def perform(self, step: StepContext[Work]) -> None:
        self.begin(step)
        for item in range((step.checkpoint or 0) + 1, step.request.items + 1):
            with step.transaction() as transaction:
                status = transaction.connection.scalar(
                    sa.text("SELECT status FROM milepost_jobs WHERE id = :id"), {"id": str(step.job_id)}
                )
                row = {"job": str(step.job_id), "step": step.index, "item": item, "status": status}
                transaction.connection.execute(effects.insert(), row)
                transaction.checkpoint(item, done=item, total=step.request.items)
        self.end(step)


@job_type("hooked")
class Hooked(Observed):
    """Has every hook, one step at a time, and halts at the first failed step."""

    policy = Policy(on_failure="halt", max_parallel_steps=1, timeout_seconds=3.0)

    def perform(self, step: StepContext[Work]) -> None:
        self.begin(step)
        step.progress(1, 1, checkpoint=1)
        self.end(step)

    def before_start(self, job: HookContext[Work]) -> None:
        self.called(job, "before_start")

    def before_resume(self, job: HookContext[Work]) -> None:
        self.called(job, "before_resume")

    def completed(self, job: HookContext[Work]) -> None:
        self.called(job, "completed")

    def cancelled(self, job: HookContext[Work]) -> None:
        self.called(job, "cancelled")


@job_type("slow")
class Slow(Observed):
    """Takes its time, and reports progress without a checkpoint, so that a step that is lost begins anew."""

    policy = Policy(attempts=2, backoff_seconds=0.5, timeout_seconds=3.0)
    supersedes = True

    def perform(self, step: StepContext[Work]) -> None:
        self.begin(step)
        patience = DEAF_ROUNDS if step.request.manner == "deaf" and step.attempt == 1 else step.request.items
        for item in range(patience):
            if step.request.manner == "deaf":
                pause()
                continue
            if step.request.manner == "polite" and step.stop_requested:
                raise StopRequested
            step.progress(done=item + 1, total=patience)
        self.end(step)


def types_for(ledger: Ledger) -> list[type[JobType[Any]]]:
    """The job types, their steps writing into this ledger."""

    def observed(declared: type[Observed]) -> type[JobType[Any]]:
        return type(declared.__name__, (declared,), {"ledger": ledger, "name": declared.name})

    return [observed(Plain), observed(Exact), observed(Hooked), observed(Slow)]
