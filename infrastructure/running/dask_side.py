"""The cluster's side of a call on Dask: it asks for the call, runs it, and reports while it runs."""

import importlib.metadata
import pickle
import signal
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, Final

from distributed import get_worker

from milepost.infrastructure.event_store.database import file_of
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.running.call import Begun, Ended, Progressed
from milepost.infrastructure.running.link import Signal
from milepost.infrastructure.running.remote_link import CallProcess, Downward, RemoteLink, Upward

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

    def put(self, told: Downward) -> None:
        self._told.put(told)

    def send(self, obj: Upward, /) -> None:
        report = obj[2]
        if isinstance(report, Progressed) and not report.durable:
            now = time.monotonic()
            if now < self._progressed_at + PROGRESS_SECONDS:
                return  # the newest one comes with the end
            self._progressed_at = now
        self._worker.log_event(self._topic, pickle.dumps((self._worker.address, obj)))

    def recv(self) -> Downward:
        while not self.poll(LOOK_SECONDS):
            pass
        return self._heard.pop(0)

    def poll(self, timeout: float | None = 0.0, /) -> bool:
        if not self._heard:
            try:
                self._heard.append(self._told.get(timeout=timeout) if timeout else self._told.get_nowait())
            except Empty:
                self._look()
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
        asked = line.recv().asked
        if asked is None:
            return
        timeout_seconds = asked.step.timeout_seconds if asked.step else None
        ended: Ended = process.perform(asked, RemoteLink(line, number, timeout_seconds))
        line.send((number, 0, ended))
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


def ignore_interrupts() -> None:
    """A Ctrl-C meant for the worker that has this cluster reaches all its processes; it is the worker that acts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
