"""The route of one command on up to 200 jobs."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from milepost.interfaces.bootstrap import DatabaseUnavailable
from milepost.interfaces.documents import Document
from milepost.interfaces.error_mapping import problem_of
from milepost.interfaces.http import problems
from milepost.interfaces.http.access import Access
from milepost.interfaces.http.answers import answered, told
from milepost.interfaces.http.job_routes import Asked, Operator, Reason
from milepost.interfaces.result_documents import CommandResult
from milepost.interfaces.service import Change, CommandName

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["jobs"])

MOST_AT_ONCE: Final = 200


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


@router.post("/bulk", responses=told(BulkResult))
def change_jobs(access: Operator, body: BulkBody) -> Response:
    """One command on each of these jobs, one after the other.

    Each is answered for as if it were alone: what was done, or why it was refused. A job that refuses does not keep
    the others from being changed.
    """
    asked = Change(body.command, body.reason, body.dry_run)
    return answered(BulkResult([_result(access, str(job_id), asked) for job_id in body.ids]))


def _result(access: Access, job_id: str, asked: Change) -> CommandResult | RefusedChange:
    try:
        return access.service.change(job_id, asked)
    except DatabaseUnavailable:
        raise  # it is so for all of them
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        return RefusedChange(job_id, problems.STATUS[problem.code], problem.word, problem.message, problem.suggestion)
