"""The route that tells what differs: in one job between two moments, or between two jobs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from milepost.interfaces.diff_documents import JobDiff, RunComparison
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.http.answers import answered
from milepost.interfaces.http.job_routes import MOST_STEPS, JobId, Viewer
from milepost.interfaces.http.moments import Begin, End

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["jobs"])


@router.get("/{job_id}/diff", responses={200: {"model": JobDiff | RunComparison}})
def diff(
    access: Viewer,
    job_id: JobId,
    begin: Annotated[Begin | None, Query(alias="from", description="A version of its history, or a time.")] = None,
    end: Annotated[End | None, Query(alias="to", description="Likewise; else it is now.")] = None,
    other: Annotated[UUID | None, Query(description="Another job, in place of two moments.")] = None,
    steps: Annotated[int, Query(ge=0, le=MOST_STEPS)] = 100,
    across_types: Annotated[bool, Query(alias="acrossTypes", description="Also jobs of different types.")] = False,
) -> Response:
    """What changed in it `from` one moment `to` another; or how it compares with `other`, step by step."""
    if (begin is None) == (other is None) or (other is not None and end is not None):
        raise Told(
            INVALID, "A diff is of two moments or of two jobs", "Give 'from', and 'to' where it is not now; or 'other'"
        )
    if other is not None:
        return answered(access.service.compare(str(job_id), str(other), steps=steps, across_types=across_types))
    assert begin is not None
    return answered(access.service.diff(str(job_id), begin, end, steps=steps))
