"""The route of one command on up to 200 jobs."""

from dataclasses import dataclass, replace
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Response
from pydantic import Field

from milepost.domain.errors import VersionMismatch
from milepost.interfaces.bootstrap import DatabaseUnavailable
from milepost.interfaces.documents import Document
from milepost.interfaces.http import problems, versions
from milepost.interfaces.http.access import NO_SPACES, Access
from milepost.interfaces.http.answers import answered, told
from milepost.interfaces.http.job_routes import Asked, Operator, Reason
from milepost.interfaces.http.moments import LARGEST
from milepost.interfaces.result_documents import CommandResult
from milepost.interfaces.service import Change, CommandName

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["jobs"])

MOST_AT_ONCE: Final = 200

BulkId = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Given again, it changes no job that it was done to.",
        min_length=1,
        max_length=150,  # that of each job has its id behind
        pattern=NO_SPACES,
    ),
]


@dataclass(frozen=True, slots=True)
class RefusedChange(Document):
    """What a command on one of several jobs was refused with."""

    id: str
    status: int
    """What the command alone would have been answered with."""
    error: str
    detail: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class BulkResult(Document):
    """What a command did to each of several jobs, in the order asked."""

    results: list[CommandResult | RefusedChange]


class BulkBody(Asked):
    """One command on many jobs."""

    command: CommandName
    ids: list[UUID] = Field(min_length=1, max_length=MOST_AT_ONCE)
    reason: Reason = ""
    dry_run: bool = False
    if_status_versions: dict[UUID, Annotated[int, Field(ge=0, le=LARGEST)]] = Field(
        default_factory=dict[UUID, int], max_length=MOST_AT_ONCE
    )
    """Of some of the jobs, the version of its newest change of status when it was seen: if it has another one by now,
    the job is left as it is, and answered for with 412."""


@router.post("/bulk", responses=told(BulkResult))
def change_jobs(access: Operator, body: BulkBody, idempotency_key: BulkId = None) -> Response:
    """One command on each of these jobs, one after the other.

    Each is answered for as if it were alone: what was done, or why it was refused. A job that refuses does not keep
    the others from being changed.
    """
    asked = Change(body.command, body.reason, body.dry_run)
    results = [
        _result(
            access,
            str(job_id),
            replace(
                asked,
                command_id=f"{idempotency_key}:{job_id}" if idempotency_key else None,
                if_status_version=body.if_status_versions.get(job_id),
            ),
        )
        for job_id in body.ids
    ]
    return answered(BulkResult(results))


def _result(access: Access, job_id: str, asked: Change) -> CommandResult | RefusedChange:
    try:
        return access.service.change(job_id, asked)
    except DatabaseUnavailable:
        raise  # it is so for all of them
    except Exception as error:
        problem = problems.problem_over_http(error)
        if problem is None:
            raise
        status, detail = problems.STATUS[problem.code], problem.message
        if isinstance(error, VersionMismatch):
            status, detail = problems.PRECONDITION_FAILED, versions.NotThatVersion(access, error).told
        return RefusedChange(job_id, status, problem.word, detail, problem.suggestion)
