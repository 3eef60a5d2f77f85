"""The cluster's side of a call on Dask: it asks for the call, runs it, and reports while it runs."""

import importlib.metadata
import pickle
import signal
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, Final

from distributed import WorkerPlugin, get_worker

from milepost.infrastructure.event_store.database import file_of
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.running.call import Begun, Call, Progressed
from milepost.infrastructure.running.link import Signal
from milepost.infrastructure.running.remote_link import CallProcess, Downward, Upward

PROGRESS_SECONDS: Final = 0.2  # all reports pass the scheduler: no more of one call than are recorded anyway
LOOK_SECONDS: Final = 1.0  # how often a call looks whether the cluster still wants it

_lines: Final[dict[tuple[str, int], "_Line"]] = {}
_processes: Final[dict[tuple[tuple[str, ...], str], CallProcess]] = {}
_turn: Final = threading.Lock()


class _Line:
    """Up by Dask's events, down by what `deliver` puts in."""

    def __init__(self, topic: str, number: int) -> None:
        self._topic = topic
        self._number = number
        self._worker: Any = get_worker()
        self._told: SimpleQueue[Downward] = SimpleQueue()
        self._heard: list[Downward] = []
        self._progressed_at = self._looked_at = float("-inf")
        self._turn = threading.Lock()  # of the code that reports and the loop that sends what had to wait
        self._late: Upward | None = None  # the newest progress, where it had to wait

    def put(self, told: Downward) -> None:
        self._told.put(told)

    def send(self, obj: Upward, /) -> None:
        report = obj[2]
        with self._turn:
            if not isinstance(report, Progressed) or report.durable:
                self._late = None  # this one knows more
                self._send(obj)
                return
            waits, self._late = self._late is not None, obj
        if not waits:
            wait = max(0.0, self._progressed_at + PROGRESS_SECONDS - time.monotonic())
            self._worker.loop.add_callback(self._worker.loop.call_later, wait, self._send_late)

    def _send_late(self) -> None:
        with self._turn:
            late, self._late = self._late, None
            if late is not None:
                self._progressed_at = time.monotonic()
                self._send(late)

    def _send(self, obj: Upward) -> None:
        self._worker.log_event(self._topic, pickle.dumps((self._worker.address, obj)))

    def asked(self) -> Call | None:
        """The call that this is the line of; None where nobody wants it any more."""
        early: list[Downward] = []  # a stop may be sooner here than the call
        while (told := self.recv()).asked is None:
            if told.signal is Signal.LOST:
                return None
            early.append(told)
        self._heard[:0] = early
        return told.asked

    def recv(self) -> Downward:
        while not self.poll(LOOK_SECONDS):
            pass
        return self._heard.pop(0)

    def poll(self, timeout: float | None = 0.0, /) -> bool:
        until = time.monotonic() + (timeout or 0.0)
        while not self._heard:
            left = until - time.monotonic()
            try:
                self._heard.append(
                    self._told.get(timeout=min(left, LOOK_SECONDS)) if left > 0 else self._told.get_nowait()
                )
            except Empty:
                self._look()
                if left <= 0:
                    break
        return bool(self._heard)

    def _look(self) -> None:
        """Whoever asked for the call may be gone: then the scheduler has dropped it, and nobody hears its reports."""
        now = time.monotonic()
        if now >= self._looked_at + LOOK_SECONDS:
            self._looked_at = now
            task = self._worker.state.tasks.get(key_of(self._topic, self._number))
            if task is None or task.state in ("cancelled", "released", "forgotten"):
                self._heard.append(Downward(self._number, signal=Signal.LOST))


def key_of(topic: str, number: int) -> str:
    """What the cluster calls a call."""
    return f"{topic}-{number}"


def deliver(topic: str, packed: bytes) -> None:
    """Tell a call something; it may be over."""
    told: Downward = pickle.loads(packed)
    line = _lines.get((topic, told.call))
    if line is not None:
        line.put(told)


def run_call(topic: str, number: int, modules: tuple[str, ...], database_url: str) -> None:
    """Runs the call of that number if its coordinator still gives it out.

    Dask runs a task again when its worker is gone. It brings only the number: the second run asks, and is refused.
    """
    line = _lines[topic, number] = _Line(topic, number)
    try:
        with _turn:
            process = _processes.setdefault((modules, database_url), CallProcess(modules, database_url))
            process.prepare()
        line.send((number, 0, Begun()))
        asked = line.asked()
        if asked is not None:
            line.send((number, 0, process.perform(asked, line, number)))
    finally:
        _lines.pop((topic, number), None)


def unfit(version: str, modules: tuple[str, ...], database_url: str) -> str | None:
    """Why this process of the cluster cannot run our calls; None where it can."""
    here = importlib.metadata.version("milepost")
    if here != version:
        return f"it has Milepost {here}, and this worker {version}: install the same there"
    file = file_of(database_url)
    if file is not None and not file.exists():
        return f"the event store's file {file} is not on its machine: keep event stores of a cluster on PostgreSQL"
    for problem in JobTypes.load(modules).problems:
        return f"it cannot load the job types of {problem.source} ({problem.error}): install that module there"
    return None


class IgnoreInterrupts(WorkerPlugin):
    """A Ctrl-C meant for the worker that has this cluster reaches all its processes; it is the worker that acts."""

    def setup(self, worker: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
