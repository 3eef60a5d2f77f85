"""A worker beside the main thread, which is left to signals and to what is shown."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final
from uuid import UUID

from milepost.interfaces.bootstrap import Application, ExecutorKind
from milepost.interfaces.cli.worker_options import slots_or_default

LEAVING_SECONDS: Final = 5.0


class WorkerThread:
    """Runs a worker for one job, or for all, from `with` to its end; an error of the worker is raised there.

    `grace_seconds`: when it is told to end, how long it waits for steps. `when_over`: told when the worker has ended.
    """

    def __init__(
        self,
        app: Application,
        kind: ExecutorKind,
        slots: int | None,
        *,
        only: UUID | None,
        grace_seconds: float = 30.0,
        when_over: Callable[[], None] = lambda: None,
    ) -> None:
        self._app = app
        self._grace_seconds, self._when_over = grace_seconds, when_over
        self._kind: ExecutorKind = kind
        self._slots, self._only = slots_or_default(slots), only
        self._over = threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> "WorkerThread":
        if self._only is None:
            _ = self._app.retention_rules  # before anything is begun: a wrong one is refused
        self._worker, self._executor = self._app.worker(
            slots=self._slots, kind=self._kind, only=self._only, grace_seconds=self._grace_seconds
        )
        # Made here, not in its thread: the main thread of a server goes on to import and to describe documents, for
        # which two threads must not parse sources at the same time (CPython 3.11 then takes one for the other).
        name, alone = self._worker.name, self._only is not None
        self._beside = () if alone else (self._app.live_observers(name), self._app.retention(name))
        self._thread = threading.Thread(target=self._run, name="milepost-worker", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.hand_back()
        self._thread.join(LEAVING_SECONDS if self._only else self._grace_seconds + LEAVING_SECONDS)
        self._over.set()  # only for one that did not get through with it: a worker ends by itself when all is back
        self._executor.close()
        if self._error is not None:
            raise self._error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def hand_back(self) -> None:
        self._worker.hand_back()

    def abandon(self) -> None:
        self._worker.abandon()

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                for each in self._beside:
                    stack.enter_context(each)
                self._worker.run(self._over.is_set)
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            self._error = error
        finally:
            self._when_over()
