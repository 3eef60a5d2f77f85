"""The line to a call in another process: one pipe, reports up and signals down; this is the process's end of it."""

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from milepost.domain.events import PlannedStep, Progress
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.running.call import Call, Ended, Planned, Progressed, Report
from milepost.infrastructure.running.link import Signal, raise_for
from milepost.infrastructure.running.perform import Environment, perform
from milepost.infrastructure.running.step_context import StopRequested

# Up: (number of the call, number of the report, report). Down: (number of the call, signal or number of a report).
Upward = tuple[int, int, Report]


@dataclass(frozen=True, slots=True)
class Downward:
    """What the coordinator tells a call: a signal, or that a report is on disk."""

    call: int
    signal: Signal | None = None
    recorded: int = 0


class RemoteLink:
    """The line of one call."""

    def __init__(self, connection: "Connection[Upward, Downward]", number: int, timeout_seconds: float | None) -> None:
        self._connection = connection
        self._number = number
        self._timeout_seconds = timeout_seconds
        self._signal = Signal.GO_ON
        self._reports = 0
        self._recorded = 0
        self._turn = threading.RLock()  # user code may report from threads of its own

    def progressed(self, progress: Progress, *, durable: bool) -> None:
        self._report(Progressed(progress, durable), wait=durable)

    def planned(self, first: int, steps: tuple[PlannedStep, ...]) -> None:
        self._report(Planned(first, steps), wait=True)

    def asked_to_stop(self) -> bool:
        with self._turn:
            while self._connection.poll():
                self._hear()
            return self._signal is not Signal.GO_ON

    def raise_if_asked_to_stop(self) -> None:
        if self.asked_to_stop():
            raise_for(self._signal, self._timeout_seconds)

    def _report(self, report: Report, *, wait: bool) -> None:
        with self._turn:
            self._reports += 1
            self._connection.send((self._number, self._reports, report))
            while wait and self._recorded < self._reports:
                if self._signal is Signal.LOST:
                    raise StopRequested
                self._hear()

    def _hear(self) -> None:
        told = self._connection.recv()
        if told.call == self._number:  # else it was meant for the call before this one
            self._recorded = max(self._recorded, told.recorded)
            self._signal = self._signal if told.signal is None else told.signal


class _Process:
    """What this process was given when it started."""

    connection: "Connection[Upward, Downward]"
    environment: Environment


_process: Final = _Process()


def connect(connection: "Connection[Upward, Downward]", job_type_modules: tuple[str, ...], database_url: str) -> None:
    """Prepares the process; it outlives neither a Ctrl-C, which its parent turns into a stop, nor its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _process.connection = connection
    _process.environment = Environment(JobTypes.load(job_type_modules), Database(database_url))


def perform_remotely(call: Call, number: int) -> Ended:
    """What the pool of the parent process runs here."""
    timeout_seconds = call.step.timeout_seconds if call.step else None
    return perform(call, RemoteLink(_process.connection, number, timeout_seconds), _process.environment)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
