"""What the newest job that verified the histories of a namespace has found: `diagnose` tells it."""

from collections.abc import Iterator
from typing import Final

from milepost.domain.state_machine import JobStatus
from milepost.interfaces.bootstrap import Application, JobFilter
from milepost.interfaces.observer_documents import FindingDocument

JOB_TYPE: Final = "verify-histories"
_DIFFERS: Final = JobFilter(types=(JOB_TYPE,), statuses=(str(JobStatus.COMPLETED_WITH_FAILURES),))
_TRUE: Final = JobFilter(types=(JOB_TYPE,), statuses=(str(JobStatus.COMPLETED_SUCCESSFULLY),))


def verified(app: Application, namespace: str) -> Iterator[FindingDocument]:
    """Nothing where none has come to its end; one that was stopped or failed itself has not."""
    found = [*app.queries.page(namespace, _DIFFERS, limit=1).rows, *app.queries.page(namespace, _TRUE, limit=1).rows]
    if not found:
        return
    newest = max(found, key=lambda row: row["id"])
    differs = newest["status"] == JobStatus.COMPLETED_WITH_FAILURES
    yield FindingDocument(
        "audit",
        newest["id"],
        healthy=not differs,
        message=f"{JOB_TYPE} of {newest['created_at'][:19]}Z found {'what differs' if differs else 'no difference'}",
        suggestion=f"See 'milepost jobs get {newest['id']}', and verify again when that is mended" if differs else "",
    )
