"""How a program declares work: a job type names its request, plans steps and performs them."""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel

from milepost.domain.events import Json, Policy
from milepost.domain.lengths import LONGEST_JOB_TYPE
from milepost.domain.queues import DEFAULT_QUEUE, PriorityInvalid, QueueInvalid, refuse_bad_priority, refuse_bad_queue
from milepost.infrastructure.running.step_context import HookContext, StepContext

if TYPE_CHECKING:
    from milepost.infrastructure.observers.registry import Observers
    from milepost.infrastructure.running.perform import Environment

NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_JOB_TYPE - 1}}}")


class NoRequest(BaseModel, extra="forbid"):
    """The request of a job type that needs none."""


Request = TypeVar("Request", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: its name, and the JSON arguments that `perform` will find in `step.arguments`."""

    name: str
    arguments: dict[str, Json] = field(default_factory=dict[str, Json])


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
    supersedes: ClassVar[bool] = False
    queue: ClassVar[str] = DEFAULT_QUEUE  # where its jobs wait, unless one is started in another
    priority: ClassVar[int] = 0  # of its jobs: those with a higher one are taken first

    def plan(self, request: Request) -> Iterable[Step]:
        """The steps, in the order in which they start; a generator may yield 100,000.

        It must yield the same steps when called again: a plan cut short by a stop or a crash is made anew.
        """
        raise NotImplementedError

    def perform(self, step: StepContext[Request]) -> Any:
        """Do one step: a function, or an `async def`. What it returns is ignored."""
        raise NotImplementedError

    def details(self, request: Request) -> str:
        """What the lists show beside the type's name."""
        return ""

    def key(self, request: Request) -> str | None:
        """At most one live job of this type has this key: starting another returns the live one.

        Where the type `supersedes`, the live one is cancelled, and the new one runs when it has ended.
        """
        return None

    def limit_key(self, request: Request) -> str | None:
        """Jobs with the same one count together against `limits.running_per_key`."""
        return None

    def refuses(self, request: Request, declared: "Observers") -> str | None:
        """Why a worker that declares just these observers leaves such a job to others: "does not …"; None: it may."""
        return None

    # Hooks; each may be an `async def`, too.

    def before_start(self, job: HookContext[Request]) -> Any:
        """Called once, before the steps are planned; again after a crash in the middle of it."""

    def before_resume(self, job: HookContext[Request]) -> Any:
        """Called each time a planned job goes on: after a resume, a takeover, a hand-back."""

    def completed(self, job: HookContext[Request]) -> Any:
        """Called when all steps have ended. If it raises, the job is Failed, and a resume calls it again."""

    def cancelled(self, job: HookContext[Request]) -> Any:
        """Called when the job was given up and no step runs any more. An error is kept in the history."""

    def runs_in(self, environment: "Environment") -> None:
        """Told where its code runs before anything else is called there; most types need not know."""

    @classmethod
    @cache
    def request_model(cls) -> type[BaseModel]:
        """The pydantic model named in `JobType[...]`, here or in a base."""
        for base in (base for each in cls.__mro__ for base in vars(each).get("__orig_bases__", ())):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, JobType):
                for model in get_args(base):
                    if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel:
                        return model
                    if not isinstance(model, TypeVar):
                        raise TypeError(f"{cls.__qualname__}: JobType[…] takes a pydantic model, not {model!r}")
        return NoRequest

    @classmethod
    def has(cls, hook: str) -> bool:
        """Whether the type has a hook of its own, so that the others cost nothing."""
        return getattr(cls, hook) is not getattr(JobType, hook)


def is_job_type(declared: Any) -> bool:
    """Whether it is a class that can be one, whatever the caller's annotations say."""
    return inspect.isclass(declared) and issubclass(declared, JobType)


DeclaredType = TypeVar("DeclaredType", bound=type[JobType[Any]])


def job_type(name: str) -> Callable[[DeclaredType], DeclaredType]:
    """Give a JobType class the name under which jobs of it are started. Registers nothing by itself.

    Raises TypeError for a class or a name that could not be used: better here than when a job waits for it.
    """
    if not NAME.fullmatch(name):
        allowed = f"use at most {LONGEST_JOB_TYPE} letters, digits, dots, dashes and underscores"
        raise TypeError(f"{name!r} is no name for a job type: {allowed}")

    def named(declared: DeclaredType) -> DeclaredType:
        if not is_job_type(declared):
            raise TypeError(f"@job_type({name!r}) belongs on a class that inherits from JobType, not on {declared!r}")
        if "name" in vars(declared):
            raise TypeError(f"{declared.__qualname__}.name is the job type's own: rename that attribute")
        given: list[tuple[object, type]] = [(declared.policy, Policy), (declared.limits, Limits)]
        if not all(isinstance(value, wanted) for value, wanted in given):
            raise TypeError(f"{declared.__qualname__}: `policy` takes a Policy, and `limits` takes Limits")
        try:
            refuse_bad_queue(declared.queue)
            refuse_bad_priority(declared.priority)
        except (QueueInvalid, PriorityInvalid) as error:
            raise TypeError(f"{declared.__qualname__}: {error}") from error
        declared.request_model()
        declared.name = name
        return declared

    return named
