"""The route that a client asks first: what is served here, and who it is taken for."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from milepost import __version__
from milepost.infrastructure.event_store.tokens import Role

router = APIRouter(tags=["event store"])


@router.get("/api")
def entry(request: Request) -> Response:
    """What is served here, and who the caller is."""
    served = request.app.state.served
    caller = served.caller(served.name, request.headers.get("authorization"), request.client)
    token = caller.token
    role = (Role.ADMIN if token is None else token.role).name.lower()
    namespaces = None if token is None or token.namespaces is None else list(token.namespaces)
    who = {"name": caller.actor, "role": role, "namespaces": namespaces}
    return JSONResponse({"version": __version__, "eventStores": [served.name], "caller": who})
