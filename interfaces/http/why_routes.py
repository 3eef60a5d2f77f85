"""The route that says why a job is as it is."""

from fastapi import APIRouter, Response

from milepost.interfaces.http.answers import answered, told
from milepost.interfaces.http.job_routes import JobId, Viewer
from milepost.interfaces.http.versions import etag
from milepost.interfaces.why_documents import WhyDocument

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["jobs"])


@router.get("/{job_id}/why", responses=told(WhyDocument))
def get_why(access: Viewer, job_id: JobId) -> Response:
    """Why it is as it is: a sentence, the shortest chain of events that explains it, and what would move it on."""
    why = access.service.why(str(job_id))
    return answered(why, headers={"ETag": etag(why.version)})
