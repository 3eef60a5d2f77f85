"""What the job types share that look at all jobs of their namespace: ranges as steps, and checkpoints between jobs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from milepost.domain.events import Json
from milepost.infrastructure.audit.side_by_side import is_id
from milepost.infrastructure.audit.walking import Look, Part, Span, one, part
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.schema import jobs
from milepost.infrastructure.job_types.job_type import JobType, Step
from milepost.infrastructure.running.step_context import HookContext, StepContext

if TYPE_CHECKING:
    from milepost.infrastructure.running.perform import Environment

MOST_RANGES: Final = 64
MOST_NAMED: Final = 1_000
EVENTS_OF_A_RANGE: Final = 250_000  # as far as nobody says how many ranges there are to be
TOLD: Final = 10  # findings that an error names
LONGEST_TOLD: Final = 800  # characters of one
TRIES: Final = 10  # while the database does not answer
BETWEEN_TRIES_SECONDS: Final = 1.0


class JobsRequest(BaseModel):
    """Which jobs of the namespace."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[UUID] = Field(default=[], max_length=MOST_NAMED, description="their whole ids; none: all of them")
    ranges: int | None = Field(
        default=None, ge=1, le=MOST_RANGES, description="into how many steps all of them are divided"
    )


Request = TypeVar("Request", bound=JobsRequest)
R = TypeVar("R")


@dataclass(slots=True)
class Reached:
    """How far a step has come: its checkpoint."""

    after: str = ""  # the job that it goes on behind
    jobs: int = 0
    events: int = 0
    found: int = 0  # jobs that are not as they should be
    told: list[str] = field(default_factory=list[str])  # of the first of them, why
    mended: int = 0
    rows: int = 0
    over: bool = False  # all was looked at; whoever goes on then begins anew, for something may have been done about it

    def tell(self, what: str) -> None:
        """Something is not as it should be."""
        self.found += 1
        if len(self.told) < TOLD:
            self.told.append(what if len(what) <= LONGEST_TOLD else f"{what[:LONGEST_TOLD]}…")


class OverJobs(JobType[Request]):
    """Base of those job types. The jobs of other namespaces are neither read nor told of."""

    environment: "Environment"
    namespace: str

    def runs_in(self, environment: "Environment") -> None:
        self.environment = environment

    def key(self, request: Request) -> str | None:
        return None if request.jobs else "all jobs"

    def details(self, request: Request) -> str:
        return counted(len(request.jobs), "job") if request.jobs else "all jobs"

    def before_start(self, job: HookContext[Request]) -> None:
        self.namespace = job.namespace  # for the plan, which is made by the same instance

    def plan(self, request: Request) -> Iterable[Step]:
        """Ranges of ids with about as many events each; the first and the last are open, and nothing is between."""
        if request.jobs:
            yield Step("the jobs that are named")
            return
        with self.environment.database.read() as connection:
            known = _versions(connection, self.namespace)
        events = sum(version for _, version in known)
        count = request.ranges or min(MOST_RANGES, 1 + events // EVENTS_OF_A_RANGE)
        spans = list(_spans(known, count))
        for number, (span, of_span) in enumerate(spans, start=1):
            name = "all jobs" if len(spans) == 1 else f"range {number} of {len(spans)}"
            yield Step(name, {"after": span.after, "until": span.until, "events": of_span})

    def perform(self, step: StepContext[Request]) -> None:
        reached = self._reached(step)
        for seen in self._parts(step, reached):
            for each in seen:
                self.take(step, each, reached)
            self._report(step, reached)
        self.end(step, reached)
        if reached.found:
            reached.over = True
            self._report(step, reached, durable=True)
            self.refuse(reached)

    def look(self, request: Request) -> Look[Any]:
        """What is made of each job, in a consistent read."""
        raise NotImplementedError

    def take(self, step: StepContext[Request], seen: Any, reached: Reached) -> None:
        """Do what follows from it, outside of that read."""
        raise NotImplementedError

    def end(self, step: StepContext[Request], reached: Reached) -> None:
        """Do what is to be done when all jobs were looked at."""

    def message(self, reached: Reached) -> str:
        raise NotImplementedError

    def refuse(self, reached: Reached) -> None:
        """Raise what was found."""
        raise NotImplementedError

    def _reached(self, step: StepContext[Request]) -> Reached:
        checkpoint: Any = step.checkpoint
        reached = Reached(**checkpoint) if checkpoint else Reached()
        return Reached() if reached.over else reached

    def _parts(self, step: StepContext[Request], reached: Reached) -> Iterator[list[Any]]:
        look, database = self.look(step.request), self.environment.database
        if step.request.jobs:
            for job_id in sorted(set(step.request.jobs), key=str):
                if str(job_id) > reached.after:
                    yield self._named(step, job_id, look, reached)
            return
        until, last = step.arguments["until"], reached.after or step.arguments["after"]
        while last is not None:
            found: Part[Any] = patiently(step, partial(part, database, step.namespace, Span(last, until), look))
            last = found.last
            reached.after = last or reached.after
            yield found.seen

    def _named(self, step: StepContext[Request], job_id: UUID, look: Look[Any], reached: Reached) -> list[Any]:
        found = patiently(step, lambda: one(self.environment.database, step.namespace, job_id, look))
        reached.after = str(job_id)
        if not found:
            reached.tell(f"Nothing is stored of job {job_id} in this namespace")
        return found

    def _report(self, step: StepContext[Request], reached: Reached, *, durable: bool = False) -> None:
        known: int = step.arguments.get("events", 0)
        checkpoint: dict[str, Json] = asdict(reached)
        step.progress(
            done=reached.events,
            total=max(known, reached.events),  # jobs go on meanwhile
            unit="events",
            message=self.message(reached),
            checkpoint=checkpoint,
            durable=durable,
        )


def patiently(step: StepContext[Any], act: Callable[[], R]) -> R:
    """Again, while the database does not answer: the types do not try a step again that has found something."""
    for _ in range(TRIES):
        try:
            return act()
        except DatabaseUnavailable:
            step.sleep(BETWEEN_TRIES_SECONDS)
    return act()


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _versions(connection: sa.Connection, namespace: str) -> list[tuple[str, int]]:
    """Of each job that a list shows. What the lists do not show is in some range all the same."""
    asked = sa.select(jobs.c.id, jobs.c.version).where(jobs.c.namespace == namespace).order_by(jobs.c.id)
    return [(job_id, version) for job_id, version in connection.execute(asked)]


def _spans(known: list[tuple[str, int]], count: int) -> Iterator[tuple[Span, int]]:
    """With how many events each is expected to have."""
    total, after = sum(version for _, version in known), ""
    come_to = begun_at = made = 0
    for job_id, version in known[:-1]:
        come_to += version
        if come_to * count >= total * (made + 1) and is_id(job_id):
            yield Span(after, job_id), come_to - begun_at
            after, begun_at, made = job_id, come_to, made + 1
    yield Span(after, None), total - begun_at
