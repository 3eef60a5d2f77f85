"""The routes of commands on many jobs: which ones are meant, and one command on up to 200 of them."""

from bisect import bisect_right
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from milepost.interfaces.bootstrap import DatabaseUnavailable, JobFilter
from milepost.interfaces.documents import Json, to_json
from milepost.interfaces.error_mapping import problem_of
from milepost.interfaces.http import problems
from milepost.interfaces.http.access import Access, operator
from milepost.interfaces.http.job_routes import Asked, Viewer, meant
from milepost.interfaces.service import Change

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["jobs"])

MOST_AT_ONCE: Final = 200
MOST_IDS: Final = 10_000  # of one page


class BulkBody(Asked):
    """One command on many jobs."""

    command: Literal["stop", "resume", "cancel", "remove"]
    ids: list[UUID] = Field(min_length=1, max_length=MOST_AT_ONCE)
    reason: str = Field(default="", max_length=2_000)
    dry_run: bool = False


@router.get("/ids")
def list_ids(
    access: Viewer,
    which: Annotated[JobFilter, Depends(meant)],
    limit: Annotated[int, Query(ge=1, le=MOST_IDS)] = MOST_IDS,
    after: UUID | None = None,
) -> Response:
    """The ids of all that is meant, oldest first; `next` is what to give as `after` for the next page."""
    ids = access.service.matching(which)
    ids = ids[bisect_right(ids, str(after)) if after else 0 :]
    page = ids[:limit]
    return JSONResponse({"ids": page, "next": page[-1] if len(ids) > limit else None})


@router.post("/bulk")
def change_jobs(access: Annotated[Access, Depends(operator)], body: BulkBody) -> Response:
    """One command on each of these jobs, one after the other.

    `results` has for each job, in the order asked, what a command on it alone would have been answered with: what
    was done, or the problem that refused it. A job that refuses does not keep the others from being changed.
    """
    asked = Change(body.command, body.reason, body.dry_run)
    return JSONResponse({"results": [_result(access, str(job_id), asked) for job_id in body.ids]})


def _result(access: Access, job_id: str, asked: Change) -> Json:
    try:
        return to_json(access.service.change(job_id, asked))
    except DatabaseUnavailable:
        raise  # it is so for all of them
    except Exception as error:
        told = problem_of(error)
        if told is None:
            raise
        status = problems.STATUS[told.code]
        return {
            "id": job_id,
            "status": status,
            "error": told.word,
            "detail": told.message,
            "suggestion": told.suggestion,
        }
