"""Whether anything has happened in a namespace of a server since it was last asked."""

import threading
from collections.abc import Iterator
from typing import Any

from milepost.interfaces.client.blocking import Client
from milepost.interfaces.client.listening import Listening


class Changes:
    """Counts the events of the namespace's stream, in a thread that begins when it is first asked."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._count = 0
        self._listening: Listening | None = None
        self._thread: threading.Thread | None = None

    def count(self) -> int:
        """A number that differs when anything was written since. Raises ClientError.

        The stream is open when this returns: what is written from then on changes the number. So does its end, after
        which it is opened anew, for nobody knows what was missed.
        """
        if self._thread is None or not self._thread.is_alive():
            self.close()
            self._listening = self._client.listen()
            self._thread = threading.Thread(
                target=self._hear, args=(iter(self._listening),), name="milepost-changes", daemon=True
            )
            self._thread.start()
        return self._count

    def close(self) -> None:
        if self._listening is not None and self._thread is not None:
            self._listening.close()
            self._thread.join()

    def _hear(self, events: Iterator[Any]) -> None:
        for _ in events:
            self._count += 1
        self._count += 1
