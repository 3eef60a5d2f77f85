"""Calls in processes of their own, one at a time in each, so that one that dies takes one call with it."""

import atexit
import multiprocessing
import threading
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Final

from milepost.infrastructure.running.call import Begun, Ended, How
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.link import Activity, Mailbox
from milepost.infrastructure.running.remote_link import Downward, Upward, serve

REAP_SECONDS: Final = 5.0  # for a process whose pipe is closed to be gone


class ProcessDied(Exception):
    """The process in which the call ran is gone, and nobody knows how far the call had come."""

    def __init__(self, exit_code: int | None) -> None:
        self.exit_code = exit_code
        how = f"was ended by signal {-exit_code}" if exit_code and exit_code < 0 else f"ended with code {exit_code}"
        super().__init__(f"the process of the step {how}")


class ProcessExecutor:
    """Processes: for steps that compute. They are started anew, not forked: job types must be importable there."""

    ahead = 0

    def __init__(self, slots: int, job_type_modules: tuple[str, ...], database_url: str) -> None:
        self.slots = slots
        self._waiting: SimpleQueue[Activity | None] = SimpleQueue()
        self._slots = tuple(_Slot(self._waiting, job_type_modules, database_url) for _ in range(slots))
        atexit.register(self.close)  # else the interpreter would wait for the processes, and they for us

    def submit(self, activity: Activity) -> None:
        activity.begun = False  # a process takes its time to start, which is not the step's
        self._waiting.put(activity)

    def take_back(self, mailbox: Mailbox) -> None:
        """Nothing is handed over before a slot is free."""

    def kill(self, activity: Activity) -> None:
        for slot in self._slots:
            slot.kill(activity)

    def close(self) -> None:
        """What still runs is ended: nobody would hear of it, and its open transaction is rolled back."""
        atexit.unregister(self.close)
        for _ in self._slots:
            self._waiting.put(None)
        for slot in self._slots:
            slot.close()


class _Slot:
    """One process, started anew when it has died, and the thread that hands it calls and hears its reports."""

    def __init__(
        self, waiting: "SimpleQueue[Activity | None]", job_type_modules: tuple[str, ...], database_url: str
    ) -> None:
        self._waiting = waiting
        self._arguments = (job_type_modules, database_url)
        self._turn = threading.Lock()  # the process and its pipe are used by three threads
        self._activity: Activity | None = None
        self._number = 0
        self._process: BaseProcess | None = None
        self._connection: Connection[Downward, Upward] | None = None
        self._killed = False  # and perhaps not dead yet
        self._closed = False
        threading.Thread(target=self._serve, name="milepost-process", daemon=True).start()

    def kill(self, activity: Activity) -> None:
        """End the process if it is still at that call."""
        with self._turn:
            if self._activity is activity and self._process is not None:
                self._process.kill()
                self._killed = True

    def close(self) -> None:
        with self._turn:
            self._closed = True
            if self._activity is not None and self._process is not None:
                self._process.kill()
            self._let_go()

    def _serve(self) -> None:
        while (activity := self._waiting.get()) is not None:
            ended = self._perform(activity)
            with self._turn:
                self._activity = None
            activity.ended(ended)

    def _perform(self, activity: Activity) -> Ended:
        if activity.asked_to_stop():  # while it waited for its slot
            return Ended(How.STOPPED)
        try:
            connection = self._begin(activity)
            return Ended(How.STOPPED) if connection is None else self._wait(activity, connection)
        except (EOFError, OSError):  # the process is gone
            return Ended(How.FAILED, error=error_detail(ProcessDied(self._reaped())))
        except Exception as error:  # noqa: BLE001 - a lost end would keep the job waiting for ever
            return Ended(How.FAILED, error=error_detail(error))

    def _begin(self, activity: Activity) -> "Connection[Downward, Upward] | None":
        """Hands the call over; None where this executor is closed."""
        with self._turn:
            if self._closed:
                return None
            if self._process is None or self._killed or not self._process.is_alive():
                self._open()
            self._number += 1
            self._activity = activity
            connection = self._connection
            assert connection is not None
            connection.send(Downward(self._number, asked=activity.call))
        number = self._number
        activity.relay_to(lambda signal: self._tell(Downward(number, signal=signal)))
        return connection

    def _wait(self, activity: Activity, connection: "Connection[Downward, Upward]") -> Ended:
        """Carries the reports of the process to the coordinator, until the call ends."""
        while True:
            number, report_number, report = connection.recv()
            if isinstance(report, Ended):
                return report
            if isinstance(report, Begun):
                activity.begun = True
                continue
            activity.reported(report, partial(self._tell, Downward(number, recorded=report_number)))

    def _tell(self, told: Downward) -> None:
        with self._turn:
            if told.call != self._number or self._connection is None:
                return  # meant for a call that is over
            try:
                self._connection.send(told)
            except OSError:
                return  # the process is gone, and its call with it

    def _open(self) -> None:
        self._let_go()
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of our threads
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, *self._arguments), name="milepost-step")
        self._process.start()
        self._killed = False
        theirs.close()  # so that the pipe ends when the process does

    def _reaped(self) -> int | None:
        with self._turn:
            process, self._process = self._process, None
            self._let_go()
        if process is None:
            return None
        process.join(REAP_SECONDS)
        return process.exitcode

    def _let_go(self) -> None:
        """An idle process ends when its pipe is closed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
