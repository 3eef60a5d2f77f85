"""Requests as httptools reads them, which is fast and by itself keeps whatever a client sends as headers."""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_UNFINISHED: Final = 65_536  # bytes of a line and headers that have come, and whose end has not


class BoundedHeads(HttpToolsProtocol):
    """Refuses a head that does not end; one that does is bounded by the guard."""

    _unfinished = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._unfinished += len(data)
        super().data_received(data)
        if self._in_head and self._unfinished > MOST_UNFINISHED and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")

    def on_headers_complete(self) -> None:
        self._in_head, self._unfinished = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()
