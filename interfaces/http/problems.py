"""Errors as problem+json (RFC 9457): the same words and advice as on the command line."""

from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

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

STATUS: Final = {
    NOT_FOUND: 404,
    CANNOT_CONNECT: 503,
    SERVER_ERROR: 500,
    NOT_ALLOWED: 403,
    INVALID: 400,
    REFUSED: 409,
    TIMED_OUT: 504,
}
PRECONDITION_FAILED: Final = 412
MEDIA_TYPE: Final = "application/problem+json"


def answer(status: int, error: str, message: str, suggestion: str = "", **more: Any) -> JSONResponse:
    """One problem."""
    body = {"status": status, "title": error.replace("_", " "), "error": error, "detail": message, **more}
    return JSONResponse({**body, "suggestion": suggestion}, status, media_type=MEDIA_TYPE)


async def ours(_request: Request, error: Exception) -> JSONResponse:
    """An error of ours; what is none is a defect, told by its name alone: its text may hold what nobody may see."""
    told = problem_of(error)
    if told is None:
        told = Problem(SERVER_ERROR, f"a defect of Milepost: {type(error).__name__}", "The server's log has it whole")
    status = PRECONDITION_FAILED if type(error).__name__ == "VersionMismatch" else STATUS[told.code]
    # One by one, so that a form can show each at its field.
    each = {"problems": list(error.problems)} if isinstance(error, RequestInvalid) else {}
    return answer(status, told.word, told.message, told.suggestion, **each)


async def misused(_request: Request, error: Exception) -> JSONResponse:
    """Parameters or a body that the route does not take."""
    assert isinstance(error, RequestValidationError)
    wrong = [{"in": ".".join(str(part) for part in each["loc"]), "what": each["msg"]} for each in error.errors()]
    message = "; ".join(f"{each['in']}: {each['what']}" for each in wrong[:5])
    return answer(400, WORDS[INVALID], message, "/openapi.json says what is taken", errors=wrong)


async def of_http(_request: Request, error: Exception) -> JSONResponse:
    """No such route, or not by this method."""
    assert isinstance(error, HTTPException)
    word = {404: "not_found", 405: "method_not_allowed", 401: "not_authenticated"}.get(error.status_code, "refused")
    response = answer(error.status_code, word, str(error.detail))
    response.headers.update(error.headers or {})
    return response
