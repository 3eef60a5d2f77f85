"""The routes of one namespace's observers and failed partitions, and of its diagnosis."""

from typing import Annotated, Final, Self

from fastapi import APIRouter, Body, Path, Query, Response
from pydantic import Field, JsonValue, model_validator
from starlette.convertors import Convertor, register_url_convertor

from milepost.domain.observers.slices import SLICES
from milepost.infrastructure.event_store.tokens import Role
from milepost.infrastructure.observers.observer import NAME
from milepost.infrastructure.observers.rows import PARTITION_MOST
from milepost.interfaces.http.access import NO_NUL, Access
from milepost.interfaces.http.answers import (
    FailedPartitionsPage,
    ObserverEventsPage,
    ObserversDocument,
    answered,
    told,
)
from milepost.interfaces.http.job_routes import Asked, CommandId, Operator, Reason, Viewer
from milepost.interfaces.http.moments import LARGEST
from milepost.interfaces.http.versions import etag
from milepost.interfaces.observer_documents import (
    DiagnosisDocument,
    FailedPartitionDocument,
    ObserverDocument,
    ObserverResult,
)
from milepost.interfaces.result_documents import StartResult
from milepost.interfaces.service import ObserverCommand, ObserverJobAsked, ObserverJobKind, PartitionCommand

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}", tags=["observers"])

MOST_EVENTS: Final = 1_000  # of one page
MOST_PARTITIONS: Final = 1_000
LONGEST_OBSERVER: Final = 200
LARGEST_POSITION: Final = 2**63 - 1
BETWEEN: Final = "/"  # an observer and its partition, where both are one text: no observer has it in its name
PLACE: Final = rf"^{NAME.pattern}{BETWEEN}[^\x00]+$"

# Published alone, but for what PostgreSQL cannot keep: what is no name or partition is refused as what is not there, in
# the words of the command line.
NAMED: Final[dict[str, JsonValue]] = {"pattern": rf"^{NAME.pattern}$", "maxLength": LONGEST_OBSERVER}
KEYED: Final[dict[str, JsonValue]] = {"minLength": 1, "maxLength": PARTITION_MOST}

ObserverName = Annotated[str, Path(pattern=NO_NUL, description="An observer's name.", json_schema_extra=NAMED)]
Partition = Annotated[str, Path(pattern=NO_NUL, description="A partition, percent-encoded.", json_schema_extra=KEYED)]
Position = Annotated[int | None, Field(ge=0, le=LARGEST_POSITION)]


class PartitionConvertor(Convertor[str]):
    """A partition in a URL: anything, slashes and line ends too."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("partition", PartitionConvertor())


class WhyBody(Asked):
    """Why."""

    reason: Reason = ""


class PartitionBody(WhyBody):
    """Why; and which event was seen to fail, so that no other is meant: else the answer is 412."""

    if_position: Position = None


class SkipBody(Asked):
    """Why an event is never to be handled, for somebody will ask; and which event was seen, as for a retry."""

    # Published alone: what is no reason is refused in the words of the command line.
    reason: Annotated[Reason, Field(json_schema_extra={"minLength": 1, "pattern": r"^[^\x00\s][^\x00]*$"})]
    if_position: Position = None


class JobBody(Asked):
    """How the job is to go about it, and why."""

    parallel: int | None = Field(default=None, ge=1, le=SLICES)
    reason: Reason = ""


class ReplayBody(JobBody):
    """All of it in place; `beside` what serves, until that is replaced; or one `partition` alone."""

    beside: bool = False
    partition: Annotated[str, Field(json_schema_extra=KEYED)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.partition is not None and (self.beside or self.parallel is not None):
            raise ValueError("a partition is replayed alone: leave out `beside` and `parallel`")
        return self

    @property
    def kind(self) -> ObserverJobKind:
        if self.partition is not None:
            return "replay-partition"
        return "replay-beside" if self.beside else "replay"


@router.get("/observers", responses=told(ObserversDocument))
def list_observers(access: Viewer) -> Response:
    """All observers that are declared here or have been seen in the namespace, by name, as they stand."""
    return answered(ObserversDocument(access.service.observers()))


@router.get("/observers/{name}", responses=told(ObserverDocument))
def get_observer(access: Viewer, name: ObserverName) -> Response:
    """One of them. Its version is that of its history; how far it is changes without it."""
    found = access.service.observer(name)
    return answered(found, headers={"ETag": etag(found.version)})


@router.get("/observers/{name}/history", responses=told(ObserverEventsPage))
def list_observer_events(
    access: Viewer,
    name: ObserverName,
    after: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 100,
) -> Response:
    """What has happened to it behind a version; `next` is what to give as `after` for the next page."""
    events = access.service.observer_history(name, after=after, limit=limit + 1)
    page = events[:limit]
    return answered(ObserverEventsPage(page, page[-1].version if len(events) > limit else None))


def _change(command: ObserverCommand, sentence: str) -> None:
    def change(access: Operator, name: ObserverName, body: Annotated[WhyBody | None, Body()] = None) -> Response:
        return answered(access.service.change_observer(name, command, body.reason if body else ""))

    change.__doc__ = sentence
    path = f"/observers/{{name}}/{command}"
    router.post(path, operation_id=f"{command}_observer", responses=told(ObserverResult))(change)


_change("pause", "Have it handle no live events until it is unpaused.")
_change("unpause", "Have it go on where it was, also after a quarantine.")


@router.post("/observers/{name}/replay", status_code=201, responses=told(StartResult, also=(201,)))
def replay_observer(
    access: Operator,
    name: ObserverName,
    body: Annotated[ReplayBody | None, Body()] = None,
    idempotency_key: CommandId = None,
) -> Response:
    """Start a job that has it handle all events again. 201 where it is new, 200 where it was there already."""
    body = body or ReplayBody()
    asked = ObserverJobAsked(body.kind, body.partition, body.parallel, body.reason, idempotency_key)
    return _started(access.service.start_on_observer(name, asked))


def _start(path: str, kind: ObserverJobKind, operation: str, sentence: str) -> None:
    def start(
        access: Operator,
        name: ObserverName,
        body: Annotated[JobBody | None, Body()] = None,
        idempotency_key: CommandId = None,
    ) -> Response:
        body = body or JobBody()
        asked = ObserverJobAsked(kind, None, body.parallel, body.reason, idempotency_key)
        return _started(access.service.start_on_observer(name, asked))

    start.__doc__ = f"{sentence} 201 where it is new, 200 where it was there already."
    responses = told(StartResult, also=(201,))
    router.post(f"/observers/{{name}}/{path}", status_code=201, operation_id=operation, responses=responses)(start)


_start("catch-up", "catch-up", "catch_up_observer", "Start a job that hands it what it is behind on.")
_start(
    "rebuild-index",
    "rebuild",
    "rebuild_index",
    "Start a job that builds its tables anew, verifies and then swaps them.",
)


def _started(result: StartResult) -> Response:
    return answered(result, 201 if result.changed else 200, {"ETag": etag(result.version)})


@router.get("/failed-partitions", responses=told(FailedPartitionsPage))
def list_failed_partitions(
    access: Viewer,
    observer: Annotated[str | None, Query(pattern=NO_NUL, json_schema_extra=NAMED)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_PARTITIONS)] = 100,
    after: Annotated[
        str | None,
        Query(
            pattern=PLACE,
            max_length=LONGEST_OBSERVER + len(BETWEEN) + PARTITION_MOST,
            description="An observer, a slash and a partition.",
        ),
    ] = None,
) -> Response:
    """Partitions that do not go on with the others; `next` is what to give as `after` for the next page."""
    behind = None
    if after is not None:
        name, _, partition = after.partition(BETWEEN)
        behind = (name, partition)
    found = access.service.failed_partitions(observer, limit=limit + 1, after=behind)
    page = found[:limit]
    last = f"{page[-1].observer}{BETWEEN}{page[-1].partition}" if len(found) > limit else None
    return answered(FailedPartitionsPage(page, last))


@router.get("/failed-partitions/{observer}/{partition:partition}", responses=told(FailedPartitionDocument))
def get_failed_partition(access: Viewer, observer: ObserverName, partition: Partition) -> Response:
    """One of them, with its attempts, newest first."""
    return answered(access.service.failed_partition(observer, partition))


@router.post("/failed-partitions/{observer}/{partition:partition}/retry", responses=told(ObserverResult))
def retry_partition(
    access: Operator, observer: ObserverName, partition: Partition, body: Annotated[PartitionBody | None, Body()] = None
) -> Response:
    """Have it tried again at once; its attempts count anew."""
    return _changed(access, observer, partition, "retry", body or PartitionBody())


@router.post("/failed-partitions/{observer}/{partition:partition}/skip", responses=told(ObserverResult))
def skip_partition(access: Operator, observer: ObserverName, partition: Partition, body: SkipBody) -> Response:
    """Have the event that failed never be handled, and what waits behind it go on."""
    return _changed(access, observer, partition, "skip", body)


def _changed(
    access: Access, observer: str, partition: str, command: PartitionCommand, body: PartitionBody | SkipBody
) -> Response:
    done = access.service.change_partition(observer, partition, command, body.reason, if_position=body.if_position)
    return answered(done)


@router.get("/diagnosis", responses=told(DiagnosisDocument))
def diagnose(access: Viewer) -> Response:
    """Whether event store, workers, observers, failed partitions and jobs are as they should be, and what is not.

    Whether the event store can be written is tried for who may write to it.
    """
    return answered(access.service.diagnose(writing=access.caller.may(Role.OPERATOR)))
