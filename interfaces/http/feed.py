"""What happens in an event store, told to whoever listens: read once, written once, handed to all.

A thread reads what is new and hands each subject's events to the listeners of that subject alone. It waits for nobody:
a listener has a bounded room of its own. Nothing is read while nobody listens.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

from milepost.infrastructure.event_store.all_streams import AllStreams, PlaceGone, StoredEvent
from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database, DatabaseUnavailable
from milepost.infrastructure.event_store.event_key import EventKey
from milepost.interfaces.http.listener import Listener, Subject, joined
from milepost.interfaces.http.sse import Writer

log = logging.getLogger("milepost.server")

PAGE: Final = 500  # events read at once
LISTEN_SECONDS: Final = 0.02  # between two looks
BETWEEN_PAGES_SECONDS: Final = 0.001
TELLING_SECONDS: Final = 0.000_2  # for each listener: so many are told less often, and take a part of one core alone
TROUBLE_SECONDS: Final = 0.5
MOST_NAMESPACES: Final = 1_000  # whose newest event is kept in mind: anybody may ask for any name


class Begin(NamedTuple):
    """Where a listener begins: behind `feed` in the order of all, and behind `own` among the events of its subject."""

    feed: EventKey | None
    own: EventKey | None


class Feed:
    """One event store's, for the listeners of one loop."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self.streams = AllStreams(database)
        self.writer = Writer(self.streams)
        self._database = database
        self._loop = loop
        self._reading = threading.Lock()  # who reads on, or joins
        self._turn = threading.Lock()  # for moments: who listens
        self._listeners: dict[Subject, set[Listener]] = {}
        self._cursor: EventKey | None = None  # the last event that was handed out, while somebody listens
        self._newest: dict[str, EventKey | None] = {}  # of namespaces that were asked for
        self._somebody = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="milepost-feed", daemon=True)
        self._thread.start()

    def join(self, listener: Listener) -> Begin:
        """From now on it is given every event of its subject behind the place that is answered, in order."""
        subject = listener.subject
        with self._reading:
            self._catch_up()
            own = self._own(subject)
            with self._turn:
                if not listener.ended:  # its client may have gone meanwhile
                    self._listeners.setdefault(subject, set()).add(listener)
                    self._somebody.set()
            return Begin(self._cursor, own)

    def leave(self, listener: Listener) -> None:
        """It is given nothing any more. Waits for nobody."""
        with self._turn:
            there = self._listeners.get(listener.subject, set())
            there.discard(listener)
            if not there:
                self._listeners.pop(listener.subject, None)
            if not self._listeners:
                self._somebody.clear()

    def end(self) -> None:
        """Nothing more is begun."""
        self._closed.set()
        self._somebody.set()

    def close(self) -> None:
        """Nothing is read any more when this returns."""
        self.end()
        self._thread.join()

    def _catch_up(self) -> None:
        """So that who joins begins behind all that anybody can have heard of."""
        newest = self.streams.newest()
        more = True  # and not until the cursor is there: the newest event may be pruned meanwhile
        try:
            while self._somebody.is_set() and more and self._cursor != newest:
                _, more = self._hand_out(until=newest)
        except PlaceGone:
            self._end_all()
        if not self._somebody.is_set():
            self._cursor, self._newest = newest, {}

    def _own(self, subject: Subject) -> EventKey | None:
        if subject.job_id is not None:
            version = self.streams.version_of(subject.job_id, self._cursor)
            return EventKey(subject.job_id, version) if version else None
        if subject.namespace not in self._newest:
            if len(self._newest) >= MOST_NAMESPACES:
                self._newest.clear()
            self._newest[subject.namespace] = self.streams.newest_of(subject.namespace, self._cursor)
        return self._newest[subject.namespace]

    def _follow(self) -> None:
        marker: int | None = None
        silent = True
        while not self._closed.is_set():
            self._somebody.wait()
            pause = LISTEN_SECONDS
            try:
                now = self._database.change_marker()
                if now != marker:
                    pause = max(pause, self._all_that_is_new())
                marker, silent = now, True
            except (DatabaseUnavailable, CannotOpenDatabase) as error:
                if silent:
                    log.warning("streams wait: %s", error)
                marker, silent, pause = None, False, TROUBLE_SECONDS
            except PlaceGone as error:
                log.warning("streams end, and may be opened anew: %s", error)
                self._end_all()
            except Exception:  # the outermost frame of this thread: streams must not just fall silent
                log.exception("streams end, and may be opened anew")
                marker, pause = None, TROUBLE_SECONDS
                self._end_all()
            self._closed.wait(pause)

    def _all_that_is_new(self) -> float:
        """How long to wait then."""
        told, more = 0, True
        while more and not self._closed.is_set():
            with self._reading:
                heard, more = self._hand_out()
            told = max(told, heard)
            self._closed.wait(BETWEEN_PAGES_SECONDS if more else 0)  # who wants to join, does so here
        return told * TELLING_SECONDS

    def _hand_out(self, until: EventKey | None = None) -> tuple[int, bool]:
        """A page: how many listeners were told anything, and whether there is more."""
        page = self.streams.after(self._cursor, PAGE, until=until)
        told = self._tell(page.events)
        self._cursor = page.last
        return told, page.more

    def _tell(self, page: Sequence[StoredEvent]) -> int:
        """How many listeners were told anything."""
        with self._turn:
            listeners = {subject: tuple(each) for subject, each in self._listeners.items()}
        wanted: list[StoredEvent] = []
        for event in page:
            if event.namespace in self._newest:
                self._newest[event.namespace] = event.key
            if any(subject in listeners for subject in _subjects(event)):
                wanted.append(event)
        pieces: dict[Subject, list[bytes]] = {}
        for event, block in zip(wanted, self.writer.written(wanted), strict=True):
            for subject in _subjects(event):
                if subject in listeners:
                    pieces.setdefault(subject, []).append(block)
        if pieces:
            given = [(listeners[subject], joined(blocks)) for subject, blocks in pieces.items()]
            self._loop.call_soon_threadsafe(_give, given)
        return sum(len(listeners[subject]) for subject in pieces)

    def _end_all(self) -> None:
        """They come again, each from where it was."""
        self.writer.forget()  # another database may have other events under the same keys
        with self._turn:
            ended = [listener for each in self._listeners.values() for listener in each]
            self._listeners.clear()
            self._somebody.clear()
        self._loop.call_soon_threadsafe(_end, ended)


def _subjects(event: StoredEvent) -> tuple[Subject, Subject]:
    return Subject(event.namespace, None), Subject(event.namespace, event.job_id)


def _give(given: Sequence[tuple[Sequence[Listener], Sequence[bytes]]]) -> None:
    for listeners, pieces in given:
        for listener in listeners:
            for piece in pieces:
                listener.give(piece)


def _end(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        listener.end()
