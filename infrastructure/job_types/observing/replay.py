"""`replay-observer` handles everything again; `rebuild-index` does so beside what serves, and verifies it first."""

from collections.abc import Iterable

from pydantic import Field

from milepost.domain.events import Policy
from milepost.domain.observers.events import Held
from milepost.infrastructure.job_types.job_type import Step, job_type
from milepost.infrastructure.job_types.observing.whole import ObserverRequest, WholeObserverJob
from milepost.infrastructure.observers.abilities import refuse_unable
from milepost.infrastructure.observers.rows import SLICES, at_home
from milepost.infrastructure.running.step_context import HookContext, StepContext


class ReplayRequest(ObserverRequest):
    """Which observer, and whether what it has built serves until the new one is there."""

    beside: bool = Field(
        default=False, description="build a second generation beside the one that serves, and swap it in at the end"
    )


@job_type("replay-observer")
class ReplayObserver(WholeObserverJob[ReplayRequest]):
    """Handles all events again: in place, from an empty read model on, or beside the one that serves."""

    def holds(self, request: ReplayRequest) -> Held:
        return "beside" if request.beside else "replay"


class RebuildRequest(ObserverRequest):
    """Which observer's index."""


@job_type("rebuild-index")
class RebuildIndex(WholeObserverJob[RebuildRequest]):
    """Builds an observer's tables beside those that serve, verifies them against the events, and swaps them in."""

    policy = Policy(attempts=3, backoff_seconds=0.5, on_failure="halt", max_parallel_steps=1)

    def holds(self, request: RebuildRequest) -> Held:
        return "beside"

    def before_start(self, job: HookContext[RebuildRequest]) -> None:
        refuse_unable(self.environment.job_types.observers.named(job.request.observer), "rebuild")
        super().before_start(job)

    def plan(self, request: RebuildRequest) -> Iterable[Step]:
        yield Step("build", {"slices": list(range(SLICES))})
        yield Step("verify")

    def perform(self, step: StepContext[RebuildRequest]) -> None:
        if step.name == "build":
            super().perform(step)
        else:
            self._verify(step)

    def _verify(self, step: StepContext[RebuildRequest]) -> None:
        database = self.environment.database
        observer, generation = self.held(step, step.request.observer)
        with self.handling(step, step.request.observer) as handling, database.read() as connection:
            effects = handling.effects(at_home(connection, database), observer, generation)
            handling.declared().verify(effects, handling.source, observer.to or 0)
