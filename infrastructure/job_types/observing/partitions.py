"""`recover-partition` goes on where a partition failed; `replay-observer-partition` sets one back to its beginning."""

from collections.abc import Iterable
from typing import Final, TypeVar

from pydantic import Field

from milepost.domain.events import Policy
from milepost.infrastructure.job_types.job_type import Step, job_type
from milepost.infrastructure.job_types.observing.observer_job import NamesObserver, ObserverJob
from milepost.infrastructure.observers.pace import Pace
from milepost.infrastructure.observers.rows import PARTITION_MOST, ObserverMoved, at_home_to_write
from milepost.infrastructure.observers.telling import tell_failure
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.step_context import HookContext, StepContext

EVENTS_AT_ONCE: Final = 500


class PartitionRequest(NamesObserver):
    """Which partition of which observer."""

    partition: str = Field(min_length=1, max_length=PARTITION_MOST, description="the partition, as the lists show it")


Request = TypeVar("Request", bound=PartitionRequest)


class PartitionJob(ObserverJob[Request]):
    """A job that handles what waits in one partition. What it has handled counts, also where it fails in the end."""

    policy = Policy(attempts=1)  # the partition has its own, see PartitionPolicy

    def key(self, request: Request) -> str | None:
        return f"{request.observer}/{request.partition}"  # as `Retries` looks for it

    def details(self, request: Request) -> str:
        return f"{request.observer} {request.partition}"

    def plan(self, request: Request) -> Iterable[Step]:
        yield Step(request.partition)

    def perform(self, step: StepContext[Request]) -> None:
        request, database = step.request, self.environment.database
        handled, pace = 0, Pace(EVENTS_AT_ONCE)
        with self.handling(step, request.observer) as handling:
            while True:
                try:
                    with step.transaction(read_committed=True) as transaction:
                        began_at = self.surroundings.monotonic()
                        connection = at_home_to_write(transaction.connection, database)
                        generation = handling.rows(connection).observer().generation
                        done = handling.recover(
                            connection, request.partition, generation, str(step.job_id), pace.events
                        )
                        told = handled + done.handled
                        transaction.checkpoint({"handled": told}, done=told, unit="events")
                except ObserverMoved:
                    continue  # a replay has begun or a generation was swapped in: on what is so now
                pace.took(max(1, done.handled), self.surroundings.monotonic() - began_at)
                handled = told
                if done.failure is not None:
                    tell_failure(request.observer, request.partition, error_detail(done.failure))
                    raise done.failure
                if done.over:
                    return


@job_type("recover-partition")
class RecoverPartition(PartitionJob[PartitionRequest]):
    """Handles a failed partition from the event that failed on; when nothing waits any more, it rejoins the others."""


@job_type("replay-observer-partition")
class ReplayObserverPartition(PartitionJob[PartitionRequest]):
    """Undoes the effects of one partition and handles all its events again, while the others go on."""

    def before_start(self, job: HookContext[PartitionRequest]) -> None:
        with self.handling(job, job.request.observer) as handling:
            self.holding(job).replay_partition(handling, job.job_id, job.request.partition)
