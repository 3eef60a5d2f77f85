"""The routes of the web page: its packaged files, and what it knows of states from the domain's own tables."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Depends, Header, Response

from milepost.domain.state_machine import AT_REST, JobStatus, StepStatus, possible
from milepost.domain.transition_table import MEANINGS, STEP_MEANINGS
from milepost.interfaces.documents import Document
from milepost.interfaces.error_mapping import NOT_FOUND, Told
from milepost.interfaces.http.access import Caller, whoever
from milepost.interfaces.http.answers import answered, told

router = APIRouter(tags=["page"])

# Nothing from elsewhere, nothing inline, no frames and no forms that are sent: what a job's text holds stays text.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX: Final = "index.html"


class _Asset(NamedTuple):
    content: bytes
    media_type: str
    etag: str


def _assets() -> dict[str, _Asset]:
    """All files of the page, by name; they are few and small."""
    found: dict[str, _Asset] = {}
    for file in files("milepost.interfaces.http").joinpath("page").iterdir():
        if media_type := TYPES.get(PurePosixPath(file.name).suffix):
            content = file.read_bytes()
            found[file.name] = _Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:24]}"')
    return found


ASSETS: Final = _assets()
IfNoneMatch = Annotated[str | None, Header(max_length=1_000)]


@router.get("/", include_in_schema=False)
async def page(if_none_match: IfNoneMatch = None) -> Response:
    """The page."""
    return _answer(INDEX, if_none_match)


@router.get("/page/{name}", include_in_schema=False)
async def asset(name: str, if_none_match: IfNoneMatch = None) -> Response:
    """A file of the page."""
    return _answer(name, if_none_match)


def _answer(name: str, if_none_match: str | None) -> Response:
    found = ASSETS.get(name)
    if found is None:
        raise Told(NOT_FOUND, f"The page has no file '{name}'")
    # Asked for again each time and mostly answered with 304: after an upgrade no browser mixes old and new files.
    headers = {"ETag": found.etag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    if if_none_match is not None and found.etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


@dataclass(frozen=True, slots=True)
class JobStatusDocument(Document):
    """A status of jobs."""

    name: str
    meaning: str
    commands: list[str]
    """Those that would change a job of this status."""
    at_rest: bool


@dataclass(frozen=True, slots=True)
class StepStatusDocument(Document):
    """A status of steps."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class StateMachineDocument(Document):
    """The domain's transition table, as far as whoever gives commands needs it."""

    job_statuses: list[JobStatusDocument]
    step_statuses: list[StepStatusDocument]


@router.get("/api/state-machine", responses=told(StateMachineDocument))
async def state_machine(_: Annotated[Caller, Depends(whoever)]) -> Response:
    """Every status of a job and of a step, what it means, and which commands would change a job of it."""
    jobs = [
        JobStatusDocument(status, MEANINGS[status], list(possible(status)), status in AT_REST) for status in JobStatus
    ]
    steps = [StepStatusDocument(status, STEP_MEANINGS[status]) for status in StepStatus]
    return answered(StateMachineDocument(jobs, steps))
