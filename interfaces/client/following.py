"""A stream of events that goes on where it was cut: which event was the last, and how long to wait."""

import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import httpx
from httpx_sse import ServerSentEvent

from milepost.interfaces.client.errors import WHICH_SERVER, CannotConnect, InvalidInput, ServerFailed
from milepost.interfaces.client.line import CONNECT_SECONDS, SILENCE_SECONDS, Line
from milepost.interfaces.documents import from_json
from milepost.interfaces.observer_documents import ObserverDocument, ObserverEventDocument
from milepost.interfaces.result_documents import EventDocument

T = TypeVar("T")

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
MEDIA_TYPE: Final = "text/event-stream"
_ID: Final = re.compile(r"[\x21-\x7e]{1,8000}")  # what a header can carry


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event as it happens. `id`: given as `after`, the stream goes on behind it."""

    id: str
    event: EventDocument


@dataclass(frozen=True, slots=True)
class ObserverEvent:
    """One event of an observer's history as it happens. `id`: given as `after`, the stream goes on behind it."""

    id: str
    event: ObserverEventDocument


@dataclass(frozen=True, slots=True)
class ObserverShown:
    """An observer as it stands now."""

    observer: ObserverDocument


def job_heard(last_id: str, sse: ServerSentEvent) -> StreamEvent:
    """What a stream of jobs says."""
    return StreamEvent(last_id, from_json(EventDocument, json.loads(sse.data)))


def observer_heard(last_id: str, sse: ServerSentEvent) -> ObserverEvent | ObserverShown:
    """What a stream of observers says."""
    if sse.event == "observer":
        return ObserverShown(from_json(ObserverDocument, json.loads(sse.data)))
    return ObserverEvent(last_id, from_json(ObserverEventDocument, json.loads(sse.data)))


class Following(Generic[T]):
    """What both clients know of one stream. It is tried again for `patience` seconds after each cut.

    `read`: what it says, of the id that was heard last. Raises LookupError, TypeError or ValueError.
    """

    def __init__(
        self, line: Line, path: str, after: str | None, patience: float, read: Callable[[str, ServerSentEvent], T]
    ) -> None:
        if after is not None and not _ID.fullmatch(after):
            raise InvalidInput(
                "What the stream is to go on behind is no id of an event", "Give the 'id' of a StreamEvent"
            )
        self._line, self._path, self._read = line, path, read
        self.last_id = after
        self._patience = patience
        self._was_open = False
        self._tries = 0
        self._cut_at: float | None = None

    def request(self) -> dict[str, Any]:
        """The arguments of httpx for the next connection."""
        behind = {"Last-Event-ID": self.last_id} if self.last_id else {}
        return {
            "method": "GET",
            "url": self._line.at(self._path),
            "headers": {"Accept": MEDIA_TYPE, "Cache-Control": "no-store", **behind},
            "timeout": httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        }

    def is_open(self, response: httpx.Response) -> bool:
        """Whether events come from it; else its body says why not."""
        return response.is_success and response.headers.get("content-type", "").startswith(MEDIA_TYPE)

    def heard(self, sse: ServerSentEvent) -> T | None:
        """What it says, or None where only the place was said."""
        self._was_open, self._tries, self._cut_at = True, 0, None
        if _ID.fullmatch(sse.id):
            self.last_id = sse.id
        if not sse.data:
            return None
        try:
            return self._read(self.last_id or "", sse)
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            message = f"What {self._line.url} streams are no events of Milepost, or of another version: {error}"
            raise ServerFailed(message, WHICH_SERVER) from error

    def refused(self, response: httpx.Response) -> float:
        """Seconds until the next try. Raises ClientError where the server will not answer otherwise then."""
        error = self._line.refusal(response)
        if not isinstance(error, CannotConnect):
            raise error
        return self._pause(error)

    def cut(self, error: Exception | None) -> float:
        """Seconds until the next try. Raises CannotConnect where it was never open, or is cut for too long."""
        return self._pause(self._line.unreachable(error or httpx.ReadError("it has ended the stream")))

    def _pause(self, error: CannotConnect) -> float:
        now = time.monotonic()
        self._cut_at = self._cut_at or now
        if not self._was_open or now > self._cut_at + self._patience:
            raise error
        self._tries += 1
        # Not all at the same moment, when a server comes back that many have listened to.
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**self._tries) * random.uniform(0.5, 1.0)
