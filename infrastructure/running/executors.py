"""Where calls run: in threads of this process, or in processes of their own."""

import threading
from collections import deque
from queue import SimpleQueue
from typing import Final, Protocol

from milepost.domain.events import ErrorDetail
from milepost.infrastructure.running.call import Ended, How
from milepost.infrastructure.running.link import Activity, Mailbox
from milepost.infrastructure.running.perform import Environment, perform
from milepost.infrastructure.running.processes import ProcessExecutor

__all__ = ["NotInstalled", "ProcessExecutor", "StepExecutor", "ThreadExecutor", "thread_executor"]

AHEAD_PER_THREAD: Final = 128  # quick steps handed over before a thread is free, so that none waits for the coordinator


class NotInstalled(Exception):
    """Something that needs an extra."""

    def __init__(self, extra: str, cause: str) -> None:
        self.extra = extra
        super().__init__(f"This needs the extra '{extra}', which is not installed ({cause})")


class StepExecutor(Protocol):
    """Runs calls; each ends with exactly one `Ended` in its activity's mailbox, whatever happens."""

    @property
    def slots(self) -> int:
        """How many calls run at once."""
        ...

    @property
    def ahead(self) -> int:
        """How many more may wait inside for a slot, where steps are quick."""
        ...

    def submit(self, activity: Activity) -> None:
        """Run it as soon as a slot is free. Never blocks."""
        ...

    def take_back(self, mailbox: Mailbox) -> None:
        """Of a job's calls, end those that wait for a slot; they have not begun."""
        ...

    def kill(self, activity: Activity) -> None:
        """End a call that does not react, where that is possible without harm to others."""
        ...

    def close(self) -> None:
        """Take nothing more. Returns within seconds; what runs ends by itself or with this process."""
        ...


class ThreadExecutor:
    """Threads of its own, which take calls of all jobs in turn and do not keep the process from ending.

    A ThreadPoolExecutor serves whoever came first: one job's quick steps would make all others wait. And the
    interpreter waits for its threads at exit, so a step that does not react would keep a worker alive.
    """

    def __init__(self, slots: int, environment: Environment) -> None:
        self.slots = slots
        self.ahead = slots * AHEAD_PER_THREAD
        self._environment = environment
        self._waiting: dict[Mailbox, deque[Activity]] = {}  # by job, in the order in which they are served
        self._turn = threading.Lock()
        self._permits: SimpleQueue[bool] = SimpleQueue()  # one for each waiting call; False ends a thread
        for number in range(slots):
            threading.Thread(target=self._serve, name=f"milepost-step-{number}", daemon=True).start()

    def submit(self, activity: Activity) -> None:
        with self._turn:
            self._waiting.setdefault(activity.mailbox, deque()).append(activity)
        self._permits.put(True)

    def take_back(self, mailbox: Mailbox) -> None:
        with self._turn:
            waiting = self._waiting.pop(mailbox, ())
        for activity in waiting:
            activity.ended(Ended(How.NOT_BEGUN))

    def kill(self, activity: Activity) -> None:
        """Nothing can end a thread: its slot stays taken until it ends by itself."""

    def close(self) -> None:
        with self._turn:
            left = [activity for of_job in self._waiting.values() for activity in of_job]
            self._waiting.clear()
        for activity in left:
            activity.ended(Ended(How.STOPPED))
        for _ in range(self.slots):
            self._permits.put(False)

    def _serve(self) -> None:
        while self._permits.get():
            activity = self._next()
            if activity is not None:
                run(activity, self._environment)

    def _next(self) -> Activity | None:
        with self._turn:
            if not self._waiting:
                return None  # closed, or taken back
            mailbox = next(iter(self._waiting))
            of_job = self._waiting.pop(mailbox)
            activity = of_job.popleft()
            if of_job:
                self._waiting[mailbox] = of_job  # the other jobs come first now
            return activity


def thread_executor(slots: int, environment: Environment) -> ThreadExecutor:
    """Threads: for steps that wait for databases, networks and disks."""
    return ThreadExecutor(slots, environment)


def run(activity: Activity, environment: Environment) -> None:
    """One call here and now; its end is reported even where there is no memory left to tell it well."""
    try:
        ended = perform(activity.call, activity, environment)
    except BaseException as error:  # noqa: BLE001 - a lost end would keep the job waiting for ever
        ended = Ended(How.FAILED, error=ErrorDetail(type=type(error).__name__, message="it could not be told well"))
    activity.ended(ended)
