"""The job types and observers that this process knows, by name: shipped, installed, or named in the settings."""

import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from operator import attrgetter
from types import ModuleType
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from milepost.domain.commands import StartJob
from milepost.domain.events import Json
from milepost.infrastructure.job_types.job_type import JobType, is_job_type
from milepost.infrastructure.observers.observer import Observer, is_observer
from milepost.infrastructure.observers.registry import Observers

ENTRY_POINT_GROUP: Final = "milepost.job_types"
SHIPPED: Final = (
    "milepost.infrastructure.job_types.self_test:SelfTest",
    "milepost.infrastructure.job_types.import_flights:ImportFlights",
    "milepost.infrastructure.job_types.observing.catch_up:CatchUpObserver",
    "milepost.infrastructure.job_types.observing.partitions:RecoverPartition",
    "milepost.infrastructure.job_types.observing.partitions:ReplayObserverPartition",
    "milepost.infrastructure.job_types.observing.replay:RebuildIndex",
    "milepost.infrastructure.job_types.observing.replay:ReplayObserver",
    "milepost.infrastructure.job_types.auditing.verify:VerifyHistories",
    "milepost.infrastructure.job_types.auditing.rebuild:RebuildReadModels",
    "milepost.infrastructure.flights.observers.aircraft_places:AircraftPlaces",
    "milepost.infrastructure.flights.observers.route_delays:RouteDelays",
    "milepost.infrastructure.flights.observers.flight_search:FlightSearch",
)


class UnknownJobType(Exception):
    """No job type of that name is known here."""

    def __init__(self, name: str, known: tuple[str, ...], problems: "tuple[LoadProblem, ...]" = ()) -> None:
        self.name, self.known, self.problems = name, known, problems
        missing = "".join(f" Not loaded: {problem.source} ({problem.error})." for problem in problems)
        super().__init__(f"Unknown job type {name!r}. Known here: {', '.join(known) or 'none'}.{missing}")


class RequestInvalid(Exception):
    """A request that does not fit its job type's model; `problems` says where and why."""

    def __init__(self, name: str, problems: tuple[str, ...]) -> None:
        self.name, self.problems = name, problems
        super().__init__(f"The request does not fit job type {name!r}: {'; '.join(problems)}")


class JobTypeBroken(Exception):
    """A method of a job type that is asked when a job is started raised, or gave no text."""

    def __init__(self, name: str, method: str, cause: str) -> None:
        self.name, self.method, self.cause = name, method, cause
        super().__init__(f"{method}() of job type {name!r} failed: {cause}")


@dataclass(frozen=True, slots=True)
class LoadProblem:
    """A source of job types that could not be loaded. It hides its own types and no others."""

    source: str
    error: str


class JobTypes:
    """Job types by name, and the observers that some work on. One name has one class: a second one is a problem."""

    def __init__(self, types: Iterable[type[JobType[Any]] | type[Observer]] = ()) -> None:
        self._types: dict[str, type[JobType[Any]]] = {}
        self.observers = Observers()
        self.modules: tuple[str, ...] = ()  # what `load` needs to make the same in another process
        self.problems: tuple[LoadProblem, ...] = ()
        for declared in types:
            source = f"{declared.__module__}:{declared.__qualname__}"
            self._add(declared, source)
            self.modules = (*self.modules, source)

    @classmethod
    def load(cls, modules: Iterable[str] = ()) -> "JobTypes":
        """The shipped types, those of installed packages, and those of `modules` ("pkg.mod" or "pkg.mod:Class")."""
        known = cls()
        known.modules = tuple(modules)
        points = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value))
        installed = [f"{point.module}:{point.attr}" if point.attr else point.module for point in points]
        for source in dict.fromkeys([*SHIPPED, *installed, *known.modules]):
            known._load(source)
        return known

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._types))

    def named(self, name: str) -> type[JobType[Any]]:
        """The class. Raises UnknownJobType."""
        declared = self._types.get(name)
        if declared is None:
            raise UnknownJobType(name, self.names(), self.problems)
        return declared

    def get(self, name: str) -> JobType[Any]:
        """A fresh instance. Raises UnknownJobType."""
        return self.named(name)()

    def parse(self, name: str, request: Mapping[str, Json]) -> BaseModel:
        """The request, which is JSON, as the type's model. Raises UnknownJobType or RequestInvalid."""
        try:
            text = json.dumps(request, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RequestInvalid(name, (f"it is not JSON: {error}",)) from error
        return self.parse_text(name, text)

    def parse_text(self, name: str, request: str) -> BaseModel:
        """The same for a request that is written already."""
        model = self.named(name).request_model()
        try:
            return model.model_validate_json(request)
        except ValidationError as error:
            raise RequestInvalid(name, tuple(_problem(found) for found in error.errors())) from error
        except Exception as error:  # a validator may raise anything, such as FileNotFoundError
            raise RequestInvalid(name, (_said(error),)) from error

    def request_schema(self, name: str) -> dict[str, Json]:
        """The JSON schema of the type's request. Raises UnknownJobType; JobTypeBroken where there can be none.

        That is found out here, and a problem from then on: to look at all of them when they are loaded takes long.
        """
        declared = self.named(name)
        try:
            return declared.request_model().model_json_schema()
        except Exception as error:
            cause = str(error).partition("\n")[0]
            found = LoadProblem(f"{declared.__module__}:{declared.__qualname__}", f"no schema of its request: {cause}")
            if found not in self.problems:
                self.problems = (*self.problems, found)
            raise JobTypeBroken(name, "model_json_schema", cause) from error

    def start_command(
        self,
        name: str,
        request: Mapping[str, Json],
        *,
        namespace: str,
        tags: tuple[str, ...] = (),
        queue: str | None = None,
        priority: int | None = None,
    ) -> StartJob:
        """The command that starts such a job; `queue` and `priority` are the type's own where none is given.

        Raises UnknownJobType, RequestInvalid or JobTypeBroken.
        """
        parsed = self.parse(name, request)
        job_type = self.get(name)
        return StartJob(
            namespace=namespace,
            job_type=name,
            request=self._stored(name, parsed),
            details=_told(job_type, "details", parsed) or "",
            key=_told(job_type, "key", parsed),
            limit_key=_told(job_type, "limit_key", parsed),
            supersedes=job_type.supersedes,
            tags=tags,
            policy=job_type.policy,
            queue=job_type.queue if queue is None else queue,
            priority=job_type.priority if priority is None else priority,
        )

    def _stored(self, name: str, parsed: BaseModel) -> dict[str, Json]:
        """What is kept of a request, defaults filled in; refused where a worker could not read it again."""
        stored: dict[str, Json] = parsed.model_dump(mode="json", by_alias=True, round_trip=True)
        try:
            self.parse(name, stored)
        except RequestInvalid as error:
            raise RequestInvalid(name, tuple(f"as it would be stored, {found}" for found in error.problems)) from error
        return stored

    def _load(self, source: str) -> None:
        module_name, _, class_name = source.partition(":")
        try:
            module = importlib.import_module(module_name)
            declared = [attrgetter(class_name)(module)] if class_name else _declared_in(module)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's module; it hides its own types only
            self._problem(source, f"{type(error).__name__}: {error}")
            return
        if not declared:
            self._problem(
                source,
                "it declares no job type and no observer: a JobType class decorated with @job_type(NAME), or an"
                " Observer class with @observer(NAME)",
            )
        for each in declared:
            self._add(each, source)

    def _add(self, declared: Any, source: str) -> None:
        if is_observer(declared) and "name" in vars(declared):
            if (other := self.observers.add(declared, shipped=source in SHIPPED)) is not declared:
                self._problem(source, f"observer {declared.name!r} is already {other.__qualname__}")
        elif not _is_named(declared):
            self._problem(
                source,
                f"{declared!r} is neither a JobType class decorated with @job_type(NAME) nor an Observer class with"
                " @observer(NAME)",
            )
        elif self._types.setdefault(declared.name, declared) is not declared:
            self._problem(source, f"job type {declared.name!r} is already {self._types[declared.name].__qualname__}")

    def _problem(self, source: str, error: str) -> None:
        self.problems = (*self.problems, LoadProblem(source, error))


def _is_named(declared: Any) -> bool:
    return is_job_type(declared) and isinstance(getattr(declared, "name", None), str)


def _declared_in(module: ModuleType) -> list[Any]:
    return [
        value
        for value in vars(module).values()
        if (is_job_type(value) or is_observer(value)) and "name" in vars(value) and value.__module__ == module.__name__
    ]


def _problem(found: Any) -> str:
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else str(found["msg"])


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: {error}"


def _told(job_type: JobType[Any], method: str, request: BaseModel) -> str | None:
    """What a job type says of a request. Raises JobTypeBroken."""
    try:
        told: object = getattr(job_type, method)(request)
    except Exception as error:
        raise JobTypeBroken(job_type.name, method, f"{type(error).__name__}: {error}") from error
    if told is not None and not isinstance(told, str):
        raise JobTypeBroken(job_type.name, method, f"it must give a text or None, not {type(told).__name__}")
    return told
