"""What observers do, told to whoever listens: looked at twice a second by one thread, and handed to all.

Nothing is looked at while nobody listens. Between two looks an observer may handle a thousand events: its document is
told as it stands then, and every event of its history is told once and in order.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from milepost.infrastructure.event_store.database import CannotOpenDatabase, DatabaseUnavailable
from milepost.interfaces.http.listener import Listener, joined
from milepost.interfaces.http.observer_sse import happened, shown
from milepost.interfaces.observer_documents import ObserverDocument, ObserverEventDocument

log = logging.getLogger("milepost.server")

PAGE: Final = 500  # events of a history at once; what is more comes with the next look
LOOK_SECONDS: Final = 0.5


class Observing(Protocol):
    """What is asked of a namespace: see `Service`."""

    def observers(self) -> list[ObserverDocument]: ...

    def observer_history(
        self, name: str, *, after: int = 0, limit: int | None = None
    ) -> list[ObserverEventDocument]: ...


class ObserversAt(NamedTuple):
    """Where a listener begins: behind these versions of the histories, with the observers as they stand."""

    place: dict[str, int]
    documents: list[ObserverDocument]


@dataclass(eq=False, slots=True)
class _Audience:
    """Who listens to one namespace, and what they have been told."""

    listeners: set[Listener] = field(default_factory=set[Listener])
    place: dict[str, int] = field(default_factory=dict[str, int])
    documents: dict[str, ObserverDocument] = field(default_factory=dict[str, ObserverDocument])


class _HistoryGone(Exception):
    """An observer has less history than was told of it: the database is another one."""


class ObserverFeed:
    """One event store's, for the listeners of one loop. `observing`: what a namespace is asked through."""

    def __init__(self, observing: Callable[[str], Observing], loop: asyncio.AbstractEventLoop) -> None:
        self._observing = observing
        self._loop = loop
        self._looking = threading.Lock()  # who looks, or joins
        self._turn = threading.Lock()  # for moments: who listens
        self._audiences: dict[str, _Audience] = {}
        self._somebody = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def join(self, listener: Listener) -> ObserversAt:
        """From now on it is told all that comes behind the place that is answered."""
        namespace = listener.subject.namespace
        with self._looking:
            documents = self._observing(namespace).observers()
            audience = self._up_to_date(namespace, documents)
            with self._turn:
                if not listener.ended:  # its client may have gone meanwhile
                    self._audiences.setdefault(namespace, audience).listeners.add(listener)
                    self._somebody.set()
                    self._begin()
            return ObserversAt(dict(audience.place), documents)

    def leave(self, listener: Listener) -> None:
        """It is told nothing any more. Waits for nobody."""
        namespace = listener.subject.namespace
        with self._turn:
            audience = self._audiences.get(namespace)
            if audience is not None:
                audience.listeners.discard(listener)
                if not audience.listeners:
                    del self._audiences[namespace]
            if not self._audiences:
                self._somebody.clear()

    @property
    def audiences(self) -> tuple[str, ...]:
        """The namespaces that are looked at."""
        with self._turn:
            return tuple(self._audiences)

    def end(self) -> None:
        """Nothing more is begun."""
        self._closed.set()
        self._somebody.set()

    def close(self) -> None:
        """Nothing is read any more when this returns."""
        self.end()
        if self._thread is not None:
            self._thread.join()

    def _begin(self) -> None:
        if self._thread is None and not self._closed.is_set():
            self._thread = threading.Thread(target=self._follow, name="milepost-observer-feed", daemon=True)
            self._thread.start()

    def _audience(self, namespace: str) -> _Audience | None:
        with self._turn:
            return self._audiences.get(namespace)

    def _up_to_date(self, namespace: str, documents: Collection[ObserverDocument]) -> _Audience:
        """The namespace's, which has heard as much of what these documents know of as is told at once."""
        audience = self._audience(namespace)
        if audience is not None:
            try:
                self._tell_histories(namespace, audience, documents)
            except _HistoryGone:
                self._end_all(namespace, audience)
            else:
                return audience
        place = {each.name: each.version for each in documents}
        return _Audience(place=place, documents={each.name: each for each in documents})

    def _follow(self) -> None:
        silent = True
        while not self._closed.is_set():
            self._somebody.wait()
            began = time.monotonic()
            more = False
            try:
                more = self._look_at_all()
                silent = True
            except (DatabaseUnavailable, CannotOpenDatabase) as error:
                if silent:
                    log.warning("streams of observers wait: %s", error)
                silent = False
            # Where a look takes long, all looks together take half of a core.
            self._closed.wait(max(0.0 if more else LOOK_SECONDS, time.monotonic() - began))

    def _look_at_all(self) -> bool:
        """Whether there is more than could be told at once."""
        more = False
        for namespace in self.audiences:
            if self._closed.is_set():
                break
            with self._looking:
                audience = self._audience(namespace)
                if audience is None:
                    continue
                try:
                    more = self._look(namespace, audience) or more
                except (DatabaseUnavailable, CannotOpenDatabase):
                    raise
                except _HistoryGone:
                    log.warning("streams of the observers of %s end, and may be opened anew", namespace)
                    self._end_all(namespace, audience)
                except Exception:  # the outermost frame of this thread: streams must not just fall silent
                    log.exception("streams of the observers of %s end, and may be opened anew", namespace)
                    self._end_all(namespace, audience)
        return more

    def _look(self, namespace: str, audience: _Audience) -> bool:
        documents = self._observing(namespace).observers()
        more = self._tell_histories(namespace, audience, documents)
        self._give(audience, [shown(each) for each in documents if audience.documents.get(each.name) != each])
        audience.documents = {each.name: each for each in documents}
        return more

    def _tell_histories(self, namespace: str, audience: _Audience, documents: Iterable[ObserverDocument]) -> bool:
        """A page of what has happened to each since the audience was told last; whether there is more."""
        more = False
        observing = self._observing(namespace)
        for each in documents:
            known = audience.place.get(each.name, 0)
            if known == each.version:
                continue
            page = observing.observer_history(each.name, after=known, limit=PAGE) if known < each.version else []
            if not page:
                raise _HistoryGone
            blocks: list[bytes] = []
            for event in page:
                audience.place[each.name] = event.version
                blocks.append(happened(event, audience.place))
            self._give(audience, blocks)
            more = more or page[-1].version < each.version
        return more

    def _give(self, audience: _Audience, blocks: Iterable[bytes]) -> None:
        with self._turn:
            listeners = tuple(audience.listeners)
        pieces = joined(blocks)
        if pieces and listeners:
            self._loop.call_soon_threadsafe(_give, listeners, pieces)

    def _end_all(self, namespace: str, audience: _Audience) -> None:
        """They come again, each from where it was."""
        with self._turn:
            listeners = tuple(audience.listeners)
            self._audiences.pop(namespace, None)
            if not self._audiences:
                self._somebody.clear()
        self._loop.call_soon_threadsafe(_end, listeners)


def _give(listeners: Iterable[Listener], pieces: Iterable[bytes]) -> None:
    for listener in listeners:
        for piece in pieces:
            listener.give(piece)


def _end(listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.end()
