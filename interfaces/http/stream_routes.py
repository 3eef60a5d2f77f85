"""Server-Sent Events: what happens to a namespace's jobs, or to one of them, from a position on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from milepost.infrastructure.event_store.all_streams import PlacedEvent
from milepost.interfaces.documents import to_json
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.http.access import Access
from milepost.interfaces.http.job_routes import JobId, Viewer
from milepost.interfaces.local_service import event_document

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["streams"])

ALIVE_SECONDS: Final = 15.0  # a line that says nothing, so that nobody in between takes the connection for dead
RETRY: Final = "retry: 1000\n\n"
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="The `id` of the last event that was heard.", max_length=20)
]
After = Annotated[int | None, Query(ge=0, description="The same, where no header can be set.")]


@router.get("/stream", response_class=StreamingResponse)
async def stream_jobs(
    request: Request, access: Viewer, last_event_id: LastEventId = None, after: After = None
) -> StreamingResponse:
    """The events of all its jobs. Without a position: those that come from now on."""
    return _answer(_told(request, access, _position(last_event_id, after), None))


@router.get("/{job_id}/stream", response_class=StreamingResponse)
async def stream_job(
    request: Request, access: Viewer, job_id: JobId, last_event_id: LastEventId = None, after: After = None
) -> StreamingResponse:
    """The events of one job."""
    await asyncio.to_thread(access.service.job, str(job_id))  # there is one
    return _answer(_told(request, access, _position(last_event_id, after), job_id))


def _answer(lines: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(lines, media_type="text/event-stream", headers=HEADERS)


async def _told(request: Request, access: Access, after: int | None, only: UUID | None) -> AsyncIterator[str]:
    feed = request.app.state.served.feed(access.app)
    placed = feed.follow(after)
    waiting: asyncio.Task[PlacedEvent] = asyncio.ensure_future(anext(placed))
    try:
        await asyncio.sleep(0)  # now it listens
        yield f"{RETRY}id: {feed.position if after is None else after}\n\n"
        while True:
            done, _ = await asyncio.wait({waiting}, timeout=ALIVE_SECONDS)
            if not done:
                yield ": alive\n\n"
                continue
            try:
                found = waiting.result()
            except StopAsyncIteration:
                return
            if found.namespace == access.service.namespace and only in (None, found.recorded.job_id):
                yield _line(found)
            waiting = asyncio.ensure_future(anext(placed))
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await waiting
        await placed.aclose()


def _line(found: PlacedEvent) -> str:
    document = to_json(event_document(found.recorded, {}))
    return f"id: {found.position}\nevent: {document['event']}\ndata: {json.dumps(document)}\n\n"


def _position(header: str | None, after: int | None) -> int | None:
    if header is None:
        return after
    if not (header.isascii() and header.isdigit()):
        raise Told(INVALID, "Last-Event-ID is no position", "Give the id of an event of this stream")
    return int(header)
