"""Requests as httptools reads them, which is fast and by itself keeps whatever a client sends as headers, and waits."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS: Final = 20.0  # for a head to come: of a new connection, and from its first byte on
MOST_UNFINISHED: Final = 65_536  # bytes of a line and headers that have come, and whose end has not


class BoundedHeads(HttpToolsProtocol):
    """Refuses a head that does not end, or does not come; one that does is bounded by the guard."""

    _unfinished = 0
    _in_head = True
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._deadline is None:
                self._expect_head()
            self._unfinished += len(data)
        super().data_received(data)
        if self._in_head and self._unfinished > MOST_UNFINISHED and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")

    def on_headers_complete(self) -> None:
        self._in_head, self._unfinished = False, 0
        self._expect_nothing()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
