"""The streams that are open: how many there may be, that each is heard of now and then, and when one has to end."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database, DatabaseUnavailable
from milepost.interfaces.http.feed import Feed
from milepost.interfaces.http.listener import TOKEN_GONE, Listener
from milepost.interfaces.http.observer_feed import ObserverFeed, Observing
from milepost.interfaces.http.sse import ALIVE

log = logging.getLogger("milepost.server")

MOST_STREAMS: Final = 2_000
MOST_STREAMS_OF_ONE: Final = 1_000  # caller
READERS: Final = 2  # threads: so many streams at once read what is long past, page by page in turn
LOOK_SECONDS: Final = 1.0
ALIVE_SECONDS: Final = 15.0  # of silence; then a line that says nothing, so that nobody takes the connection for dead
STUCK_SECONDS: Final = 30.0  # that a connection may take nothing
STUCK_AT_THE_END_SECONDS: Final = 1.0

Answer = TypeVar("Answer")


class TooManyStreams(Exception):
    """So many are open that another one would harm them. `of_one`: so many of this caller."""

    def __init__(self, *, of_one: bool) -> None:
        self.of_one = of_one
        super().__init__(f"You have {MOST_STREAMS_OF_ONE:,} open" if of_one else f"{MOST_STREAMS:,} streams are open")


class OpenStreams:
    """Those of one event store. `holding` answers the names of the tokens that hold now.

    `observing`: what a namespace's observers are asked through.
    """

    def __init__(
        self, database: Database, holding: Callable[[], Collection[str]], observing: Callable[[str], Observing]
    ) -> None:
        self.feed = Feed(database, asyncio.get_running_loop())
        self.observers = ObserverFeed(observing, asyncio.get_running_loop())
        self._holding = holding
        self._readers = ThreadPoolExecutor(READERS, "milepost-streams")
        self._loop = asyncio.get_running_loop()
        self._open: dict[Listener, Callable[[], None]] = {}
        self._caretaker: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    async def reading(self, read: Callable[[], Answer]) -> Answer:
        """What `read` answers, once it is its turn in one of few threads."""
        return await self._loop.run_in_executor(self._readers, read)

    @asynccontextmanager
    async def opened(self, listener: Listener, abort: Callable[[], None]) -> AsyncGenerator[None]:
        """It is among them. `abort` breaks its connection."""
        self._open[listener] = abort
        if self._caretaker is None:
            self._caretaker = asyncio.ensure_future(self._care())
        if self._closed:
            listener.end()
        try:
            yield
        finally:
            del self._open[listener]
            self.feed.leave(listener)
            self.observers.leave(listener)

    def refuse_if_full(self, token: str | None) -> None:
        """Raises TooManyStreams."""
        if len(self._open) >= MOST_STREAMS:
            raise TooManyStreams(of_one=False)
        if sum(each.token == token for each in self._open) >= MOST_STREAMS_OF_ONE:
            raise TooManyStreams(of_one=True)

    def end(self) -> None:
        """All end now: their clients come again, here or elsewhere. In the loop; waits for nobody."""
        self._closed = True
        for listener in self._open:
            listener.end()
        self.feed.end()
        self.observers.end()

    def close(self) -> None:
        """Nothing is read any more when this returns: the database may be closed then."""
        self._readers.shutdown(cancel_futures=True)
        self.feed.close()
        self.observers.close()

    async def _care(self) -> None:
        while self._open:
            await asyncio.sleep(STUCK_AT_THE_END_SECONDS / 2 if self._closed else LOOK_SECONDS)
            try:
                await self._end_those_without_a_token()
            except Exception:  # the outermost frame of this task: the other cares must go on
                log.exception("whose tokens hold cannot be told now")
            now = time.monotonic()
            for listener, abort in list(self._open.items()):
                patience = STUCK_AT_THE_END_SECONDS if self._closed else STUCK_SECONDS
                if listener.stuck_since is not None and now - listener.stuck_since > patience:
                    listener.end()
                    abort()
                elif now - listener.heard_at > ALIVE_SECONDS:
                    listener.give(ALIVE)
        self._caretaker = None

    async def _end_those_without_a_token(self) -> None:
        if not any(listener.token for listener in self._open):
            return
        try:
            holding = await asyncio.to_thread(self._holding)
        except (DatabaseUnavailable, CannotOpenDatabase):
            return  # then there is nothing to hear, either
        for listener in self._open:
            if listener.token is not None and listener.token not in holding:
                listener.end(TOKEN_GONE)
