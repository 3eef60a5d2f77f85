"""The routes of one namespace's jobs."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.documents import camel, to_json
from milepost.interfaces.http.access import Access, operator, viewer
from milepost.interfaces.service import Change, CommandName, StartAsked, StepsAsked

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["jobs"])

MOST_JOBS: Final = 1_000  # of one page
MOST_STEPS: Final = 1_000
MOST_EVENTS: Final = 1_000
LARGEST: Final = 1_000_000_000

Viewer = Annotated[Access, Depends(viewer)]
Operator = Annotated[Access, Depends(operator)]
JobId = Annotated[UUID, Path(description="A whole id.")]
Texts = Annotated[list[Annotated[str, Field(max_length=200)]], Query(max_length=50)]
IfMatch = Annotated[
    str | None,
    Header(
        description=(
            'The ETag that it must still have: "42". Or "status-37": the version of its newest change of status, which'
            " stays the same while its steps report."
        ),
        max_length=40,
    ),
]
CommandId = Annotated[
    str | None, Header(alias="Idempotency-Key", description="Given again, it changes nothing.", max_length=200)
]


class Asked(BaseModel):
    """A body; names are in camelCase."""

    model_config = ConfigDict(alias_generator=camel, extra="forbid", populate_by_name=True)


class StartBody(Asked):
    """A job that is wanted."""

    type: str = Field(max_length=200)
    request: dict[str, Any] = Field(default_factory=dict)
    tags: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=50)
    queue: str | None = Field(default=None, max_length=100)
    priority: int | None = None
    reason: str = Field(default="", max_length=2_000)


class ChangeBody(Asked):
    """Why, and how."""

    reason: str = Field(default="", max_length=2_000)
    dry_run: bool = False
    skip_cleanup: bool = False


def meant(
    status: Annotated[list[JobStatus], Query(max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    type: Texts = [],  # noqa: A002, B006 - the parameter's name
    tag: Texts = [],  # noqa: B006
    since: datetime | None = None,
    until: datetime | None = None,
    live: bool = False,
    id: Annotated[  # noqa: A002 - the parameter's name
        str, Query(pattern=r"^[0-9a-fA-F-]{0,36}$", description="How their ids begin.")
    ] = "",
) -> JobFilter:
    """Which jobs are meant: by status, type, tags (all of them), creation, beginning of the id."""
    return JobFilter(tuple(each.value for each in status), tuple(type), tuple(tag), since, until, live, id)


@router.get("")
def list_jobs(
    access: Viewer,
    which: Annotated[JobFilter, Depends(meant)],
    limit: Annotated[int, Query(ge=1, le=MOST_JOBS)] = 100,
    after: UUID | None = None,
    order: Literal["newest", "oldest"] = "newest",
) -> Response:
    """A page of jobs; `next` is what to give as `after` for the next one."""
    page = access.service.jobs(which, limit=limit, after=str(after) if after else None, oldest_first=order == "oldest")
    return JSONResponse({"jobs": to_json(page.jobs), "next": page.jobs[-1].id if page.more else None})


@router.get("/counts")
def count_jobs(access: Viewer, which: Annotated[JobFilter, Depends(meant)]) -> Response:
    """How many there are of each status."""
    return JSONResponse({"counts": access.service.counts(which)})


@router.post("", status_code=201)
def start_job(access: Operator, body: StartBody, idempotency_key: CommandId = None) -> Response:
    """Accept a job. 201 where it is new, 200 where it was there already."""
    asked = StartAsked(
        body.type, body.request, tuple(body.tags), body.queue, body.priority, idempotency_key, body.reason
    )
    result = access.service.start(asked)
    return JSONResponse(to_json(result), 201 if result.changed else 200, {"ETag": _etag(result.version)})


@router.get("/{job_id}")
def get_job(
    access: Viewer,
    job_id: JobId,
    steps: Annotated[int, Query(ge=0, le=MOST_STEPS)] = 100,
    steps_after: Annotated[int, Query(alias="stepsAfter", ge=-1, le=LARGEST)] = -1,
    step_status: Annotated[list[StepStatus], Query(alias="stepStatus", max_length=20)] = [],  # noqa: B006
    if_none_match: Annotated[str | None, Header(max_length=40)] = None,
) -> Response:
    """Everything of one job, with a page of its steps."""
    statuses = tuple(each.value for each in step_status)
    job = access.service.job(str(job_id), StepsAsked(steps, steps_after, statuses))
    etag = _etag(job.version)
    if if_none_match == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return JSONResponse(to_json(job), headers={"ETag": etag})


@router.get("/{job_id}/events")
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
    return JSONResponse({"events": to_json(page), "next": page[-1].version if len(events) > limit else None})


def _change(command: CommandName, sentence: str) -> None:
    def change(
        access: Operator,
        job_id: JobId,
        body: Annotated[ChangeBody | None, Body()] = None,
        if_match: IfMatch = None,
        idempotency_key: CommandId = None,
    ) -> Response:
        body = body or ChangeBody()
        asked = Change(
            command,
            body.reason,
            body.dry_run,
            *_versions(if_match),
            command_id=idempotency_key,
            skip_cleanup=body.skip_cleanup,
        )
        result = access.service.change(str(job_id), asked)
        return JSONResponse(to_json(result), headers={"ETag": _etag(result.version)})

    change.__doc__ = sentence
    router.post(f"/{{job_id}}/{command}", operation_id=f"{command}_job")(change)


_change("stop", "Ask it to come to rest at its next checkpoint; it is at rest when its status is Stopped.")
_change("resume", "Let it go on from its checkpoints.")
_change("cancel", "Give it up for good; its cleanup runs.")
_change("remove", "Take a job at rest out of the lists.")


def _etag(version: int) -> str:
    return f'"{version}"'


def _versions(etag: str | None) -> tuple[int | None, int | None]:
    """The version that is expected, and that of the newest change of status."""
    if etag is None or etag == "*":
        return None, None
    text = etag.strip('"')
    number = text.removeprefix("status-")
    version = int(number) if number.isascii() and number.isdigit() else -1  # one that no job ever has
    return (version, None) if text == number else (None, version)
