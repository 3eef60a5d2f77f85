"""How a program declares work: a job type names its request, plans steps and performs them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel

from milepost.domain.events import Json, Policy
from milepost.infrastructure.running.step_context import HookContext, StepContext


class NoRequest(BaseModel, extra="forbid"):
    """The request of a job type that needs none."""


Request = TypeVar("Request", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: its name, and the JSON arguments that `perform` will find in `step.arguments`."""

    name: str
    arguments: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs of a type run at once over all workers, and how many that share a `limit_key`."""

    running: int | None = None
    running_per_key: int | None = None


class JobType(Generic[Request]):
    """Base of all job types. `plan` and `perform` must be written, the rest may be.

    All methods are run by an executor, perhaps in another process: an instance is made per call and must
    keep nothing. Whatever a method raises is recorded whole, in the step (`perform`) or in the job.
    """

    name: ClassVar[str]
    policy: ClassVar[Policy] = Policy()
    limits: ClassVar[Limits] = Limits()

    def plan(self, request: Request) -> Iterable[Step]:
        """The steps, in the order in which they start; a generator may yield 100,000.

        It must yield the same steps when called again: a plan cut short by a crash is made anew.
        """
        raise NotImplementedError

    def perform(self, step: StepContext[Request]) -> Any:
        """Do one step: a function, or an `async def`. What it returns is ignored."""
        raise NotImplementedError

    def details(self, request: Request) -> str:
        """What the lists show beside the type's name."""
        return ""

    def key(self, request: Request) -> str | None:
        """At most one live job of this type has this key: starting another returns the live one."""
        return None

    def limit_key(self, request: Request) -> str | None:
        """Jobs with the same one count together against `limits.running_per_key`."""
        return None

    def before_start(self, job: HookContext[Request]) -> None:
        """Called once, before the steps are planned; again after a crash in the middle of it."""

    def before_resume(self, job: HookContext[Request]) -> None:
        """Called each time a planned job goes on: after a resume, a takeover, a hand-back."""

    def completed(self, job: HookContext[Request]) -> None:
        """Called when all steps have ended. If it raises, the job is Failed, and a resume calls it again."""

    def cancelled(self, job: HookContext[Request]) -> None:
        """Called when the job was given up and no step runs any more. An error is kept in the history."""

    @classmethod
    def request_model(cls) -> type[BaseModel]:
        """The pydantic model named in `JobType[...]`."""
        for base in getattr(cls, "__orig_bases__", ()):
            if isinstance(get_origin(base), type) and issubclass(get_origin(base), JobType):
                (model,) = get_args(base)
                return model if isinstance(model, type) else NoRequest
        return NoRequest

    @classmethod
    def has(cls, hook: str) -> bool:
        """Whether the type has a hook of its own, so that the others cost nothing."""
        return getattr(cls, hook) is not getattr(JobType, hook)


DeclaredType = TypeVar("DeclaredType", bound=type[JobType[Any]])


def job_type(name: str) -> Callable[[DeclaredType], DeclaredType]:
    """Give a JobType class the name under which jobs of it are started. Registers nothing by itself."""

    def named(declared: DeclaredType) -> DeclaredType:
        declared.name = name
        return declared

    return named
