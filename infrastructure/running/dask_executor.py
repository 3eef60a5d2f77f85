"""Calls on a Dask cluster: their code runs there, the coordinator and the events stay here. See ADR/0013."""

import asyncio
import importlib.metadata
import itertools
import logging
import os
import pickle
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import uuid4

from distributed import Client, LocalCluster

from milepost.infrastructure.running.call import Begun, Ended, How, Progressed
from milepost.infrastructure.running.dask_side import deliver, ignore_interrupts, key_of, run_call, unfit
from milepost.infrastructure.running.error_detail import error_detail
from milepost.infrastructure.running.link import Activity, Mailbox, Signal
from milepost.infrastructure.running.remote_link import Downward, Upward

log = logging.getLogger("milepost.worker")

LOOK_SECONDS: Final = 0.5  # how often the cluster's workers are looked at
ANSWER_SECONDS: Final = 5.0  # after which somebody of the cluster is taken for gone


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
    """Nothing is heard of the cluster any more."""

    def __init__(self, scheduler: str) -> None:
        self.scheduler = scheduler
        super().__init__(f"the cluster's scheduler {scheduler} does not answer: see that it runs")


class CallLost(Exception):
    """The cluster gave the call up before it ran."""

    def __init__(self, status: str) -> None:
        super().__init__(f"the cluster ended the call without a report of it: {status}")


@dataclass(slots=True)
class _Running:
    activity: Activity
    future: Any
    worker: str | None = None  # who was given the call


class DaskExecutor:
    """One task of the cluster for each call; `scheduler` is its address, else it has a local one of `processes`.

    Raises ClusterUnusable.
    """

    ahead = 0

    def __init__(
        self, scheduler: str | None, job_type_modules: tuple[str, ...], database_url: str, processes: int = 1
    ) -> None:
        self._arguments = (job_type_modules, database_url)
        self._cluster: Any = None
        if scheduler is None:
            self._cluster = local_cluster(processes)
        self._scheduler: str = scheduler or self._cluster.scheduler_address
        self._topic = f"milepost-{uuid4().hex}"
        self._numbers = itertools.count(1)
        self._turn = threading.RLock()
        self._running: dict[int, _Running] = {}
        self._senders: dict[str, asyncio.Queue[Downward]] = {}
        self._tasks: set[asyncio.Future[None]] = set()  # kept from being collected
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
                key = key_of(self._topic, number)
                future = self._client.submit(run_call, self._topic, number, *self._arguments, key=key, pure=False)
                self._running[number] = _Running(activity, future)
        except Exception as error:  # noqa: BLE001 - a lost end would keep the job waiting for ever
            activity.ended(Ended(How.FAILED, error=error_detail(error)))
            return
        activity.relay_to(lambda signal: self._signal(number, signal))

    def take_back(self, mailbox: Mailbox) -> None:
        """Nothing is handed over before a slot is free."""

    def kill(self, activity: Activity) -> None:
        """Nothing can end a thread of the cluster: its slot stays taken until it ends by itself."""

    def close(self) -> None:
        """What still runs is told that it is lost; nobody waits for it."""
        if self._closed.is_set():
            return
        self._closed.set()
        for number in list(self._running):
            self._signal(number, Signal.LOST)
            self._end(number, Ended(How.STOPPED))
        with suppress(Exception):
            self._client.close(timeout=2)
        self._close_cluster()

    def _close_cluster(self) -> None:
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=5)

    # -- the cluster

    def _connected(self) -> Any:
        """A new client, which hears our topic. Raises ClusterUnusable."""
        try:
            client: Any = Client(self._scheduler, set_as_default=False, timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterUnusable(self._scheduler, f"nobody answers there ({error})") from error
        self._senders = {}
        client.subscribe_topic(self._topic, self._heard)
        if self._cluster is not None:
            client.run(ignore_interrupts)
        return client

    def _check(self) -> None:
        """Raises ClusterUnusable where a worker of the cluster could not run our calls."""
        self.slots = sum(self._threads(self._client).values())
        if not self.slots:
            cause = "it has no workers: start one with 'dask worker', where Milepost and the job types are installed"
            raise ClusterUnusable(self._scheduler, cause)
        version = importlib.metadata.version("milepost")
        try:
            found: dict[str, str | None] = self._client.run(unfit, version, *self._arguments)
        except Exception as error:
            cause = f"its workers cannot load Milepost ({type(error).__name__}: {error}): install it there"
            raise ClusterUnusable(self._scheduler, cause) from error
        for worker, why in found.items():
            if why:
                raise ClusterUnusable(self._scheduler, f"worker {worker}: {why}")

    @staticmethod
    def _threads(client: Any) -> dict[str, int]:
        """Of each worker of the cluster, by address."""
        found: dict[str, int] = client.sync(client.scheduler.ncores, callback_timeout=ANSWER_SECONDS)
        return found

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            try:
                if self._client.status != "running":
                    raise SchedulerGone(self._scheduler)
                workers = self._threads(self._client)
            except Exception:  # noqa: BLE001 - whatever it raises, nobody answered
                self._start_anew()
                continue
            self.slots = sum(workers.values())
            for number, running in list(self._running.items()):
                if running.worker is not None and running.worker not in workers:
                    self._end(number, Ended(How.FAILED, error=error_detail(ClusterWorkerGone(running.worker))))
                elif running.worker is None and running.future.status in ("error", "lost", "cancelled"):
                    self._end(number, Ended(How.FAILED, error=error_detail(CallLost(running.future.status))))

    def _start_anew(self) -> None:
        """Without a scheduler there are no slots; what ran has failed, and what comes next waits for one."""
        self.slots = 0
        log.warning("%s", SchedulerGone(self._scheduler))
        for number in list(self._running):
            self._end(number, Ended(How.FAILED, error=error_detail(SchedulerGone(self._scheduler))))
        with suppress(Exception):
            self._client.close(timeout=1)
        while not self._closed.wait(LOOK_SECONDS):
            with suppress(ClusterUnusable):
                self._client = self._connected()
                log.info("the cluster's scheduler %s answers again", self._scheduler)
                return

    # -- what goes down

    def _signal(self, number: int, wanted: Signal) -> None:
        with self._turn:
            running = self._running.get(number)
            if running is None:
                return
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
        if worker not in self._senders:
            self._senders[worker] = asyncio.Queue()
            task = asyncio.ensure_future(self._send_all(self._client, worker, self._senders[worker]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._senders[worker].put_nowait(told)

    async def _send_all(self, client: Any, worker: str, waiting: "asyncio.Queue[Downward]") -> None:
        while client.status == "running":
            packed = pickle.dumps(await waiting.get())
            with suppress(Exception):
                await asyncio.wait_for(
                    # What `run` waits for, in the client's own loop.
                    client._run(deliver, self._topic, packed, workers=[worker], on_error="ignore"),
                    ANSWER_SECONDS,
                )

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
            self._end(number, report)
            return
        if isinstance(report, Progressed):
            running.activity.progressed(report.progress, durable=False)
        if not isinstance(report, Progressed) or report.durable:
            recorded = partial(self._tell, worker, Downward(number, recorded=report_number))
            running.activity.mailbox.put(running.activity, report, recorded)

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


def local_cluster(processes: int) -> Any:
    """A scheduler in this process, and workers of one thread each in processes that import what this one can."""
    return LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=processes,
        threads_per_worker=1,
        processes=True,
        scheduler_kwargs={"dashboard": False},
        dashboard_address=":0",  # it has a server for its health all the same, on any port
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def _release(future: Any) -> None:
    with suppress(Exception):
        future.release()
