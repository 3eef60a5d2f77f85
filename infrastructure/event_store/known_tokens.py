"""The tokens as they were a moment ago, so that whoever asks without one cannot make the database work."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

from milepost.infrastructure.event_store.tokens import Token, Tokens, digest

FRESH_SECONDS: Final = (
    1.0  # how old what is known may be: a revocation is heard of within that, and a read of the table
)
PAUSE_SECONDS: Final = 0.1  # between two reads, for tokens that are not known: one may just have been made


class KnownTokens:
    """Those of one event store. Asked in an event loop; reads in a thread of its own, which no command can hold up."""

    def __init__(
        self, tokens: Tokens, now: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tokens, self._now, self._monotonic = tokens, now, monotonic
        self._reader = ThreadPoolExecutor(1, "milepost-tokens")
        self._reading: asyncio.Future[dict[str, Token]] | None = None
        self._pausing: asyncio.Task[None] | None = None
        self._read_at = 0.0

    async def of(self, secret: str) -> Token | None:
        """The token that has this secret, if it holds now. Raises DatabaseUnavailable, CannotOpenDatabase."""
        kept, arrived = digest(secret), self._monotonic()
        token = (await self._known(FRESH_SECONDS)).get(kept)
        if token is None and self._read_at < arrived:
            await self._pause()
            token = (await self._known(PAUSE_SECONDS / 2)).get(kept)
        return token if token is not None and token.holds(self._now()) else None

    def close(self) -> None:
        self._reader.shutdown(wait=False)

    async def _known(self, fresh_seconds: float) -> dict[str, Token]:
        """One read at a time for all who ask, and a failed one is not tried again before its time either."""
        reading = self._reading
        if reading is None or (reading.done() and self._monotonic() - self._read_at >= fresh_seconds):
            self._read_at = self._monotonic()
            reading = asyncio.get_running_loop().run_in_executor(self._reader, self._tokens.by_digest)
            self._reading = reading
        return await asyncio.shield(reading)

    async def _pause(self) -> None:
        """Until the table may be read again; all who wait wait for the same moment."""
        if self._pausing is None or self._pausing.done():
            left = PAUSE_SECONDS - (self._monotonic() - self._read_at)
            self._pausing = asyncio.ensure_future(asyncio.sleep(max(0.0, left)))
        await asyncio.shield(self._pausing)
