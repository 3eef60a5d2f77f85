"""The calls of one job that are in flight: begun, signalled, timed out, and forgotten when their end is recorded."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final

from milepost.infrastructure.running.call import Call, CallKind, Ended, How, Report
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.executors import StepExecutor
from milepost.infrastructure.running.link import Activity, Mailbox, Signal
from milepost.infrastructure.running.step_context import StepTimedOut

log = logging.getLogger("milepost.worker")

TIMEOUT_GRACE_SECONDS: Final = 2.0  # for a step to notice that its time is over
STALLED_SECONDS: Final = 0.25  # with no end of a step: then they are quick no more
PACE_WEIGHT: Final = 0.2  # of the newest step in the moving average of the steps' duration

Letter = tuple[Activity, Report, Callable[[], None] | None]


class GaveUp(Ended):
    """The end of an attempt that did not react to its time-out; its slot stays taken until it really ends."""


class Calls:
    """One coordinator's calls, in the order in which they began: the same seed, the same history."""

    def __init__(self, executor: StepExecutor, bell: threading.Event) -> None:
        self.letters: list[Letter] = []  # taken, and not recorded yet
        self.hook: Activity | None = None  # the one call that is not a step
        self.pace: float | None = None  # seconds a step takes, on average
        self._executor = executor
        self._mailbox = Mailbox(bell)
        self._running: dict[Activity, None] = {}
        self._zombies: dict[Activity, None] = {}  # given up, but still in their slots
        self._moved_at = float("-inf")  # when a step has begun or ended

    def __iter__(self) -> Iterator[Activity]:
        """Those that run and are not given up."""
        return iter(self._running)

    @property
    def slots(self) -> int:
        """Slots that they take, those included that do not react to their time-out."""
        return len(self._running) + len(self._zombies)

    @property
    def stuck(self) -> int:
        """Slots that steps hold which do not react to their time-out."""
        return sum(not activity.done for activity in self._zombies)

    @property
    def left_running(self) -> tuple[Activity, ...]:
        """Those that are still in their slots."""
        return tuple(activity for activity in (*self._running, *self._zombies) if not activity.done)

    def none_but(self, ended: list[tuple[Activity, Ended]]) -> bool:
        """Whether nothing runs any more, once these ends are recorded."""
        return self._running.keys() <= {activity for activity, _ in ended}

    def leave_slots(self, ended: list[tuple[Activity, Ended]]) -> int:
        """How many slots these ends leave to others."""
        left = {activity for activity, how in ended if not isinstance(how, GaveUp)}
        return len(left & (self._running.keys() | self._zombies.keys()))

    def begin(self, call: Call, tick: float) -> None:
        timeout = call.step.timeout_seconds if call.step else None
        deadline = None if timeout is None else tick + timeout
        activity = Activity(call, self._mailbox, deadline=deadline, recorded_at=tick)
        self._running[activity] = None
        self._moved_at = tick
        if call.step is None:
            self.hook = activity
        self._executor.submit(activity)

    def hear(self) -> None:
        """Take in what they have reported."""
        self.letters += self._mailbox.take()

    def mind_the_pace(self, tick: float, most: int) -> None:
        """Steps that were quick and are no more would keep the others' slots with all that waits behind them."""
        stalled = not self.letters and tick >= self._moved_at + STALLED_SECONDS
        if stalled and self.slots > most and self.hook is None:
            self.pace = max(self.pace or 0.0, STALLED_SECONDS)
            self._executor.take_back(self._mailbox)

    def forget(self, activity: Activity, ended: Ended, tick: float) -> None:
        """Its end is recorded."""
        self._moved_at = tick
        if isinstance(ended, GaveUp):
            self._zombies[activity] = None
        else:
            self._zombies.pop(activity, None)
        activity.over = True
        if activity in self._running:
            del self._running[activity]
            if activity.call.step is not None and ended.how is not How.NOT_BEGUN:
                was = self.pace if self.pace is not None else ended.seconds
                self.pace = was + PACE_WEIGHT * (ended.seconds - was)
        if activity is self.hook:
            self.hook = None

    def tell(self, wanted: Signal) -> None:
        """Steps and plans can come to rest half-way; the other hooks are only told that they are lost."""
        for activity in self._running:
            if activity.call.kind in (CallKind.PERFORM, CallKind.PLAN) or wanted is Signal.LOST:
                activity.tell(wanted)

    def let_go(self) -> None:
        """Whatever still runs reports to nobody."""
        for activity in self._running:
            activity.over = True
            activity.tell(Signal.LOST)
        self.hook = None

    # -- time-outs

    def watch_the_clock(self, tick: float) -> None:
        for activity in self._running:
            if not activity.begun and activity.deadline is not None:
                activity.deadline = tick + _timeout(activity)
            if activity.deadline is None or activity.done or tick < activity.deadline:
                continue
            activity.tell(Signal.TIMED_OUT)
            if tick >= activity.deadline + TIMEOUT_GRACE_SECONDS:
                self._give_up(activity, tick)

    def _give_up(self, activity: Activity, tick: float) -> None:
        """The step does not react: its attempt has failed all the same, and its slot is lost until it does."""
        if any(known is activity and isinstance(report, Ended) for known, report, _ in self.letters):
            return  # in a round that could not be recorded
        step, timeout = activity.call.step, _timeout(activity)
        late = timeout + tick - (activity.deadline or tick)
        ended = GaveUp(How.FAILED, late, activity.unrecorded, error_detail(StepTimedOut(timeout)))
        self.letters.append((activity, ended, None))
        name = step.name if step else ""
        log.warning("job %s: step %s does not react to its time-out", activity.call.job_id, name)
        self._executor.kill(activity)


def _timeout(activity: Activity) -> float:
    step = activity.call.step
    return (step.timeout_seconds if step else None) or 0.0
