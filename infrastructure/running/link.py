"""The line between running code and its coordinator: reports one way, the wish to stop the other."""

import threading
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from milepost.domain.events import PlannedStep, Progress
from milepost.infrastructure.running.call import Call, Ended, Planned, Progressed, Report
from milepost.infrastructure.running.step_context import StepTimedOut, StopRequested


class Signal(IntEnum):
    """What the coordinator wants of a running call."""

    GO_ON = 0
    STOP = 1  # come to rest at a checkpoint
    TIMED_OUT = 2  # its time is over: fail
    LOST = 3  # another worker has the job: nothing that it reports counts any more


class Link(Protocol):
    """The running code's end of the line."""

    def progressed(self, progress: Progress, *, durable: bool) -> None:
        """Report; with `durable`, return when it is on disk. Raises StopRequested when the job is lost."""
        ...

    def planned(self, first: int, steps: tuple[PlannedStep, ...]) -> None:
        """Report steps of a plan, and return when they are recorded. Raises StopRequested when the job is lost."""
        ...

    def asked_to_stop(self) -> bool:
        """Whether the coordinator wants it to end."""
        ...

    def raise_if_asked_to_stop(self) -> None:
        """Raises StopRequested or StepTimedOut."""
        ...


def raise_for(signal: Signal, timeout_seconds: float | None) -> None:
    """Turn the coordinator's wish into the exception that user code sees."""
    if signal is Signal.TIMED_OUT:
        raise StepTimedOut(timeout_seconds or 0.0)
    if signal is not Signal.GO_ON:
        raise StopRequested


class Mailbox:
    """Reports of all the calls of one job, in the order of their arrival, and the bell that wakes the worker."""

    def __init__(self, bell: threading.Event) -> None:
        self._reports: deque[tuple[Activity, Report, Callable[[], None] | None]] = deque()
        self._bell = bell

    def put(self, activity: "Activity", report: Report, acknowledge: Callable[[], None] | None = None) -> None:
        self._reports.append((activity, report, acknowledge))
        self._bell.set()

    def take(self) -> "list[tuple[Activity, Report, Callable[[], None] | None]]":
        """All that has arrived."""
        taken: list[tuple[Activity, Report, Callable[[], None] | None]] = []
        while self._reports:
            taken.append(self._reports.popleft())
        return taken

    def __len__(self) -> int:
        return len(self._reports)


class Activity:
    """One call in flight: the coordinator's end of the line, and the caller's own where they share a process."""

    __slots__ = ("call", "deadline", "mailbox", "over", "recorded_at", "relay", "signal", "unrecorded")

    def __init__(self, call: Call, mailbox: Mailbox, *, deadline: float | None, recorded_at: float) -> None:
        self.call = call
        self.mailbox = mailbox
        self.signal = Signal.GO_ON
        self.relay: Callable[[Signal], None] | None = None  # to a call in another process
        self.deadline = deadline
        self.over = False  # its end is recorded; whatever it still says is too late
        self.unrecorded: Progress | None = None
        self.recorded_at = recorded_at

    def tell(self, signal: Signal) -> None:
        """Let the call know what is wanted of it. A time-out and a loss are for good."""
        if signal > self.signal or (signal is Signal.GO_ON and self.signal is Signal.STOP):
            self.signal = signal
            if self.relay is not None:
                self.relay(signal)

    def ended(self, ended: Ended) -> None:
        self.mailbox.put(self, ended)

    def progressed(self, progress: Progress, *, durable: bool) -> None:
        self._report(Progressed(progress, durable), wait=durable)

    def planned(self, first: int, steps: tuple[PlannedStep, ...]) -> None:
        self._report(Planned(first, steps), wait=True)

    def asked_to_stop(self) -> bool:
        return self.signal is not Signal.GO_ON

    def raise_if_asked_to_stop(self) -> None:
        if self.signal is not Signal.GO_ON:
            raise_for(self.signal, self.call.step.timeout_seconds if self.call.step else None)

    def _report(self, report: Report, *, wait: bool) -> None:
        if not wait:
            self.mailbox.put(self, report)
            return
        recorded = threading.Event()
        self.mailbox.put(self, report, recorded.set)
        while not recorded.wait(LOOK_SECONDS):
            if self.signal is Signal.LOST or self.over:
                raise StopRequested


LOOK_SECONDS: Final = 0.1  # how often a waiting report looks whether anybody is still there to record it
