"""The route of a job's timeline: when its steps ran, on which worker, with attempts and stops."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from milepost.interfaces.bootstrap import Row
from milepost.interfaces.http.access import Access
from milepost.interfaces.http.answers import answered, told
from milepost.interfaces.http.job_routes import NOT_MODIFIED, IfNoneMatch, JobId, Viewer
from milepost.interfaces.http.moments import LARGEST
from milepost.interfaces.http.versions import etag, is_known
from milepost.interfaces.service import AT_REST
from milepost.interfaces.timeline import TimelineDocument, chosen_rows, timeline

if TYPE_CHECKING:
    from milepost.interfaces.http.app import Served

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["jobs"])

StepIndex = Annotated[int | None, Query(ge=0, le=LARGEST)]


@router.get("/{job_id}/timeline", responses=told(TimelineDocument) | NOT_MODIFIED)
def get_timeline(
    request: Request,
    access: Viewer,
    job_id: JobId,
    first: StepIndex = None,
    last: StepIndex = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """When its steps ran: at most 200 rows, each of one step or of several that follow one another.

    `first` and `last` are indexes of steps, to look at a part of them more closely.
    """
    row = access.app.queries.job(access.service.namespace, str(job_id))
    headers = {"ETag": etag(row["version"])}
    # While a job is live, its picture says more than its version: how far the time has come, and its reports.
    if if_none_match is not None and row["status"] in AT_REST and is_known(if_none_match, row["version"]):
        return Response(status_code=304, headers=headers)
    served: Served = request.app.state.served
    return answered(_timeline(served, access, row, first or 0, last), headers=headers)


def _timeline(served: "Served", access: Access, row: Row, first: int, last: int | None) -> TimelineDocument:
    end: int = row["total"] - 1
    to = end if last is None else min(last, end)
    steps = access.app.queries.steps_at(row["id"], range(first, to + 1, chosen_rows(first, to)))
    with served.attempts.of(UUID(row["id"])) as found:
        return timeline(
            found,
            job_id=row["id"],
            version=row["version"],
            status=row["status"],
            total=row["total"],
            first=first,
            last=to,
            names={step["step"]: step["name"] for step in steps},
            advanced_at=row["advanced_at"],
        )
