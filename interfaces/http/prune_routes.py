"""The route that takes histories of ended jobs out of an event store."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from milepost.interfaces.http.access import Access, admin
from milepost.interfaces.http.answers import answered, told
from milepost.interfaces.http.job_routes import Asked, Reason, Word
from milepost.interfaces.http.moments import LARGEST, Time
from milepost.interfaces.prune_documents import PruneResult
from milepost.interfaces.pruning import MOST_AT_ONCE, PruneAsked

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["jobs"])

MOST_TYPES: Final = 50
Admin = Annotated[Access, Depends(admin)]
Ended = Literal["Cancelled", "CompletedSuccessfully", "CompletedWithFailures", "Failed", "Removed"]


class PruneBody(Asked):
    """Which jobs are to go: those that ended before a time, of these statuses and types (none: of all)."""

    before: Time
    statuses: list[Ended] = Field(default_factory=list[Ended], max_length=20)
    types: list[Word] = Field(default_factory=list, max_length=MOST_TYPES)
    keep: int = Field(default=0, ge=0, le=LARGEST)
    """Of each type, so many of the newest stay."""
    reason: Reason = ""
    dry_run: bool = True
    """Only say what would go; `false` has it go."""
    limit: int = Field(default=MOST_AT_ONCE, ge=1, le=MOST_AT_ONCE)


@router.post("/prune", responses=told(PruneResult))
def prune_jobs(access: Admin, body: PruneBody) -> Response:
    """Say which ended jobs would go, or with `dryRun: false` take them out for good; a tombstone of each stays.

    The oldest go first, and not for longer than ten seconds: while `more` is true, ask again.
    """
    asked = PruneAsked(
        body.before,
        tuple(body.statuses),
        tuple(body.types),
        body.keep,
        body.reason,
        body.dry_run,
        body.limit,
    )
    return answered(access.service.prune(asked))
