"""Whether anything may have happened in a namespace of a server since it was last asked."""

import threading
from typing import Final

from milepost.interfaces.client.blocking import Client
from milepost.interfaces.client.errors import ClientError
from milepost.interfaces.client.listening import Listening

LOOK_SECONDS: Final = 1.0  # how often to look where no stream can be had, and how long to leave it alone then
CLOSE_SECONDS: Final = 1.0  # a thread that does not end by then is left to the end of the process


class Changes:
    """Counts the events of the namespace's stream, in a thread that begins when it is first asked."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._count = 0
        self._turn = threading.Lock()
        self._listening: Listening | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def count(self) -> int:
        """A number that differs when anything was written since; a hint, that is there at once and never an error.

        It also changes when the stream opens and when it ends, for nobody knows what was missed before; and every
        LOOK_SECONDS where no stream can be had, for then only a look can tell.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="milepost-changes", daemon=True)
            self._thread.start()
        return self._count

    def close(self) -> None:
        with self._turn:
            self._closed.set()
            if self._listening is not None:
                self._listening.close()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                self._hear()
            finally:
                self._count += 1
            self._closed.wait(LOOK_SECONDS)

    def _hear(self) -> None:
        """Until the stream ends, or at once where it cannot be had."""
        try:
            listening = self._client.listen()
        except (ClientError, RuntimeError):  # a client that is closed meanwhile
            return
        with self._turn:
            self._listening = listening
            if self._closed.is_set():
                listening.close()
        self._count += 1
        for _ in listening:
            self._count += 1
