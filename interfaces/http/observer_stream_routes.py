"""Server-Sent Events: what happens to a namespace's observers, and how they stand.

A message `observer` is the document of one as it stands, sent when the stream opens and then when it has changed, twice
a second at most. All other messages are events of their histories: each once, those of one observer in order. Their
`id` is the place in the histories of all; a stream that is cut goes on behind the last one that was heard.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from milepost.infrastructure.event_store.database import CannotOpenDatabase, DatabaseUnavailable
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.http import problems
from milepost.interfaces.http.job_routes import Viewer
from milepost.interfaces.http.listener import Listener, Subject
from milepost.interfaces.http.observer_feed import PAGE, ObserversAt, Observing
from milepost.interfaces.http.observer_sse import LONGEST_ID, at, happened, place_of, shown
from milepost.interfaces.http.open_streams import OpenStreams, TooManyStreams
from milepost.interfaces.http.sse import FIRST, RETRY
from milepost.interfaces.http.stream_routes import TROUBLE_SECONDS, EventStream
from milepost.interfaces.observer_documents import ObserverDocument, ObserverEventDocument

router = APIRouter(prefix="/api/event-stores/{event_store}/namespaces/{namespace}/observers", tags=["streams"])

LONGEST_AFTER: Final = 7_000  # in a URL

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="The `id` that was heard last.", max_length=LONGEST_ID),
]
After = Annotated[
    str | None,
    Query(description="The same, where no header can be set; 0: from the very start.", max_length=LONGEST_AFTER),
]


@router.get("/stream", status_code=200, response_class=EventStream)
async def stream_observers(
    request: Request, access: Viewer, last_event_id: LastEventId = None, after: After = None
) -> Response:
    """How its observers stand, and what happens to them. Without a place: from now on."""
    streams: OpenStreams = request.app.state.served.streams(access.app)
    token = None if access.caller.token is None else access.caller.token.name
    try:
        streams.refuse_if_full(token)
    except TooManyStreams as error:
        return problems.too_many_streams(str(error), of_one=error.of_one)
    listener = Listener(Subject(access.service.namespace, None), token)
    asked = last_event_id or after
    if asked is None:
        begin = await _joined(streams, listener)
        return EventStream(streams, listener, partial(_from_now_on, listener, begin))
    try:
        place = place_of(asked)
    except ValueError:
        raise Told(INVALID, "That is no id of an event", "Give the last one that this stream sent") from None
    past = _Past(access.service, place)
    if not await streams.reading(past.is_there):
        return problems.answer(
            410, "gone", "There is no such event here", f"Start over without an id, or with {FIRST} for all there is"
        )
    return EventStream(streams, listener, partial(_from, place, past, listener, streams))


class _Past:
    """What a client missed of the histories, page by page, behind a place."""

    def __init__(self, observing: Observing, place: Mapping[str, int]) -> None:
        self._observing, self._place = observing, dict(place)
        self._until: dict[str, int] = {}

    def is_there(self) -> bool:
        """Whether all of the place is there."""
        self._until = {each.name: each.version for each in self._observing.observers()}
        return all(version <= self._until.get(name, 0) for name, version in self._place.items())

    def end_at(self, place: Mapping[str, int]) -> None:
        """What comes behind that, others tell."""
        self._until = dict(place)

    def page(self) -> bytes:
        """The next events as they are written; nothing where there are no more."""
        for name, until in sorted(self._until.items()):
            known = self._place.get(name, 0)
            if known < until:
                events = self._observing.observer_history(name, after=known, limit=min(PAGE, until - known))
                return b"".join(map(self._passed, events))
        return b""

    def _passed(self, event: ObserverEventDocument) -> bytes:
        self._place[event.observer] = event.version
        return happened(event, self._place)


async def _joined(streams: OpenStreams, listener: Listener) -> ObserversAt:
    try:
        return await streams.reading(partial(streams.observers.join, listener))
    except BaseException:
        listener.end()
        streams.observers.leave(listener)
        raise


async def _from_now_on(listener: Listener, begin: ObserversAt) -> AsyncIterator[bytes]:
    yield RETRY + at(begin.place) + _all_of(begin.documents)
    while piece := await listener.next():
        yield piece


async def _from(
    place: Mapping[str, int], past: _Past, listener: Listener, streams: OpenStreams
) -> AsyncIterator[bytes]:
    """What is past, page by page, and only then among those who hear what is new."""
    yield RETRY + at(place)
    begin: ObserversAt | None = None
    while not listener.ended:
        try:
            if page := await streams.reading(past.page):
                yield page
            elif begin is not None:
                yield _all_of(begin.documents)
                break
            else:
                begin = await streams.reading(partial(streams.observers.join, listener))
                past.end_at(begin.place)
        except (DatabaseUnavailable, CannotOpenDatabase):
            await asyncio.sleep(TROUBLE_SECONDS)
    while piece := await listener.next():
        yield piece


def _all_of(documents: Iterable[ObserverDocument]) -> bytes:
    return b"".join(shown(each) for each in documents)
