"""How events are written on a stream (Server-Sent Events), and how a client says which one it heard last."""

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from milepost.domain.envelope import RecordedEvent
from milepost.infrastructure.event_store.all_streams import AllStreams, StoredEvent
from milepost.infrastructure.event_store.codec import UnreadableEvent
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.interfaces.documents import to_json
from milepost.interfaces.local_service import event_document
from milepost.interfaces.result_documents import EventDocument

MEDIA_TYPE: Final = "text/event-stream"
RETRY: Final = b"retry: 1000\n\n"  # milliseconds until a client that was cut comes again
ALIVE: Final = b": alive\n\n"
FIRST: Final = "0"  # before the first event of all
MOST_KEPT: Final = 8_000_000  # bytes of events that were written last
UNREADABLE: Final = "UnreadableEvent"
_ID: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([1-9][0-9]{0,17})")


def id_of(key: EventKey | None) -> str:
    """None: before the first event of all."""
    return FIRST if key is None else f"{key.job_id}:{key.version}"


def key_of(text: str) -> EventKey | None:
    """The event that an id stands for. Raises ValueError where it is no id of ours."""
    if text == FIRST:
        return None
    found = _ID.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return EventKey(UUID(found[1]), int(found[2]))


def place(key: EventKey | None) -> bytes:
    """Without data, so that it is no event: only where the client is, should it be cut now."""
    return f"id: {id_of(key)}\n\n".encode()


class Writer:
    """Writes each event once, the same for all who hear it, and keeps the last ones for those who come again."""

    def __init__(self, streams: AllStreams) -> None:
        self._streams = streams
        self._turn = threading.Lock()
        self._kept: OrderedDict[EventKey, bytes] = OrderedDict()
        self._size = 0

    def written(self, events: Sequence[StoredEvent]) -> list[bytes]:
        """Each event as it goes over the wire."""
        with self._turn:
            kept = {event.key: self._kept[event.key] for event in events if event.key in self._kept}
        new = [event for event in events if event.key not in kept]
        kept |= dict(zip((event.key for event in new), self._blocks(new), strict=True))
        with self._turn:
            for event in new:
                self._keep(event.key, kept[event.key])
        return [kept[event.key] for event in events]

    def forget(self) -> None:
        """All that was kept."""
        with self._turn:
            self._kept.clear()
            self._size = 0

    def _keep(self, key: EventKey, block: bytes) -> None:
        if key in self._kept:
            return  # another thread was faster
        self._kept[key] = block
        self._size += len(block)
        while self._size > MOST_KEPT:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest)

    def _blocks(self, events: Sequence[StoredEvent]) -> list[bytes]:
        decoded = [_decoded(event) for event in events]
        readable = [each for each in decoded if isinstance(each, RecordedEvent)]
        names = self._streams.step_names(
            {(each.job_id, step) for each in readable if (step := _step(each)) is not None}
        )
        return [_block(_document(each, names)) for each in decoded]


def _decoded(event: StoredEvent) -> RecordedEvent | UnreadableEvent:
    try:
        return event.decoded()
    except UnreadableEvent as error:
        return error


def _step(recorded: RecordedEvent) -> int | None:
    step: int | None = getattr(recorded.event, "step", None)
    return step


def _document(each: RecordedEvent | UnreadableEvent, names: dict[tuple[UUID, int], str]) -> EventDocument:
    if isinstance(each, UnreadableEvent):
        # Whoever listens hears that there is something, and goes on behind it.
        return EventDocument(str(each.job_id), each.version, "", UNREADABLE, "", "", "", str(each), "", None, {})
    step = _step(each)
    name = None if step is None else names.get((each.job_id, step))
    return event_document(each, {} if step is None or name is None else {step: name})


def _block(document: EventDocument) -> bytes:
    data = json.dumps(to_json(document), separators=(",", ":"))
    return f"id: {document.job_id}:{document.version}\nevent: {document.event}\ndata: {data}\n\n".encode()
