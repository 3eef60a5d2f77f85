"""The routes beside jobs: types, workers, namespaces, the event store, and what a monitor asks."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from milepost import __version__
from milepost.interfaces.documents import to_json
from milepost.interfaces.http.access import Caller, EventStore, caller_of
from milepost.interfaces.local_service import LocalService

router = APIRouter(tags=["event store"])
Known = Annotated[Caller, Depends(caller_of)]


def _service(request: Request, event_store: str) -> LocalService:
    app = request.app.state.served.application(event_store)
    return LocalService(app, app.namespace)


@router.get("/api/event-stores/{event_store}/types")
def list_types(
    request: Request, event_store: EventStore, _: Known, only: Literal["problems"] | None = None
) -> Response:
    """The job types that are known, each with the JSON schema of its request, and why others could not be loaded."""
    service = _service(request, event_store)
    found = [] if only else service.job_types()
    return JSONResponse({"types": to_json(found), "problems": list(service.type_problems())})


@router.get("/api/event-stores/{event_store}/types/{name:path}")
def get_type(request: Request, event_store: EventStore, name: str, _: Known) -> Response:
    """One of them."""
    return JSONResponse(to_json(_service(request, event_store).job_type(name)))


@router.get("/api/event-stores/{event_store}/workers")
def list_workers(request: Request, event_store: EventStore, _: Known, all: bool = False) -> Response:  # noqa: A002
    """Who works, on what, since when."""
    return JSONResponse({"workers": to_json(_service(request, event_store).workers(everyone=all))})


@router.get("/api/event-stores/{event_store}/namespaces")
def list_namespaces(request: Request, event_store: EventStore, caller: Known) -> Response:
    """Those that have jobs, and that the caller may see."""
    found = [each for each in _service(request, event_store).namespaces() if caller.may_see(each.name)]
    return JSONResponse({"namespaces": to_json(found)})


@router.get("/api/event-stores/{event_store}/check")
def check_event_store(request: Request, event_store: EventStore, caller: Known) -> Response:
    """Whether it answers and can be written, and what is in it, of the namespaces that the caller may see."""
    return JSONResponse(to_json(_service(request, event_store).check(caller.may_see)))


@router.get("/api")
def about(request: Request) -> Response:
    """What is served here, and who the server takes the caller for."""
    served = request.app.state.served
    caller: Caller = caller_of(request, served.name)
    token = caller.token
    return JSONResponse(
        {
            "version": __version__,
            "eventStores": [served.name],
            "caller": {
                "name": caller.actor,
                "role": token.role.name.lower() if token else "admin",
                "namespaces": sorted(token.namespaces) if token and token.namespaces is not None else None,
            },
        }
    )


@router.get("/healthz", response_class=PlainTextResponse)
def is_alive() -> str:
    """Whether the server runs."""
    return "ok"


@router.get("/readyz")
def is_ready(request: Request) -> Response:
    """Whether its event store answers."""
    served = request.app.state.served
    served.app.queries.live_workers(served.app.now())
    return JSONResponse({"ready": True})
