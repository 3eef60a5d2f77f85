"""The routes of one namespace's jobs."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from milepost.domain.errors import VersionMismatch
from milepost.domain.queues import HIGHEST_PRIORITY, LOWEST_PRIORITY
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.interfaces.asked_texts import LONGEST_REASON, LONGEST_TAG, MOST_TAGS
from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.documents import camel
from milepost.interfaces.http import versions
from milepost.interfaces.http.access import ID_BEGUN, NAME, NO_NUL, NO_SPACES, Access, operator, viewer
from milepost.interfaces.http.answers import (
    EventsPage,
    IdsPage,
    JobCounts,
    JobHints,
    JobsPage,
    ShortIds,
    WholeId,
    answered,
    told,
)
from milepost.interfaces.http.moments import LARGEST, At, Instant
from milepost.interfaces.http.versions import ETAGS, etag
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.result_documents import CommandResult, StartResult
from milepost.interfaces.service import AT_REST, Change, CommandName, StartAsked, StepsAsked

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["jobs"])

MOST_JOBS: Final = 1_000  # of one page
MOST_STEPS: Final = 10_000
MOST_IDS: Final = 10_000
MOST_SHORTENED: Final = 100  # they stand in the URL
MOST_OFFERED: Final = 100
MOST_EVENTS: Final = 1_000
LONGEST_ETAGS: Final = 200
NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "It is as it was."}}

Viewer = Annotated[Access, Depends(viewer)]
Operator = Annotated[Access, Depends(operator)]
JobId = Annotated[UUID, Path(description="A whole id.")]


def _id_begun(fewest: int, description: str) -> Any:
    # The pattern is published alone: what is none is refused in the words of the command line.
    pattern = f"^[0-9a-fA-F]{{{fewest},8}}$"
    return Query(max_length=200, description=description, json_schema_extra={"pattern": pattern})


JobIdBegun = Annotated[str, _id_begun(1, "The beginning of an id.")]
AnyJobIdBegun = Annotated[str, _id_begun(0, "The beginning of an id; nothing: of any.")]
Word = Annotated[str, Field(max_length=LONGEST_TAG, pattern=NO_NUL)]
Reason = Annotated[str, Field(max_length=LONGEST_REASON, pattern=NO_NUL)]
Texts = Annotated[list[Word], Query(max_length=50)]
IfMatch = Annotated[
    str | None,
    Header(
        description=(
            'The ETag that it must still have: "42". Or "status-37": the version of its newest change of status, which'
            " stays the same while its steps report."
        ),
        max_length=LONGEST_ETAGS,
        pattern=ETAGS,
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(description="An ETag that is known already.", max_length=LONGEST_ETAGS, pattern=ETAGS)
]
CommandId = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Given again, it changes nothing.",
        min_length=1,
        max_length=200,
        pattern=NO_SPACES,
    ),
]


class Asked(BaseModel):
    """A body; names are in camelCase."""

    model_config = ConfigDict(alias_generator=camel, extra="forbid", populate_by_name=True)


class StartBody(Asked):
    """A job that is wanted."""

    type: Word
    request: dict[str, Any] = Field(default_factory=dict)
    tags: list[Word] = Field(default_factory=list, max_length=MOST_TAGS)
    queue: str | None = Field(default=None, pattern=NAME)
    priority: int | None = Field(default=None, ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)
    reason: Reason = ""


class ChangeBody(Asked):
    """Why, and how."""

    reason: Reason = ""
    dry_run: bool = False
    skip_cleanup: bool = False


async def meant(
    status: Annotated[list[JobStatus], Query(max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    type: Texts = [],  # noqa: A002, B006 - the parameter's name
    tag: Texts = [],  # noqa: B006
    since: Instant | None = None,
    until: Instant | None = None,
    live: bool = False,
    id: Annotated[str, Query(pattern=ID_BEGUN, description="How their ids begin.")] = "",  # noqa: A002 - likewise
) -> JobFilter:
    """Which jobs are meant: by status, type, tags (all of them), creation, beginning of the id."""
    return JobFilter(tuple(each.value for each in status), tuple(type), tuple(tag), since, until, live, id)


@router.get("", responses=told(JobsPage))
def list_jobs(
    access: Viewer,
    which: Annotated[JobFilter, Depends(meant)],
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 100,
    after: UUID | None = None,
    order: Literal["newest", "oldest"] = "newest",
    at: At = None,
) -> Response:
    """A page of jobs; `next` is what to give as `after` for the next one. `at`: those that there were then."""
    page = access.service.jobs(
        which, limit=limit, after=str(after) if after else None, oldest_first=order == "oldest", at=at
    )
    return answered(JobsPage(list(page.jobs), page.jobs[-1].id if page.more else None))


@router.get("/counts", responses=told(JobCounts))
def count_jobs(access: Viewer, which: Annotated[JobFilter, Depends(meant)]) -> Response:
    """How many there are of each status."""
    return answered(JobCounts(access.service.counts(which)))


@router.get("/ids", responses=told(IdsPage))
def list_ids(
    access: Viewer,
    which: Annotated[JobFilter, Depends(meant)],
    limit: Annotated[int, Query(ge=1, le=MOST_IDS)] = MOST_IDS,
    after: UUID | None = None,
    versions: Annotated[bool, Query(description="With what a bulk command can insist on.")] = False,
) -> Response:
    """The ids of all that are meant, oldest first; `next` is what to give as `after` for the next page."""
    behind = str(after) if after else None
    seen: dict[str, int] = {}
    if versions:
        seen = access.app.queries.status_versions(access.service.namespace, which, after=behind, limit=limit + 1)
    found = list(seen) if versions else access.service.matching(which, after=behind, limit=limit + 1)
    page = found[:limit]
    told_versions = [seen[job_id] for job_id in page] if versions else None
    return answered(IdsPage(page, page[-1] if len(found) > limit else None, told_versions))


@router.get("/resolve", responses=told(WholeId))
def resolve_id(access: Viewer, id: JobIdBegun) -> Response:  # noqa: A002 - the parameter's name
    """The whole id of the one job whose id begins so."""
    return answered(WholeId(access.service.resolve(id)))


@router.get("/beginning", responses=told(JobHints))
def list_beginning(
    access: Viewer,
    id: AnyJobIdBegun = "",  # noqa: A002 - the parameter's name
    limit: Annotated[int, Query(ge=1, le=MOST_OFFERED)] = MOST_OFFERED,
) -> Response:
    """The newest jobs whose id begins so, in few words: what a shell completes."""
    return answered(JobHints(access.service.beginning(id, limit=limit)))


@router.get("/shortened", responses=told(ShortIds))
def shorten_ids(access: Viewer, id: Annotated[list[UUID], Query(max_length=MOST_SHORTENED)]) -> Response:  # noqa: A002
    """Each of these ids, as short as it may be given and still mean only this job."""
    return answered(ShortIds(access.service.shortened([str(each) for each in id])))


@router.post("", status_code=201, responses=told(StartResult, also=(201,)))
def start_job(access: Operator, body: StartBody, idempotency_key: CommandId = None) -> Response:
    """Accept a job. 201 where it is new, 200 where it was there already."""
    asked = StartAsked(
        body.type, body.request, tuple(body.tags), body.queue, body.priority, idempotency_key, body.reason
    )
    result = access.service.start(asked)
    return answered(result, 201 if result.changed else 200, {"ETag": etag(result.version)})


@router.get("/{job_id}", responses=told(JobDocument) | NOT_MODIFIED)
def get_job(
    access: Viewer,
    job_id: JobId,
    steps: Annotated[int, Query(ge=0, le=MOST_STEPS)] = 100,
    steps_after: Annotated[int, Query(alias="stepsAfter", ge=-1, le=LARGEST)] = -1,
    step_status: Annotated[list[StepStatus], Query(alias="stepStatus", max_length=20)] = [],  # noqa: B006
    noteworthy: Annotated[bool, Query(description="First the steps that failed or are under way.")] = False,
    begun: Annotated[bool, Query(description="Only steps that have begun and not ended.")] = False,
    at: At = None,
    version: Annotated[int | None, Query(ge=1, le=LARGEST, description="As it was at this version.")] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Everything of one job, with a page of its steps: as it is, or as it was."""
    statuses = tuple(each.value for each in step_status)
    asked = StepsAsked(steps, steps_after, statuses, noteworthy, begun)
    job = access.service.job(str(job_id), asked, at=at, version=version)
    # While a job is live, its document says more than its version: rates, and what it waits for.
    if (
        if_none_match is not None
        and job.as_of is None
        and job.status in AT_REST
        and versions.is_known(if_none_match, job.version)
    ):
        return Response(status_code=304, headers={"ETag": etag(job.version)})
    return answered(job, headers={"ETag": etag(job.version)})


@router.get("/{job_id}/events", responses=told(EventsPage))
def list_events(
    access: Viewer,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 100,
    event: Texts = [],  # noqa: B006
) -> Response:
    """Its events behind a version; `next` is what to give as `after` for the next page."""
    events = list(access.service.history(str(job_id), after=after, limit=limit + 1, names=event))
    page = events[:limit]
    return answered(EventsPage(page, page[-1].version if len(events) > limit else None))


def _change(command: CommandName, sentence: str) -> None:
    def change(
        access: Operator,
        job_id: JobId,
        body: Annotated[ChangeBody | None, Body()] = None,
        if_match: IfMatch = None,
        idempotency_key: CommandId = None,
    ) -> Response:
        body = body or ChangeBody()
        status = None if if_match is None else versions.expected_status(if_match)
        expected = None if if_match is None or status is not None else versions.expected(access, job_id, if_match)
        asked = Change(command, body.reason, body.dry_run, expected, idempotency_key, body.skip_cleanup, status)
        try:
            result = access.service.change(str(job_id), asked)
        except VersionMismatch as error:
            raise versions.NotThatVersion(access, error) from error
        return answered(result, headers={"ETag": etag(result.version)})

    change.__doc__ = sentence
    router.post(f"/{{job_id}}/{command}", operation_id=f"{command}_job", responses=told(CommandResult))(change)


_change("stop", "Ask it to come to rest at its next checkpoint; it is at rest when its status is Stopped.")
_change("resume", "Let it go on from its checkpoints.")
_change("cancel", "Give it up for good; its cleanup runs.")
_change("remove", "Take a job at rest out of the lists.")
