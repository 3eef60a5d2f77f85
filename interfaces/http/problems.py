"""Errors as problem+json (RFC 9457): the same words and advice as on the command line."""

import math
from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from milepost.domain.errors import VersionMismatch
from milepost.domain.observers.errors import PartitionWentOn
from milepost.infrastructure.job_types.registry import RequestInvalid
from milepost.interfaces.error_mapping import (
    CANNOT_CONNECT,
    INVALID,
    NOT_ALLOWED,
    NOT_FOUND,
    REFUSED,
    SERVER_ERROR,
    TIMED_OUT,
    WORDS,
    Problem,
    problem_of,
)

DEFECT: Final = 500
UNAVAILABLE: Final = 503
RETRY_SECONDS: Final = 2  # after which a database may answer again
STATUS: Final = {
    NOT_FOUND: 404,
    CANNOT_CONNECT: UNAVAILABLE,
    SERVER_ERROR: DEFECT,
    NOT_ALLOWED: 403,
    INVALID: 400,
    REFUSED: 409,
    TIMED_OUT: 504,
}
PRECONDITION_FAILED: Final = 412
MEDIA_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:milepost:problem:"
TITLES: Final[Mapping[str, str]] = {
    "not_found": "Not found",
    "connection_error": "The event store cannot be used now",
    "server_error": "A defect of the server",
    "validation_error": "Invalid input",
    "refused": "Refused by the state",
    "timeout": "Not done in time",
    "interrupted": "Interrupted",
    "not_authenticated": "Not authenticated",
    "not_allowed": "Not allowed",
    "method_not_allowed": "Method not allowed",
    "too_many_requests": "Too many requests",
    "gone": "Gone",
}
ERRORS_TOLD: Final = 5
LONGEST_TOLD: Final = 300  # characters of what a caller has sent that are sent back


def answer(status: int, error: str, message: str, suggestion: str = "", **more: Any) -> JSONResponse:
    """One problem."""
    body = {"type": TYPE + error, "title": TITLES[error], "status": status, "detail": message, "error": error, **more}
    return JSONResponse({**body, "suggestion": suggestion}, status, media_type=MEDIA_TYPE)


def not_authenticated() -> JSONResponse:
    response = answer(401, "not_authenticated", "No token that holds was given", "Send 'Authorization: Bearer TOKEN'")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def too_many(wait: float) -> JSONResponse:
    """`wait`: the seconds until it may be tried again."""
    response = answer(429, "too_many_requests", "Too many requests in a short time", "Ask again a little later")
    response.headers["Retry-After"] = str(math.ceil(wait))
    return response


def too_many_streams(message: str, *, of_one: bool) -> JSONResponse:
    """`of_one`: of this caller; else of all."""
    status, error = (429, "too_many_requests") if of_one else (UNAVAILABLE, "connection_error")
    response = answer(status, error, message, "Close those that are not needed, or come again later")
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


async def ours(_request: Request, error: Exception) -> JSONResponse:
    """An error of ours; what is none is a defect, told by its name alone: its text may hold what nobody may see."""
    told = problem_of(error)
    if told is None:
        told = Problem(SERVER_ERROR, f"a defect of Milepost: {type(error).__name__}", "The server's log has it whole")
    if told.code == CANNOT_CONNECT:
        return unavailable(getattr(error, "outcome", ""))
    status = PRECONDITION_FAILED if isinstance(error, VersionMismatch | PartitionWentOn) else STATUS[told.code]
    # One by one, so that a form can show each at its field.
    each = {"problems": list(error.problems)} if isinstance(error, RequestInvalid) else {}
    return answer(status, told.word, told.message, told.suggestion, **each)


def unavailable(outcome: str = "") -> JSONResponse:
    """Where the database is, and what it says, is for the server's log alone."""
    message = f"The event store cannot be used now. {outcome}".rstrip()
    response = answer(
        UNAVAILABLE, WORDS[CANNOT_CONNECT], message, "Ask again a little later; the server's log has more"
    )
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


async def misused(_request: Request, error: Exception) -> JSONResponse:
    """Parameters or a body that the route does not take."""
    assert isinstance(error, RequestValidationError)
    wrong = [
        {"where": ".".join(str(part) for part in each["loc"])[:LONGEST_TOLD], "what": str(each["msg"])[:LONGEST_TOLD]}
        for each in error.errors()[:ERRORS_TOLD]
    ]
    message = "; ".join(f"{each['where']}: {each['what']}" for each in wrong)
    return answer(400, WORDS[INVALID], message, "/openapi.json says what is taken", errors=wrong)


async def of_http(request: Request, error: Exception) -> JSONResponse:
    """No such route, or not by this method."""
    assert isinstance(error, HTTPException)
    word = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "validation_error")
    response = answer(error.status_code, word, str(error.detail), "/openapi.json lists what there is")
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(sorted(_methods_there(request)))
    return response


def _methods_there(request: Request) -> set[str]:
    """Of all routes of that path, and not of one that takes its name for an id: a router looks at one of them alone."""
    routes: tuple[APIRoute, ...] = request.app.state.routes
    there = [route for route in routes if route.path_regex.match(request.scope["path"])]
    nearest = max(map(_said_in_words, there), default=0)
    found = {method for route in there if _said_in_words(route) == nearest for method in route.methods or ()}
    return found | {"HEAD"} if "GET" in found else found


def _said_in_words(route: APIRoute) -> int:
    """How many parts of its path are the same for all that it is asked for."""
    return sum("{" not in part for part in route.path_format.split("/"))
