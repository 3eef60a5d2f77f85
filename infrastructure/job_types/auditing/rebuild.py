"""`rebuild-read-models`: makes what the lists show of a namespace's jobs follow from their events again, online."""

from functools import partial
from typing import Any

from pydantic import Field

from milepost.infrastructure.audit.differences import Differs
from milepost.infrastructure.audit.orphans import remove_orphans
from milepost.infrastructure.audit.rebuilding import Comparison, compare, mend
from milepost.infrastructure.audit.walking import Look
from milepost.infrastructure.job_types.auditing.over_jobs import JobsRequest, OverJobs, Reached, counted, patiently
from milepost.infrastructure.job_types.job_type import job_type
from milepost.infrastructure.running.step_context import StepContext


class RebuildReadModelsRequest(JobsRequest):
    """Which jobs, and what is done about a history that is shorter than its rows know."""

    trust_history: bool = Field(
        default=False,
        description="rebuild also jobs whose rows know of more events than there are: what such rows say is lost",
    )
    live: bool = Field(
        default=False,
        description="of these also jobs that are not at rest by the events that are left: workers go on with them",
    )


class NotRebuilt(Exception):
    """Jobs whose rows were left as they are, because their histories do not hold: those rows are evidence."""

    def __init__(self, reached: Reached) -> None:
        self.left, self.told = reached.found, reached.told
        lines = [f"{counted(reached.found, 'job')} not rebuilt:", *(f"{each}." for each in reached.told)]
        if more := reached.found - len(reached.told):
            lines.append(f"And {more:,} more.")
        lines.append(
            "'milepost audit verify ID' tells more of one. A history that is only shorter than its rows know is taken"
            " for whole with 'milepost audit rebuild --trust-history', and --live where a worker is to go on with it."
        )
        super().__init__("\n".join(lines))


@job_type("rebuild-read-models")
class RebuildReadModels(OverJobs[RebuildReadModelsRequest]):
    """Compares the rows of the namespace's jobs with their events, and writes those that differ, while others work."""

    def look(self, request: RebuildReadModelsRequest) -> Look[Any]:
        return partial(compare, trust_history=request.trust_history, live=request.live)

    def take(self, step: StepContext[RebuildReadModelsRequest], seen: Comparison, reached: Reached) -> None:
        reached.jobs += 1
        reached.events += seen.events
        try:
            if seen.mends:
                reached.rows += patiently(step, partial(mend, self.environment.database, seen))
                reached.mended += 1
        except Differs as differs:
            seen.refused = differs.difference.message
        if seen.refused:
            reached.tell(seen.refused)

    def end(self, step: StepContext[RebuildReadModelsRequest], reached: Reached) -> None:
        """Rows that are no job's are all that is left of one, if that was more than dust."""
        if step.request.trust_history and not step.request.jobs:
            span = step.arguments["after"], step.arguments["until"]
            patiently(step, partial(remove_orphans, self.environment.database, *span))

    def message(self, reached: Reached) -> str:
        looked_at = counted(reached.jobs, "job")
        if not reached.mended:
            return f"{looked_at}: nothing was to be rebuilt"
        return f"{looked_at}: {reached.mended:,} rebuilt, {counted(reached.rows, 'row')}"

    def refuse(self, reached: Reached) -> None:
        raise NotRebuilt(reached)
