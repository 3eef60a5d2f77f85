"""What the newest job that verified the histories of a namespace has found: `diagnose` tells it."""

from collections.abc import Iterator
from typing import Final

from milepost.domain.state_machine import JobStatus
from milepost.interfaces.bootstrap import Application, JobFilter
from milepost.interfaces.observer_documents import FindingDocument

JOB_TYPE: Final = "verify-histories"
_ENDED: Final = JobFilter(
    types=(JOB_TYPE,), statuses=(str(JobStatus.COMPLETED_SUCCESSFULLY), str(JobStatus.COMPLETED_WITH_FAILURES))
)


def verified(app: Application, namespace: str) -> Iterator[FindingDocument]:
    """Nothing where none has come to its end; one that was stopped or failed itself has not."""
    for newest in app.queries.page(namespace, _ENDED, limit=1).rows:
        differs = newest["status"] == JobStatus.COMPLETED_WITH_FAILURES
        found = "what differs" if differs else "no difference"
        yield FindingDocument(
            "audit",
            newest["id"],
            healthy=not differs,
            message=f"{JOB_TYPE} of {newest['created_at'][:19]}Z found {found}",
            suggestion=f"See 'milepost jobs get {newest['id']}', and verify again when that is mended"
            if differs
            else "",
        )
