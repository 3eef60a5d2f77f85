"""The published description of the API: who may ask, and every problem that a route can answer with."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from milepost.interfaces.http.answers import ProblemDocument
from milepost.interfaces.http.guard import is_for_callers
from milepost.interfaces.http.problems import MEDIA_TYPE

DESCRIPTION: Final = """The jobs of an event store: the same documents as on the command line.

Errors are problem+json (RFC 9457), with `error`, one word for programs, and `suggestion`, what to do."""
PROBLEM: Final = "#/components/schemas/ProblemDocument"
TOKEN: Final = "token"
WRITING: Final = frozenset({"post", "put", "patch", "delete"})
FOR_ALL: Final = {
    400: "What was sent is not what is taken.",
    414: "The URL is too long.",
    421: "Asked by a name that is not this server's.",
    431: "The headers are too long.",
}
FOR_CALLERS: Final = {
    401: "No token that holds was given.",
    429: "Too many requests in a short time; `Retry-After` says when to ask again.",
    503: "The event store cannot be used now; `Retry-After` says when to ask again.",
}
OF_EVENT_STORES: Final = {404: "There is no such thing, or none that the token is for."}
FOR_WRITERS: Final = {
    403: "The token's role does not allow it, or a page of another site has asked.",
    408: "The body did not arrive in time.",
    413: "The body is too long.",
    415: "The body is no JSON.",
}
FOR_COMMANDS: Final = {
    409: "The state of the job, observer or partition refuses it, or the idempotency key was used for something else.",
}
OF_PARTITIONS: Final = {412: "Another event than that at `ifPosition` fails there now: nothing was done."}
FOR_CHANGES: Final = {412: "The job is at another version than `If-Match` says: nothing was done."}
RETRY_AFTER: Final = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}


def publish(app: FastAPI) -> None:
    """Let the application describe itself so."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI's documentation does it


def _described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=app.openapi_tags
    )
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = TypeAdapter(ProblemDocument).json_schema(
        by_alias=True, mode="serialization", ref_template="#/components/schemas/{model}"
    )
    schemas |= problem.pop("$defs") | {"ProblemDocument": problem}
    found["components"]["securitySchemes"] = {
        TOKEN: {"type": "http", "scheme": "bearer", "description": "Made by `milepost tokens create`."}
    }
    for path, method, operation in _operations(found):
        operation["responses"].pop("422", None)
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _without_null(parameter["schema"])
        for status, why in _problems(path, method).items():
            operation["responses"][str(status)] = _problem(status, why)
        operation["security"] = [{TOKEN: []}] if is_for_callers(path) else []
    return found


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter may be left out, but there is no way to write null in a URL or a header."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    only: dict[str, Any] = kinds[0]
    return {name: value for name, value in schema.items() if name != "anyOf"} | only


def _problems(path: str, method: str) -> dict[int, str]:
    found = dict(FOR_ALL)
    if is_for_callers(path):
        found |= FOR_CALLERS
    if "{" in path:
        found |= OF_EVENT_STORES
    if path == "/metrics":
        found[403] = FOR_WRITERS[403]
    if path == "/readyz":
        found[503] = FOR_CALLERS[503]
    if path.endswith("/stream"):
        found[410] = "There is no such event here: start over."
    if method in WRITING:
        found |= FOR_WRITERS | FOR_COMMANDS
        if "{job_id}" in path:
            found |= FOR_CHANGES
        if "{partition}" in path:
            found |= OF_PARTITIONS
    return found


def _problem(status: int, why: str) -> dict[str, Any]:
    found: dict[str, Any] = {"description": why, "content": {MEDIA_TYPE: {"schema": {"$ref": PROBLEM}}}}
    if status in (429, 503):
        found["headers"] = {"Retry-After": RETRY_AFTER}
    return found
