"""Server-Sent Events: what happens to a namespace's jobs, or to one of them, each event once and in order.

The `id` of an event is its job and its version there, `JOB:VERSION`: opaque to clients, found again by the primary key,
whatever happened to the database meanwhile, and it tells nobody about another namespace. First comes an `id` without
data, so that a client that is cut before its first event misses nothing either.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from milepost.infrastructure.event_store.all_streams import AllStreams, PlaceGone
from milepost.infrastructure.event_store.database import CannotOpenDatabase, DatabaseUnavailable
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.http import problems
from milepost.interfaces.http.access import Access
from milepost.interfaces.http.feed import Begin
from milepost.interfaces.http.job_routes import JobId, Viewer
from milepost.interfaces.http.listener import Listener, Subject
from milepost.interfaces.http.open_streams import ALIVE_SECONDS, OpenStreams, TooManyStreams
from milepost.interfaces.http.past import Past
from milepost.interfaces.http.sse import ALIVE, FIRST, MEDIA_TYPE, RETRY, key_of, place

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/jobs", tags=["streams"])

TROUBLE_SECONDS: Final = 0.5
LONGEST_ID: Final = 60
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="The `id` that was heard last.", max_length=LONGEST_ID),
]
After = Annotated[
    str | None,
    Query(description="The same, where no header can be set; 0: from the very start.", max_length=LONGEST_ID),
]


class EventStream(Response):
    """An answer that goes on. Lean: hundreds of them are told the same thing many times a second."""

    media_type = MEDIA_TYPE
    charset = "utf-8"

    def __init__(self, streams: OpenStreams, listener: Listener, pieces: Callable[[], AsyncIterator[bytes]]) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._streams, self._listener, self._pieces = streams, listener, pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listener = self._listener
        async with self._streams.opened(listener, partial(_abort, receive)):
            gone = asyncio.ensure_future(_end_when_gone(receive, listener))
            try:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for piece in self._pieces():
                    listener.stuck_since = listener.heard_at = monotonic()
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    listener.stuck_since = None
                listener.stuck_since = monotonic()
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                gone.cancel()


@router.get("/stream", status_code=200, response_class=EventStream)
async def stream_jobs(
    request: Request, access: Viewer, last_event_id: LastEventId = None, after: After = None
) -> Response:
    """The events of all its jobs. Without a position: those that come from now on."""
    return await _opened(request, access, Subject(access.service.namespace, None), last_event_id or after)


@router.get("/{job_id}/stream", status_code=200, response_class=EventStream)
async def stream_job(
    request: Request, access: Viewer, job_id: JobId, last_event_id: LastEventId = None, after: After = None
) -> Response:
    """The events of one job."""
    await asyncio.to_thread(access.app.queries.job, access.service.namespace, str(job_id))  # there is one
    return await _opened(request, access, Subject(access.service.namespace, job_id), last_event_id or after)


async def _opened(request: Request, access: Access, subject: Subject, after: str | None) -> Response:
    streams: OpenStreams = request.app.state.served.streams(access.app)
    token = None if access.caller.token is None else access.caller.token.name
    try:
        streams.refuse_if_full(token)
    except TooManyStreams as error:
        return problems.too_many_streams(str(error), of_one=error.of_one)
    listener = Listener(subject, token)
    if after is None:
        try:
            begin = await streams.reading(partial(streams.feed.join, listener))
        except BaseException:
            listener.end()
            streams.feed.leave(listener)
            raise
        return EventStream(streams, listener, partial(_from_now_on, listener, begin))
    try:
        key = key_of(after)
    except ValueError:
        raise Told(INVALID, "That is no id of an event", "Give the last one that this stream sent") from None
    if key is not None and not await streams.reading(partial(_is_of, subject, streams.feed.streams, key)):
        # The same where it is there and not for this caller.
        return problems.answer(
            410, "gone", "There is no such event here", f"Start over without an id, or with {FIRST} for all there is"
        )
    return EventStream(streams, listener, partial(_from, key, listener, streams))


def _is_of(subject: Subject, streams: AllStreams, key: EventKey) -> bool:
    return subject.job_id in (None, key.job_id) and streams.namespace_of(key) == subject.namespace


async def _from_now_on(listener: Listener, begin: Begin) -> AsyncIterator[bytes]:
    yield RETRY + place(begin.own)
    while piece := await listener.next():
        yield piece


async def _from(key: EventKey | None, listener: Listener, streams: OpenStreams) -> AsyncIterator[bytes]:
    """What is past, page by page, and only then among those who hear what is new."""
    yield RETRY + place(key)
    past, joined = Past(listener.subject, streams.feed, key), False
    while not listener.ended:
        try:
            if page := await streams.reading(past.page):
                yield page
            elif monotonic() - listener.heard_at > ALIVE_SECONDS:
                yield ALIVE
            if not past.more:
                if joined:
                    break
                past.end_at(await streams.reading(partial(streams.feed.join, listener)))
                joined = True
        except PlaceGone:
            return  # between two pages: it is told when it comes again
        except (DatabaseUnavailable, CannotOpenDatabase):
            await asyncio.sleep(TROUBLE_SECONDS)
    while piece := await listener.next():
        yield piece


async def _end_when_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.end()


def _abort(receive: Receive) -> None:
    """Break the connection. ASGI has no word for it, and to close it politely waits for a client that takes nothing."""
    cycle: Any = getattr(receive, "__self__", None)  # of uvicorn, for one request
    with suppress(AttributeError):
        cycle.transport.abort()
