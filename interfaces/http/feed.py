"""What happens in an event store, told to whoever listens: read once, handed to all."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from milepost.infrastructure.event_store.all_streams import AllStreams, PlacedEvent
from milepost.infrastructure.event_store.codec import UnreadableEvent
from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database, DatabaseUnavailable

log = logging.getLogger("milepost.server")

PAGE: Final = 500
LISTEN_SECONDS: Final = 0.02
TROUBLE_SECONDS: Final = 0.5
BACKLOG: Final = (
    2_000  # events that a listener may be behind; then it is sent away, and may come again from where it was
)


@dataclass(eq=False, slots=True)
class _Listener:
    loop: asyncio.AbstractEventLoop
    waiting: "asyncio.Queue[PlacedEvent | None]" = field(default_factory=lambda: asyncio.Queue(BACKLOG))
    full: bool = False


class Feed:
    """One event store's. Its thread reads what is new; nothing is read while nobody listens."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._streams = AllStreams(database)
        self._turn = threading.Lock()
        self._listeners: set[_Listener] = set()
        self._somebody = threading.Event()
        self._closed = threading.Event()
        self._position: int | None = None
        self._thread = threading.Thread(target=self._read, name="milepost-feed", daemon=True)
        self._thread.start()

    async def follow(self, after: int | None) -> AsyncIterator[PlacedEvent]:
        """Every event behind that position once and in order; with None those that come from now on.

        Ends when the server does, or when the listener is too far behind.
        """
        listener = _Listener(asyncio.get_running_loop())
        with self._turn:
            if self._position is None:
                self._position = self._streams.last_position()
            begin = self._position
            self._listeners.add(listener)
        self._somebody.set()
        try:
            at = begin if after is None else after
            while at < begin:
                page = await asyncio.to_thread(self._streams.after, at, PAGE)
                for placed in page:
                    yield placed
                at = max(page[-1].position if page else begin, at)
                if len(page) < PAGE:
                    break
            while (heard := await listener.waiting.get()) is not None:
                if heard.position > at:  # else it was read from the store before
                    yield heard
        finally:
            with self._turn:
                self._listeners.discard(listener)
                if not self._listeners:
                    self._position = None
                    self._somebody.clear()

    @property
    def position(self) -> int:
        """Up to where all has been handed out; asked for by whoever listens."""
        return self._position or 0

    def close(self) -> None:
        self._closed.set()
        self._somebody.set()
        with self._turn:
            for listener in self._listeners:
                listener.loop.call_soon_threadsafe(_end, listener)
        if threading.current_thread() is not self._thread:
            self._thread.join()  # the database may be closed then

    def _read(self) -> None:
        marker: int | None = None
        while not self._closed.is_set():
            self._somebody.wait()
            try:
                now = self._database.change_marker()
                if now != marker:
                    self._hand_out()
                marker = now
            except (DatabaseUnavailable, CannotOpenDatabase) as error:
                log.warning("%s", error)
                self._closed.wait(TROUBLE_SECONDS)
            except UnreadableEvent as error:
                log.error("live views end: %s", error)
                self.close()
            self._closed.wait(LISTEN_SECONDS)

    def _hand_out(self) -> None:
        while True:
            with self._turn:
                if self._position is None:
                    return
                at = self._position
            page = self._streams.after(at, PAGE)
            with self._turn:
                if self._position != at:
                    continue
                for placed in page:
                    self._position = placed.position
                    for listener in self._listeners:
                        listener.loop.call_soon_threadsafe(_put, listener, placed)
            if len(page) < PAGE:
                return


def _put(listener: _Listener, placed: PlacedEvent) -> None:
    if listener.full:
        return
    if listener.waiting.qsize() >= BACKLOG - 1:
        listener.full = True
        _end(listener)
        return
    listener.waiting.put_nowait(placed)


def _end(listener: _Listener) -> None:
    if not listener.waiting.full():
        listener.waiting.put_nowait(None)
