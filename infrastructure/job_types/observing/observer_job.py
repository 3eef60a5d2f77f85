"""What the job types that work on observers share: how they reach the observer, and how they hand it events."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from milepost.domain.envelope import Origin
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.job_types.job_type import JobType
from milepost.infrastructure.observers.handling import Handling, PartitionUntold
from milepost.infrastructure.observers.holding import Holding
from milepost.infrastructure.observers.observer import Place
from milepost.infrastructure.observers.trying import TransactionEnded
from milepost.infrastructure.running.step_context import HookContext, StepContext

if TYPE_CHECKING:
    from milepost.infrastructure.observers.registry import Observers
    from milepost.infrastructure.running.perform import Environment


class NamesObserver(BaseModel):
    """Which observer."""

    model_config = ConfigDict(extra="forbid")

    observer: str = Field(min_length=1, max_length=200, description="the observer's name")


Request = TypeVar("Request", bound=NamesObserver)


class ObserverJob(JobType[Request]):
    """Base of the job types that reach observers. They keep where they run, which is theirs alone."""

    environment: "Environment"

    def runs_in(self, environment: "Environment") -> None:
        self.environment = environment

    def refuses(self, request: Request, declared: "Observers") -> str | None:
        """A worker without the observer's code would only fail the job, and another may have it."""
        return None if declared.knows(request.observer) else f"does not declare observer '{request.observer}'"

    @property
    def surroundings(self) -> Surroundings:
        return self.environment.surroundings

    def holding(self, job: HookContext[Any] | StepContext[Any]) -> Holding:
        """It waits for those who handle events: a job has the time, and would be failed."""
        origin = self._origin(job.job_id)
        return Holding(self.environment.database, job.namespace, self.surroundings, origin, lock_seconds=None)

    @contextmanager
    def handling(self, job: HookContext[Any] | StepContext[Any], observer: str) -> Generator[Handling]:
        """Raises ObserverNotDeclared where this process does not know the observer.

        One whose handler ends our transactions is quarantined: each further try might write its effects again. So is
        one that cannot tell an event's partition: nobody knows what must wait for that event.
        """
        declared = self.environment.job_types.observers.named(observer)
        place = Place(self.environment.database, job.namespace)
        handling = Handling(declared, place, self.surroundings, self._origin(job.job_id))
        try:
            yield handling
        except (TransactionEnded, PartitionUntold) as error:
            self.holding(job).quarantine(observer, str(error))
            raise
        finally:
            handling.close()

    def _origin(self, job_id: UUID) -> Origin:
        return Origin(actor=f"job {job_id}", source="worker", correlation_id=str(job_id))
