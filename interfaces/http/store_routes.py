"""The routes beside jobs: types, workers, namespaces."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from milepost.domain.lengths import LONGEST_JOB_TYPE
from milepost.infrastructure.event_store.tokens import Role
from milepost.interfaces.http.access import NO_NUL, Caller, EventStore, caller_of, origin_of
from milepost.interfaces.http.answers import NamespacesDocument, TypesDocument, WorkersDocument, answered, told
from milepost.interfaces.local_service import LocalService
from milepost.interfaces.result_documents import EventStoreState, JobTypeDocument

router = APIRouter(prefix="/api/event-stores/{event_store}", tags=["event store"])


async def _service(
    request: Request, caller: Annotated[Caller, Depends(caller_of)], event_store: EventStore
) -> LocalService:
    app = request.app.state.served.application(event_store)
    return LocalService(app, app.namespace, partial(origin_of, caller), caller.may_see)


Known = Annotated[LocalService, Depends(_service)]


@router.get("/types", responses=told(TypesDocument))
def list_types(service: Known, only: Annotated[Literal["problems"] | None, Query()] = None) -> Response:
    """The job types that are known, each with the JSON schema of its request, and why others could not be loaded."""
    return answered(TypesDocument([] if only else service.job_types(), list(service.type_problems())))


@router.get("/types/{name:path}", responses=told(JobTypeDocument))
def get_type(service: Known, name: Annotated[str, Path(max_length=LONGEST_JOB_TYPE, pattern=NO_NUL)]) -> Response:
    """One of them."""
    return answered(service.job_type(name))


@router.get("/workers", responses=told(WorkersDocument))
def list_workers(
    service: Known,
    all: Annotated[bool, Query(description="Also those that gave no sign of life for long.")] = False,  # noqa: A002
) -> Response:
    """Who works, on which of the jobs that the caller may see, since when."""
    return answered(WorkersDocument(service.workers(everyone=all)))


@router.get("/namespaces", responses=told(NamespacesDocument))
def list_namespaces(service: Known) -> Response:
    """Those that have jobs, and that the caller may see."""
    return answered(NamespacesDocument(service.namespaces()))


@router.get("/check", responses=told(EventStoreState))
def check_event_store(service: Known, caller: Annotated[Caller, Depends(caller_of)]) -> Response:
    """Whether it answers, and what is in it, of the namespaces that the caller may see.

    Whether it can be written is tried for those who may do more than view: what a viewer asks writes nothing.
    Where the database is, is not told to those who may see some namespaces alone.
    """
    state = service.check(writing=caller.may(Role.OPERATOR))
    return answered(state if caller.namespaces is None else replace(state, url=""))
