"""The line to a call in another process: one pipe, reports up and signals down; this is the process's end of it."""

import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from typing import Protocol

from milepost.domain.events import PlannedStep, Progress
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.running.call import Begun, Call, Ended, How, Planned, Progressed, Report
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.link import Signal, raise_for
from milepost.infrastructure.running.perform import Environment, perform
from milepost.infrastructure.running.step_context import NotOursAnyMore

Upward = tuple[int, int, Begun | Report]  # number of the call, number of the report, report


@dataclass(frozen=True, slots=True)
class Downward:
    """What a process is told: to run a call; then, about it, a signal or that a report is on disk."""

    call: int
    asked: Call | None = None
    signal: Signal | None = None
    recorded: int = 0


class Line(Protocol):
    """A way up and down: a pipe's end, or what stands for one."""

    def send(self, obj: Upward, /) -> None: ...

    def recv(self) -> Downward: ...

    def poll(self, timeout: float | None = 0.0, /) -> bool: ...


class RemoteLink:
    """The line of one call."""

    def __init__(self, connection: Line, number: int, timeout_seconds: float | None) -> None:
        self._connection = connection
        self._number = number
        self._timeout_seconds = timeout_seconds
        self._signal = Signal.GO_ON
        self._reports = 0
        self._recorded = 0
        self._turn = threading.RLock()  # user code may report from threads of its own

    def progressed(self, progress: Progress, *, durable: bool) -> None:
        self._report(Progressed(progress, durable), wait=durable)

    def planned(self, first: int, steps: tuple[PlannedStep, ...], *, wait: bool) -> None:
        self._report(Planned(first, steps), wait=wait)

    def asked_to_stop(self) -> bool:
        with self._turn:
            while self._connection.poll():
                self._hear()
            return self._signal is not Signal.GO_ON

    def raise_if_asked_to_stop(self) -> None:
        if self.asked_to_stop():
            raise_for(self._signal, self._timeout_seconds)

    def wait(self, seconds: float) -> None:
        self._connection.poll(seconds)

    def _report(self, report: Report, *, wait: bool) -> None:
        with self._turn:
            self._reports += 1
            self._connection.send((self._number, self._reports, report))
            while wait and self._recorded < self._reports:
                if self._signal is Signal.LOST:
                    raise NotOursAnyMore
                self._hear()

    def _hear(self) -> None:
        told = self._connection.recv()
        if told.call == self._number:  # else it was meant for the call before this one
            self._recorded = max(self._recorded, told.recorded)
            self._signal = self._signal if told.signal is None else told.signal


class CallProcess:
    """Runs calls in this process, with what it was given when it started."""

    def __init__(self, job_type_modules: tuple[str, ...], database_url: str) -> None:
        self._arguments = (job_type_modules, database_url)

    @cached_property
    def environment(self) -> Environment:
        modules, url = self._arguments
        return Environment(JobTypes.load(modules), open_database(url))

    def prepare(self) -> None:
        """What a call needs is imported before its time begins."""
        with suppress(Exception):  # then the call fails with it, too, and says so
            _ = self.environment

    def perform(self, call: Call, line: Line, number: int) -> Ended:
        """Runs it, and reports by that line under that number while it runs."""
        link = RemoteLink(line, number, call.step.timeout_seconds if call.step else None)
        try:
            return perform(call, link, self.environment)
        except Exception as error:  # noqa: BLE001 - the environment cannot be had here; the step's history says why
            return Ended(How.FAILED, error=error_detail(error))


def serve(connection: "Connection[Upward, Downward]", job_type_modules: tuple[str, ...], database_url: str) -> None:
    """Runs call after call until the pipe is closed.

    The process survives a Ctrl-C, a SIGTERM and a SIGHUP to its whole group, which its parent turns into a stop or a
    hand-back; it does not survive its parent.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    process = CallProcess(job_type_modules, database_url)
    try:
        while True:
            told = connection.recv()
            if told.asked is not None:  # else it was meant for the call before
                process.prepare()
                connection.send((told.call, 0, Begun()))
                connection.send((told.call, 0, process.perform(told.asked, connection, told.call)))
    except (EOFError, OSError):
        return  # nobody is there any more


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
