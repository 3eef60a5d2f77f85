"""The route that a client asks first: what is served here, and who it is taken for."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from milepost import __version__
from milepost.interfaces.http.access import Caller, whoever
from milepost.interfaces.http.answers import CallerDocument, EntryDocument, answered, told

router = APIRouter(tags=["event store"])


@router.get("/api", responses=told(EntryDocument))
async def entry(request: Request, caller: Annotated[Caller, Depends(whoever)]) -> Response:
    """What is served here, and who the caller is."""
    namespaces = None if caller.namespaces is None else list(caller.namespaces)
    who = CallerDocument(caller.actor, caller.role.name.lower(), namespaces)
    return answered(EntryDocument(__version__, [request.app.state.served.name], who))
