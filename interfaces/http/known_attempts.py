"""The attempts of the jobs whose timelines are being watched, kept so that only what is new is read again."""

import threading
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from milepost.infrastructure.event_store.runs import turning_points
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.timeline import Attempts

MOST_JOBS: Final = 8
MOST_KEPT: Final = 200_000  # attempts of all of them; a job with more is read whole each time


@dataclass(slots=True)
class _Watched:
    """One job. `turn`: of whoever reads on or draws it; those who ask for other jobs do not wait."""

    attempts: Attempts = field(default_factory=Attempts)
    turn: threading.Lock = field(default_factory=threading.Lock)


class KnownAttempts:
    """Of one event store. A stream only ever grows, so what was read of it stays right."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._turn = threading.Lock()  # of `_known` alone, and so short
        self._known: OrderedDict[UUID, _Watched] = OrderedDict()

    @contextmanager
    def of(self, job_id: UUID) -> Generator[Attempts, None, None]:
        """As they are now; inside the block nobody changes them. Raises UnreadableEvent."""
        with self._turn:
            found = self._known.setdefault(job_id, _Watched())
            self._known.move_to_end(job_id)
        with found.turn:
            found.attempts.add(turning_points(self._app.database, job_id, found.attempts.version))
            self._forget()
            yield found.attempts

    def _forget(self) -> None:
        """Those that nobody has asked for the longest. Who is at work with one has it all the same."""
        with self._turn:
            while len(self._known) > MOST_JOBS or self._kept() > MOST_KEPT:
                self._known.popitem(last=False)

    def _kept(self) -> int:
        return sum(len(each.attempts.all) for each in self._known.values())
