"""Calls on a Dask cluster: their code runs there, the coordinator and the events stay here. See ADR/0013."""

import asyncio
import importlib.metadata
import itertools
import logging
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import uuid4

from distributed import Client, LocalCluster
from distributed.comm.core import connect  # pyright: ignore[reportUnknownVariableType]
from distributed.security import Security
from distributed.utils import LoopRunner, sync

from milepost.infrastructure.running.call import Begun, Ended, How
from milepost.infrastructure.running.dask_side import IgnoreInterrupts, deliver, key_of, run_call, unfit
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.link import Activity, Mailbox, Signal
from milepost.infrastructure.running.remote_link import Downward, Upward

log = logging.getLogger("milepost.worker")

LOOK_SECONDS: Final = 0.5  # how often the cluster's workers are looked at
ANSWER_SECONDS: Final = 5.0  # after which somebody of the cluster is taken for gone
LOAD_SECONDS: Final = 20.0  # for a worker of the cluster to import the job types
LOOKS_UNTIL_LOST: Final = 3  # at a call that the cluster has for ended
TRY_AGAIN_SECONDS: Final = 0.1


class ClusterUnusable(Exception):
    """No cluster answers at that address, or it cannot run our calls."""

    def __init__(self, scheduler: str, cause: str) -> None:
        self.scheduler, self.cause = scheduler, cause
        super().__init__(f"The Dask cluster at {scheduler} cannot be used: {cause}")


class ClusterWorkerGone(Exception):
    """The cluster's worker in which the call ran is gone, and nobody knows how far the call had come."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        super().__init__(f"the cluster's worker {worker} is gone, and the step's attempt with it")


class SchedulerGone(Exception):
    """The connection to the cluster broke, or nobody answers by it."""

    def __init__(self, scheduler: str) -> None:
        self.scheduler = scheduler
        super().__init__(f"the connection to the cluster's scheduler {scheduler} is lost: see that it runs")


class CallLost(Exception):
    """The cluster gave the call up, or nobody knows what became of it."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the cluster ended the call without a report of it: {status}")


@dataclass(slots=True)
class _Running:
    activity: Activity
    future: Any
    may_run_on: frozenset[str]
    worker: str | None = None  # who was given the call
    told_to_end: bool = False
    over_for: int = 0  # looks since the cluster has it for ended


@dataclass(slots=True)
class _Sender:
    """What one worker of the cluster is still to be told, in order, and the task that does it."""

    waiting: "deque[Downward]" = field(default_factory=deque[Downward])
    task: "asyncio.Future[None] | None" = None


class DaskExecutor:
    """One task of the cluster for each call; `scheduler` is its address, else it has a local one of `slots` processes.

    `slots`: how many calls run at once at most; None: as many as the cluster has threads. Raises ClusterUnusable.
    """

    ahead = 0

    def __init__(
        self, scheduler: str | None, job_type_modules: tuple[str, ...], database_url: str, slots: int | None = None
    ) -> None:
        self._arguments = (job_type_modules, database_url)
        self._most = slots
        self._loop_runner: Any = LoopRunner()  # of our own: clients come and go
        self._loop_runner.start()  # type: ignore[no-untyped-call]
        self._cluster: Any = None
        if scheduler is None:
            self._cluster = local_cluster(slots or 1, self._loop_runner.loop)
        self._scheduler: str = self._cluster.scheduler_address if scheduler is None else scheduler
        self._topic = f"milepost-{uuid4().hex}"
        self._numbers = itertools.count(1)
        self._turn = threading.RLock()
        self._running: dict[int, _Running] = {}
        self._senders: dict[str, _Sender] = {}
        self._comm: Any = None  # the connection that our topic was subscribed by
        self._fit: frozenset[str] = frozenset()
        self._unfit: frozenset[str] = frozenset()
        self._closed = threading.Event()
        self.slots = 0
        try:
            self._client: Any = self._connected()
            self._check()
        except ClusterUnusable:
            self._close_cluster()
            raise
        threading.Thread(target=self._watch, name="milepost-dask", daemon=True).start()

    # -- what a worker asks

    def submit(self, activity: Activity) -> None:
        activity.begun = False  # the cluster takes its time, which is not the step's
        number = next(self._numbers)
        try:
            with self._turn:
                where = self._fit  # one that joins now was not looked at, and has all its threads free
                options = {"key": key_of(self._topic, number), "pure": False, "workers": sorted(where)}
                future = self._client.submit(run_call, self._topic, number, *self._arguments, **options)
                self._running[number] = _Running(activity, future, where)
        except Exception as error:  # noqa: BLE001 - a lost end would keep the job waiting for ever
            activity.ended(Ended(How.FAILED, error=error_detail(error)))
            return
        activity.relay_to(lambda signal: self._signal(number, signal))

    def take_back(self, mailbox: Mailbox) -> None:
        """Nothing is handed over before a slot is free."""

    def kill(self, activity: Activity) -> None:
        """Nothing can end a thread of the cluster: its slot stays taken until it ends by itself."""

    def close(self) -> None:
        """What still runs is told that it is lost; nobody waits for it. In a cluster of our own it is ended."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._cluster is not None and self._running:
            self._kill_processes()  # first: another worker may have the jobs already, and closing takes its time
        for number in list(self._running):
            self._signal(number, Signal.LOST)
            self._end(number, Ended(How.STOPPED))
        with suppress(Exception):
            self._client.close(timeout=2)
        self._close_cluster()

    def _kill_processes(self) -> None:
        for nanny in self._cluster.workers.values():
            with suppress(OSError, TypeError):  # it has none, or not any more
                os.kill(nanny.pid, signal.SIGKILL)

    def _close_cluster(self) -> None:
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=5)
        with suppress(Exception):
            self._loop_runner.stop(timeout=2)

    # -- the cluster

    def _connected(self) -> Any:
        """A new client, which hears our topic. Raises ClusterUnusable."""
        try:
            sync(self._loop_runner.loop, self._reach)
            client: Any = Client(  # type: ignore[no-untyped-call]
                self._scheduler, set_as_default=False, timeout=ANSWER_SECONDS, loop=self._loop_runner.loop
            )
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterUnusable(self._scheduler, f"nobody answers there ({error})") from error
        except Exception as error:  # such as TLS that was not configured
            raise ClusterUnusable(self._scheduler, f"{type(error).__name__}: {error}") from error
        self._comm = client.scheduler_comm
        try:
            client.subscribe_topic(self._topic, self._heard)
            if self._cluster is not None:
                client.register_plugin(IgnoreInterrupts())
        except Exception as error:
            client.close(timeout=1)
            raise ClusterUnusable(self._scheduler, f"{type(error).__name__}: {error}") from error
        return client

    async def _reach(self) -> None:
        """Tried without a client first: one that does not come to be leaves its threads behind."""
        arguments = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
        comm = await connect(self._scheduler, timeout=ANSWER_SECONDS, **arguments)  # type: ignore[no-untyped-call]
        await comm.close()  # pyright: ignore[reportUnknownMemberType]

    def _check(self) -> None:
        """Raises ClusterUnusable where a worker of the cluster could not run our calls."""
        workers = self._threads(self._client)
        if not workers:
            cause = "it has no workers: start one with 'dask worker', where Milepost and the job types are installed"
            raise ClusterUnusable(self._scheduler, cause)
        try:
            found = self._why_unfit(list(workers))
        except Exception as error:
            cause = f"its workers cannot load Milepost ({type(error).__name__}: {error}): install it there"
            raise ClusterUnusable(self._scheduler, cause) from error
        for worker, why in found.items():
            if why:
                raise ClusterUnusable(self._scheduler, f"worker {worker}: {why}")
        self._fit = frozenset(workers)
        self._count(workers)

    def _why_unfit(self, workers: list[str]) -> dict[str, str | None]:
        version = importlib.metadata.version("milepost")
        asked = partial(self._client._run, unfit, version, *self._arguments, workers=workers)  # what `run` waits for
        found: dict[str, str | None] = self._client.sync(asked, callback_timeout=LOAD_SECONDS)
        return found

    def _look_at_new_ones(self, workers: dict[str, int]) -> None:
        """A worker that joins later and cannot run our calls would fail each that it gets, and quickly get more."""
        for worker in sorted(self._fit - workers.keys()):
            log.warning("the cluster's worker %s is gone", worker)
        self._fit &= workers.keys()
        self._unfit &= workers.keys()
        for worker in sorted(workers.keys() - self._fit - self._unfit):
            try:
                why = self._why_unfit([worker])[worker]
            except Exception as error:  # noqa: BLE001 - whatever it raises there, it cannot run our calls
                why = f"it cannot load Milepost ({type(error).__name__}: {error}): install it there"
            if why:
                log.warning("the cluster's worker %s gets no steps: %s", worker, why)
                self._unfit |= {worker}
            else:
                self._fit |= {worker}

    def _count(self, workers: dict[str, int]) -> None:
        threads = sum(count for worker, count in workers.items() if worker in self._fit)
        if not threads and self.slots:
            log.warning("the cluster %s has no worker left that could run steps", self._scheduler)
        self.slots = threads if self._most is None else min(self._most, threads)

    @staticmethod
    def _threads(client: Any) -> dict[str, int]:
        """Of each worker of the cluster, by address."""
        found: dict[str, int] = client.sync(client.scheduler.ncores, callback_timeout=ANSWER_SECONDS)
        return found

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            try:
                # A client that lost its connection makes another, by which the scheduler knows nothing of our topic.
                if self._client.status != "running" or self._client.scheduler_comm is not self._comm:
                    raise SchedulerGone(self._scheduler)
                workers = self._threads(self._client)
                self._look_at_new_ones(workers)
            except Exception:  # noqa: BLE001 - whatever it raises, nobody answered
                self._start_anew()
                continue
            self._count(workers)
            for number, running in list(self._running.items()):
                why = _why_lost(running, workers)
                if why is not None:
                    self._end(number, Ended(How.FAILED, error=error_detail(why)))

    def _start_anew(self) -> None:
        """Without a scheduler there are no slots; what ran has failed, and what comes next waits for one."""
        self.slots = 0
        log.warning("%s", SchedulerGone(self._scheduler))
        for number in list(self._running):
            self._end(number, Ended(How.FAILED, error=error_detail(SchedulerGone(self._scheduler))))
        with suppress(Exception):
            self._client.close(timeout=1)
        self._fit = self._unfit = frozenset()  # the same address may be another process then
        told = ""
        while not self._closed.wait(LOOK_SECONDS):
            try:
                self._client = self._connected()
            except ClusterUnusable as error:
                if error.cause != told and not self._closed.is_set():  # once, not at every try
                    log.warning("%s", error)
                told = error.cause
            else:
                self._senders = {}  # theirs is the old client
                log.info("the cluster's scheduler %s answers again", self._scheduler)
                return

    # -- what goes down

    def _signal(self, number: int, wanted: Signal) -> None:
        with self._turn:
            running = self._running.get(number)
            if running is None:
                return
            running.told_to_end |= wanted is not Signal.GO_ON
            if running.worker is not None:
                self._tell(running.worker, Downward(number, signal=wanted))
                return
        if wanted is not Signal.GO_ON:  # it has no worker yet, and gets none
            self._end(number, Ended(How.STOPPED))

    def _tell(self, worker: str, told: Downward) -> None:
        """Never waits, and keeps the order of what one worker is told. Who is gone is found out by `_watch`."""
        with suppress(RuntimeError):  # a loop that was closed
            self._client.loop.add_callback(partial(self._enqueue, worker, told))

    def _enqueue(self, worker: str, told: Downward) -> None:
        sender = self._senders.setdefault(worker, _Sender())
        sender.waiting.append(told)
        if sender.task is None or sender.task.done():
            sender.task = asyncio.ensure_future(self._send_all(self._client, worker, sender.waiting))

    async def _send_all(self, client: Any, worker: str, waiting: "deque[Downward]") -> None:
        """Each is told until it was heard, or its call is over: to hear it twice makes no difference."""
        while waiting:
            told = waiting[0]
            while True:
                try:
                    # What `run` waits for, in the client's own loop.
                    running = client._run(deliver, self._topic, pickle.dumps(told), workers=[worker])
                    await asyncio.wait_for(running, ANSWER_SECONDS)
                    break
                except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whatever it raises, it was not heard
                    if told.call not in self._running or client is not self._client or self._closed.is_set():
                        break
                    await asyncio.sleep(TRY_AGAIN_SECONDS)
            waiting.popleft()

    # -- what comes up

    def _heard(self, event: tuple[float, bytes]) -> None:
        worker, upward = pickle.loads(event[1])
        self._report(worker, upward)

    def _report(self, worker: str, upward: Upward) -> None:
        number, report_number, report = upward
        if isinstance(report, Begun):
            self._give_out(number, worker)
            return
        running = self._running.get(number)
        if running is None or running.worker != worker:
            return  # its call is over
        if isinstance(report, Ended):
            asked = running.told_to_end or running.activity.signal is not Signal.GO_ON  # a stop may be taken back
            if report.how is How.STOPPED and not asked:  # it was told so by its cluster
                report = Ended(How.FAILED, error=error_detail(CallLost("dropped")))
            self._end(number, report)
            return
        running.activity.reported(report, partial(self._tell, worker, Downward(number, recorded=report_number)))

    def _give_out(self, number: int, worker: str) -> None:
        """A call is given out once: Dask starts it again where its first worker is gone, and does not say so."""
        with self._turn:
            running = self._running.get(number)
            if running is not None and running.worker is None:
                running.worker = worker
                running.activity.begun = True
                self._tell(worker, Downward(number, asked=running.activity.call))
                if running.activity.signal is not Signal.GO_ON:
                    self._tell(worker, Downward(number, signal=running.activity.signal))
                return
            self._tell(worker, Downward(number, signal=Signal.LOST))
        if running is not None and running.worker is not None:
            self._end(number, Ended(How.FAILED, error=error_detail(ClusterWorkerGone(running.worker))))

    def _end(self, number: int, ended: Ended) -> None:
        with self._turn:
            running = self._running.pop(number, None)
        if running is None:
            return
        running.activity.ended(ended)
        with suppress(RuntimeError):
            self._client.loop.add_callback(partial(_release, running.future))


def _why_lost(running: _Running, workers: Mapping[str, int]) -> Exception | None:
    """Why a call will not end by itself. What ends at the cluster is given time for its report to arrive here."""
    if running.worker is not None and running.worker not in workers:
        return ClusterWorkerGone(running.worker)
    if running.worker is None and not running.may_run_on & workers.keys():
        return CallLost("no worker is left that could run it")
    status: str = running.future.status
    running.over_for = running.over_for + 1 if status in ("finished", "error", "lost", "cancelled") else 0
    return CallLost(status) if running.over_for >= LOOKS_UNTIL_LOST else None


def local_cluster(processes: int, loop: Any = None) -> Any:
    """A scheduler in this process, and workers of one thread each in processes that import what this one can."""
    return LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=processes,
        threads_per_worker=1,
        processes=True,
        scheduler_kwargs={"dashboard": False},
        dashboard_address="127.0.0.1:0",  # it has a server for its health all the same, on any port
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        loop=loop,
    )


def _release(future: Any) -> None:
    with suppress(Exception):
        future.release()
