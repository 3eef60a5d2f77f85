"""One connection to a stream that another thread may end."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import httpx
from httpx_sse import EventSource, ServerSentEvent

from milepost.interfaces.client.following import Following, job_heard
from milepost.interfaces.client.line import TROUBLE, Line


class Listening:
    """Open once it is made: whatever is written from then on is heard. Raises ClientError where it cannot be."""

    def __init__(self, http: httpx.Client, line: Line, path: str) -> None:
        following = Following(line, path, after=None, patience=0.0, read=job_heard)
        try:
            self._response = http.send(http.build_request(**following.request()), stream=True)
        except TROUBLE as error:
            raise line.unreachable(error) from error
        try:
            if not following.is_open(self._response):
                self._response.read()
                raise line.refusal(self._response)
            self._heard = EventSource(self._response).iter_sse()
            while not next(self._heard).id:  # the place it begins at: from there on nothing is missed
                pass
        except BaseException as error:
            self._response.close()
            if isinstance(error, (*TROUBLE, StopIteration)):
                told = httpx.ReadError("it has ended the stream") if isinstance(error, StopIteration) else error
                raise line.unreachable(told) from None
            raise

    def __iter__(self) -> Iterator[ServerSentEvent]:
        """What is heard, until it is cut or closed."""
        with suppress(*TROUBLE):
            yield from self._heard
        self._response.close()

    def close(self) -> None:
        """End it: whoever waits for the next event hears that there is none."""
        stream = self._response.extensions.get("network_stream")
        connection = stream.get_extra_info("socket") if stream is not None else None
        with suppress(OSError):
            if connection is not None:
                # Closing alone does not wake a thread that reads. Of a TLS socket, what is below TLS: TLS itself would
                # be taken away from under that thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
