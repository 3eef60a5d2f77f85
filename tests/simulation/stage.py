"""What the runtime is given in a simulation: a clock moved by hand, seeded chance, a faulty database, and calls that
run a piece at a time, when the scheduler says so."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import greenlet
import sqlalchemy as sa

from milepost.domain.events import PlannedStep, Progress
from milepost.infrastructure.clock import uuid7
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.sqlite import SqliteDatabase
from milepost.infrastructure.running.call import Ended, How, Planned, Progressed, Report
from milepost.infrastructure.running.link import Activity, Mailbox, Signal
from milepost.infrastructure.running.perform import Environment, perform
from milepost.infrastructure.running.step_context import StopRequested

START = datetime(2026, 1, 1, tzinfo=UTC)


class SimulatedSurroundings:
    """A clock that stands still until it is moved, and chance that a seed decides."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._now = START
        self._tick = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._tick

    def pass_time(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._tick += seconds

    def set_clock(self, seconds: float) -> None:
        """Forward or back, by somebody's hand: no time has passed."""
        self._now += timedelta(seconds=seconds)

    def new_id(self) -> UUID:
        return uuid7(int(self._now.timestamp() * 1000), self._random.getrandbits(74))

    def chance(self) -> float:
        return self._random.random()


class FaultyDatabase(SqliteDatabase):
    """A database in memory whose writes fail when they are told to, before anything is written or after the commit;
    and before a write others may get in between."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
        self.faults: list[str] = []
        self.others: Callable[[], None] = lambda: None
        self._between = False

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        self._let_others_in()
        fault = self.faults.pop() if self.faults else ""
        if fault == "before":
            raise DatabaseUnavailable(self.url, "simulated: locked", "")
        with super().write() as connection:
            yield connection
        if fault == "after":
            raise DatabaseUnavailable(self.url, "simulated: the answer to the commit was lost", "")

    def _let_others_in(self) -> None:
        if not self._between:
            self._between = True
            try:
                self.others()
            finally:
                self._between = False


class Killed(greenlet.GreenletExit):
    """The process in which the call ran is gone."""


class SimulatedLink:
    """The running code's end of the line: after each report the scheduler decides who goes on."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity

    def progressed(self, progress: Progress, *, durable: bool) -> None:
        self._activity.progressed(progress, durable=False)
        if durable:
            self._report(Progressed(progress, durable), wait=True)
        else:
            pause()

    def planned(self, first: int, steps: tuple[PlannedStep, ...], *, wait: bool) -> None:
        self._report(Planned(first, steps), wait=wait)

    def asked_to_stop(self) -> bool:
        return self._activity.asked_to_stop()

    def raise_if_asked_to_stop(self) -> None:
        self._activity.raise_if_asked_to_stop()

    def wait(self, seconds: float) -> None:
        pause()

    def _report(self, report: Report, *, wait: bool) -> None:
        recorded: list[bool] = []
        self._activity.mailbox.put(self._activity, report, (lambda: recorded.append(True)) if wait else None)
        pause()
        while wait and not recorded:
            if self._activity.signal is Signal.LOST or self._activity.over:
                raise StopRequested
            pause()


def pause() -> None:
    """Give the scheduler the word."""
    parent = greenlet.getcurrent().parent
    assert parent is not None
    parent.switch()


class SimulatedExecutor:
    """The executor of one simulated process: its calls run only when `advance` picks them."""

    ahead = 4

    def __init__(self, slots: int, environment: Environment, random: Random) -> None:
        self.slots = slots
        self.calls: list[tuple[Activity, greenlet.greenlet]] = []
        self._environment = environment
        self._random = random

    def submit(self, activity: Activity) -> None:
        self.calls.append((activity, greenlet.greenlet(lambda: self._run(activity))))

    def take_back(self, mailbox: Mailbox) -> None:
        waiting = [(activity, call) for activity, call in self.calls[self.slots :] if activity.mailbox is mailbox]
        for activity, call in waiting:
            self.calls.remove((activity, call))
            activity.ended(Ended(How.NOT_BEGUN))

    def kill(self, activity: Activity) -> None:
        """As with threads: nothing ends it."""

    def close(self) -> None:
        """All that runs is gone at once, as with kill -9."""
        for _, call in self.calls:
            call.throw(Killed)
        self.calls.clear()

    def advance(self) -> None:
        """One call goes on to its next report, or to its end."""
        activity, call = self._random.choice(self.calls[: self.slots])
        call.switch()
        if call.dead:
            self.calls.remove((activity, call))

    def _run(self, activity: Activity) -> None:
        ended = perform(activity.call, SimulatedLink(activity), self._environment)
        activity.ended(ended)
        while self._random.random() < 0.1:  # late and repeated reports
            pause()
            activity.ended(ended)
            if ended.progress is not None:
                activity.progressed(ended.progress, durable=False)
