"""`verify-histories`: whether what is shown of a namespace's jobs is what happened, as `milepost audit verify` asks."""

from dataclasses import dataclass

from milepost.infrastructure.audit.differences import Difference
from milepost.infrastructure.audit.owning import Bond, Bound
from milepost.infrastructure.audit.side_by_side import Stored
from milepost.infrastructure.audit.verifying import Tally, checked
from milepost.infrastructure.audit.walking import Look
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs
from milepost.infrastructure.job_types.auditing.over_jobs import JobsRequest, OverJobs, Reached, counted
from milepost.infrastructure.job_types.job_type import job_type
from milepost.infrastructure.running.step_context import StepContext


class JobsDiffer(Exception):
    """Jobs of which something is stored that does not follow from their histories, or histories that do not hold."""

    def __init__(self, reached: Reached) -> None:
        self.different, self.told = reached.found, reached.told
        lines = [
            f"{reached.found:,} of {counted(max(reached.jobs, reached.found), 'job')} differ:",
            *(f"{each}." for each in reached.told),
        ]
        if more := reached.found - len(reached.told):
            lines.append(f"And {more:,} more.")
        lines.append("'milepost audit verify ID' tells more of one; 'milepost audit rebuild ID' makes its rows anew.")
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class _Verified:
    events: int
    differs: str  # what does; empty: nothing


@job_type("verify-histories")
class VerifyHistories(OverJobs[JobsRequest]):
    """Folds the histories of the namespace's jobs from the stored bytes, and compares all that is shown of them."""

    def look(self, request: JobsRequest) -> Look[_Verified]:
        return _verify

    def take(self, step: StepContext[JobsRequest], seen: _Verified, reached: Reached) -> None:
        reached.jobs += 1
        reached.events += seen.events
        if seen.differs:
            reached.tell(seen.differs)

    def message(self, reached: Reached) -> str:
        return f"{counted(reached.jobs, 'job')}: {f'{reached.found:,} differ' if reached.found else 'nothing differs'}"

    def refuse(self, reached: Reached) -> None:
        raise JobsDiffer(reached)


def _verify(each: Bound, stored: Stored) -> _Verified:
    if each.bond is Bond.ROW_OF_ANOTHER:
        return _Verified(0, f"{jobs.name} has a row of job {each.job_id} here, and no event says so")
    tally = Tally()
    difference = checked(each.job_id, stored, tally)
    return _Verified(tally.events, "" if difference is None else _told(each, difference))


def _told(each: Bound, difference: Difference) -> str:
    """Nothing of another namespace: its name, or what was in an event that may not be of this one."""
    if each.bond is Bond.ROW and difference.table == EVENTS_TABLE:
        return f"Event {difference.version} of job {each.job_id} is not as it was recorded: {difference.kind}"
    if (difference.table, difference.column) == (jobs.name, "namespace"):
        return f"{jobs.name}: the row of job {each.job_id} says another namespace than the events"
    return difference.message
