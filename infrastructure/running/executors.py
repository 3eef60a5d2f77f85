"""Where calls run: in threads of this process, or in processes of their own."""

import multiprocessing
import threading
from collections import deque
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from typing import Final, Protocol

from milepost.infrastructure.running.call import Call, Ended, How
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.link import Activity
from milepost.infrastructure.running.perform import Environment, perform
from milepost.infrastructure.running.remote_link import Downward, Upward, connect, perform_remotely

AHEAD_PER_THREAD: Final = 64  # quick steps handed over before a thread is free, so that none waits for the coordinator


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

    def kill(self, activity: Activity) -> None:
        """End a call that does not react, where that is possible without harm to others."""
        ...

    def close(self) -> None:
        """Take nothing more. Returns at once; what runs goes on until it ends or this process does."""
        ...


class LocalExecutor:
    """Runs calls in this process, on any `concurrent.futures.Executor` that shares its memory."""

    def __init__(self, pool: Executor, slots: int, environment: Environment, ahead: int = 0) -> None:
        self.slots = slots
        self.ahead = ahead
        self._pool = pool
        self._environment = environment

    def submit(self, activity: Activity) -> None:
        self._pool.submit(self._run, activity)

    def kill(self, activity: Activity) -> None:
        """Nothing can end a thread: its slot stays taken until it ends by itself."""

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, activity: Activity) -> None:
        activity.ended(perform(activity.call, activity, self._environment))


def thread_executor(slots: int, environment: Environment) -> LocalExecutor:
    """Threads: for steps that wait for databases, networks and disks."""
    pool = ThreadPoolExecutor(slots, thread_name_prefix="milepost-step")
    return LocalExecutor(pool, slots, environment, ahead=slots * AHEAD_PER_THREAD)


class ProcessExecutor:
    """Processes: for steps that compute. Each slot is a process, so that one that dies takes one step with it."""

    ahead = 0

    def __init__(self, slots: int, job_type_modules: tuple[str, ...], database_url: str) -> None:
        self.slots = slots
        self._idle = deque(_ProcessSlot(job_type_modules, database_url) for _ in range(slots))
        self._slots = tuple(self._idle)
        self._waiting: deque[Activity] = deque()
        self._turn = threading.Lock()

    def submit(self, activity: Activity) -> None:
        with self._turn:
            if not self._idle:
                self._waiting.append(activity)
                return
            slot = self._idle.popleft()
        self._start(slot, activity)

    def kill(self, activity: Activity) -> None:
        for slot in self._slots:
            if slot.activity is activity:
                slot.kill()

    def close(self) -> None:
        for slot in self._slots:
            slot.close()

    def _start(self, slot: "_ProcessSlot", activity: Activity) -> None:
        slot.start(activity).add_done_callback(lambda done: self._ended(slot, activity, done))

    def _ended(self, slot: "_ProcessSlot", activity: Activity, done: "Future[Ended]") -> None:
        slot.activity = None
        error = None if done.cancelled() else done.exception()
        with self._turn:
            following = self._waiting.popleft() if self._waiting else None
            if following is None:
                self._idle.append(slot)
        if done.cancelled():
            activity.ended(Ended(How.STOPPED))
        elif error is not None:  # the process died, or the outcome cannot be sent
            activity.ended(Ended(How.FAILED, error=error_detail(error)))
        else:
            activity.ended(done.result())
        if following is not None:
            self._start(slot, following)


class _ProcessSlot:
    """One process, started anew when it has died, and the pipe to the call in it."""

    def __init__(self, job_type_modules: tuple[str, ...], database_url: str) -> None:
        self.activity: Activity | None = None
        self._arguments = (job_type_modules, database_url)
        self._number = 0
        self._pool: ProcessPoolExecutor | None = None
        self._connection: Connection[Downward, Upward] | None = None
        self._closed = False

    def start(self, activity: Activity) -> "Future[Ended]":
        self._number += 1
        number = self._number
        self.activity = activity
        activity.relay = lambda told: self._tell(Downward(number, signal=told))
        if self._closed:
            cancelled: Future[Ended] = Future()
            cancelled.cancel()
            return cancelled
        try:
            return self._submit(activity.call, number)
        except BrokenExecutor:  # the process died between two calls
            self._pool = None
            return self._submit(activity.call, number)

    def _submit(self, call: Call, number: int) -> "Future[Ended]":
        return (self._pool or self._open()).submit(perform_remotely, call, number)

    def kill(self) -> None:
        """The process ends now; its call fails, and the next one finds a new process."""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()

    def close(self) -> None:
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _open(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of our threads
        ours, theirs = context.Pipe()
        self._connection = ours
        self._pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=connect, initargs=(theirs, *self._arguments)
        )
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()
        return self._pool

    def _listen(self, connection: "Connection[Downward, Upward]") -> None:
        """Carries the reports of the process to the mailbox of the call that they are from."""
        while True:
            try:
                number, report_number, report = connection.recv()
            except (EOFError, OSError):
                return
            activity = self.activity
            if activity is not None and number == self._number:
                told = Downward(number, recorded=report_number)
                activity.mailbox.put(activity, report, partial(self._tell, told))

    def _tell(self, told: Downward) -> None:
        try:
            if self._connection is not None:
                self._connection.send(told)
        except OSError:
            return  # the process is gone, and its call with it
