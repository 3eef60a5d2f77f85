"""The line between running code and its coordinator: reports one way, the wish to stop the other."""

import threading
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from milepost.domain.events import PlannedStep, Progress
from milepost.infrastructure.running.call import Call, Ended, Planned, Progressed, Report
from milepost.infrastructure.running.step_context import NotOursAnyMore, StepTimedOut, StopRequested

LOOK_SECONDS: Final = 0.1  # how often a waiting report looks whether anybody is still there to record it


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

    def planned(self, first: int, steps: tuple[PlannedStep, ...], *, wait: bool) -> None:
        """Report steps of a plan; with `wait`, return when they are recorded. Raises StopRequested when it is lost."""
        ...

    def asked_to_stop(self) -> bool:
        """Whether the coordinator wants it to end."""
        ...

    def raise_if_asked_to_stop(self) -> None:
        """Raises StopRequested or StepTimedOut."""
        ...

    def wait(self, seconds: float) -> None:
        """Return when that time has passed, or the coordinator wants something; sometimes earlier."""
        ...


def raise_for(signal: Signal, timeout_seconds: float | None) -> None:
    """Turn the coordinator's wish into the exception that user code sees."""
    if signal is Signal.TIMED_OUT:
        raise StepTimedOut(timeout_seconds or 0.0)
    if signal is Signal.LOST:
        raise NotOursAnyMore
    if signal is Signal.STOP:
        stop = StopRequested()
        stop.asked = True
        raise stop


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
        return [self._reports.popleft() for _ in range(len(self._reports))]


class Activity:
    """One call in flight: the coordinator's end of the line, and the caller's own where they share a process."""

    __slots__ = (
        "_awake", "_relay", "begun", "call", "deadline", "done", "mailbox",
        "over", "reached", "recorded", "recorded_at", "signal",
    )  # fmt: skip

    def __init__(self, call: Call, mailbox: Mailbox, *, deadline: float | None, recorded_at: float) -> None:
        self.call = call
        self.mailbox = mailbox
        self.signal = Signal.GO_ON
        self.deadline = deadline  # by the monotonic clock
        self.begun = True  # its time counts; not yet where its process is still starting
        self.done = False  # the executor is through with it, and its slot is free
        self.over = False  # its end is recorded; whatever it still says is too late
        # The newest progress, kept here and not in the mailbox: a step may report a million times a second.
        # Each has one writer: the running code, and the coordinator.
        self.reached: Progress | None = None
        self.recorded: Progress | None = None
        self.recorded_at = recorded_at
        self._relay: Callable[[Signal], None] | None = None  # to a call in another process
        self._awake: threading.Event | None = None  # of a call that waits

    # The coordinator's end

    def tell(self, signal: Signal) -> None:
        """Let the call know what is wanted of it. A time-out and a loss are for good."""
        if signal > self.signal or (signal is Signal.GO_ON and self.signal is Signal.STOP):
            self.signal = signal
            if self._relay is not None:
                self._relay(signal)
            if self._awake is not None:
                self._awake.set()

    @property
    def unrecorded(self) -> Progress | None:
        """What it has reached and nobody has written down."""
        reached = self.reached
        return None if reached is self.recorded else reached

    # The executor's

    def relay_to(self, relay: Callable[[Signal], None]) -> None:
        """Have the call in another process told, also of what was wanted while it waited for its slot."""
        self._relay = relay
        if self.signal is not Signal.GO_ON:
            relay(self.signal)

    def reported(self, report: Progressed | Planned, recorded: Callable[[], None]) -> None:
        """What a call in another process says; `recorded` is called when it is on disk, where that matters."""
        if isinstance(report, Progressed):
            self.progressed(report.progress, durable=False)
        if not isinstance(report, Progressed) or report.durable:
            self.mailbox.put(self, report, recorded)

    def ended(self, ended: Ended) -> None:
        self.done = True
        self.mailbox.put(self, ended)

    # The call's

    def progressed(self, progress: Progress, *, durable: bool) -> None:
        self.reached = progress
        if durable:
            self._report(Progressed(progress, durable=True))

    def planned(self, first: int, steps: tuple[PlannedStep, ...], *, wait: bool) -> None:
        if wait:
            self._report(Planned(first, steps))
        else:
            self.mailbox.put(self, Planned(first, steps))

    def asked_to_stop(self) -> bool:
        return self.signal is not Signal.GO_ON

    def raise_if_asked_to_stop(self) -> None:
        if self.signal is not Signal.GO_ON:
            raise_for(self.signal, self.call.step.timeout_seconds if self.call.step else None)

    def wait(self, seconds: float) -> None:
        if self._awake is None:
            self._awake = threading.Event()
        self._awake.clear()
        if self.signal is Signal.GO_ON:  # told between the two lines above, it is awake now
            self._awake.wait(seconds)

    def _report(self, report: Report) -> None:
        """Returns when it is recorded; an end that nobody will record is no reason to wait for ever."""
        recorded = threading.Event()
        self.mailbox.put(self, report, recorded.set)
        while not recorded.wait(LOOK_SECONDS):
            if self.signal is Signal.LOST or self.over:
                raise NotOursAnyMore
