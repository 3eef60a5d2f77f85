"""The attempts of the jobs whose timelines are being watched, kept so that only what is new is read again."""

import threading
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from milepost.infrastructure.event_store.runs import turning_points
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.timeline import Attempts

MOST_JOBS: Final = 8
MOST_KEPT: Final = 200_000  # attempts of all of them; a job with more is read whole each time


class KnownAttempts:
    """Of one event store. A stream only ever grows, so what was read of it stays right."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._turn = threading.Lock()
        self._known: OrderedDict[UUID, Attempts] = OrderedDict()

    @contextmanager
    def of(self, job_id: UUID) -> Generator[Attempts, None, None]:
        """As they are now; inside the block nobody changes them. Raises UnreadableEvent."""
        with self._turn:
            found = self._known.pop(job_id, None) or Attempts()
            found.add(turning_points(self._app.database, job_id, found.version))
            self._known[job_id] = found
            while len(self._known) > MOST_JOBS or sum(len(each.all) for each in self._known.values()) > MOST_KEPT:
                self._known.popitem(last=False)
            yield found
