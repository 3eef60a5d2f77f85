"""Steps on a Dask cluster: the same rules, and a worker of the cluster that dies takes one attempt with it."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil  # type: ignore[import-untyped]
import pytest
from distributed import Client

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.running.call import Call, CallKind
from milepost.infrastructure.running.dask_executor import ClusterUnusable, DaskExecutor, local_cluster
from milepost.infrastructure.running.dask_side import _Line, _lines, unfit  # pyright: ignore[reportPrivateUsage]
from milepost.infrastructure.running.link import Signal
from milepost.infrastructure.running.remote_link import Downward
from milepost.infrastructure.running.worker import Worker
from tests.infrastructure.running.importable import Ordered
from tests.infrastructure.running.stage import Stage, turn_until
from tests.length import kinds
from tests.stores import url_of

StageOf = Callable[..., Stage]
S = JobStatus


@pytest.fixture(params=kinds("file", "server", short=["file"]))  # flights are imported on a cluster into a server
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One that other processes can open."""
    return url_of(request.param, tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Generator[str]:
    with local_cluster(2) as local:
        yield local.scheduler_address


def client_of(scheduler: str) -> Any:
    return Client(scheduler, set_as_default=False)  # type: ignore[no-untyped-call]


def worker_on(stage: Stage, scheduler: str) -> Worker:
    return stage.worker_on(DaskExecutor(scheduler, stage.types.modules, stage.url), None, 16)


def test_steps_run_on_the_cluster_and_report_what_must_be_durable(
    stage_of: StageOf, tmp_path: Path, cluster: str
) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "count", "folder": str(tmp_path), "steps": 3})

    assert stage.finish(job_id, worker_on(stage, cluster)) is S.COMPLETED_SUCCESSFULLY
    durable = [event for event in stage.events(job_id) if isinstance(event, e.StepProgressed)]
    assert {event.progress.checkpoint for event in durable} >= {3}
    assert (tmp_path / "0.1").read_text() != str(os.getpid())


def test_a_stop_reaches_a_step_that_sleeps_on_the_cluster(stage_of: StageOf, tmp_path: Path, cluster: str) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "wait", "folder": str(tmp_path)})
    worker = worker_on(stage, cluster)
    turn_until((tmp_path / "0.1").exists, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_a_worker_of_the_cluster_that_is_killed_costs_an_attempt_and_not_the_job(
    stage_of: StageOf, tmp_path: Path, cluster: str
) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "die_once", "folder": str(tmp_path)})

    assert stage.finish(job_id, worker_on(stage, cluster)) is S.COMPLETED_SUCCESSFULLY
    step = stage.job(job_id).steps[0]
    assert "is gone" in step.errors[0][1].message
    assert sorted(path.name for path in tmp_path.glob("0.*")) == ["0.1", "0.2"]


def checkpoint(stage: Stage, job_id: UUID) -> object:
    """What is on record of the first step; time passes with each look."""
    stage.clock.pass_time(0.01)
    steps = stage.job(job_id).steps
    return steps and steps[0].progress and steps[0].progress.checkpoint


def under_way(stage: Stage, folder: Path, scheduler: str) -> tuple[UUID, DaskExecutor, Worker]:
    """A job whose step has said all that it has to say, the last of it is on record, and waits."""
    job_id = stage.start("ordered", {"do": "report_and_wait", "folder": str(folder)})
    executor = DaskExecutor(scheduler, stage.types.modules, stage.url)
    worker = stage.worker_on(executor, None, 16)
    turn_until(lambda: checkpoint(stage, job_id) == "item 2", worker)
    return job_id, executor, worker


def test_progress_is_seen_while_the_step_still_runs(stage_of: StageOf, tmp_path: Path, cluster: str) -> None:
    stage = stage_of(Ordered)
    job_id, worker = stage.start("ordered", {"do": "wait", "folder": str(tmp_path)}), worker_on(stage, cluster)
    turn_until(lambda: checkpoint(stage, job_id) == "begun", worker)
    assert stage.job(job_id).in_flight == 1
    stage.stop(job_id)
    assert stage.finish(job_id, worker) is S.STOPPED


def test_the_newest_of_many_reports_arrives_while_the_step_runs_on(
    stage_of: StageOf, tmp_path: Path, cluster: str
) -> None:
    """Not only the first, with nothing of the others until the end: it may be killed before that."""
    stage = stage_of(Ordered)
    job_id, _, worker = under_way(stage, tmp_path, cluster)
    stage.stop(job_id)
    assert stage.finish(job_id, worker) is S.STOPPED


def test_a_connection_that_breaks_costs_an_attempt_and_the_next_one_is_heard_and_stopped(
    stage_of: StageOf, tmp_path: Path, cluster: str
) -> None:
    stage = stage_of(Ordered)
    job_id, executor, worker = under_way(stage, tmp_path, cluster)

    executor._client.scheduler_comm.comm.abort()  # pyright: ignore[reportPrivateUsage]  # the client makes another at once

    turn_until(lambda: stage.happened(job_id).count("StepStarted") == 2, worker)
    stage.clock.pass_time(1)
    turn_until((tmp_path / "0.2").exists, worker)
    stage.stop(job_id)
    assert stage.finish(job_id, worker) is S.STOPPED


def test_a_call_that_the_cluster_gives_up_costs_an_attempt(stage_of: StageOf, tmp_path: Path, cluster: str) -> None:
    """Its end is never reported, although its process lives on and had been given it."""
    stage = stage_of(Ordered)
    job_id, executor, worker = under_way(stage, tmp_path, cluster)

    (call,) = executor._running.values()  # pyright: ignore[reportPrivateUsage]
    call.future.cancel(force=True)

    turn_until(lambda: "StepFailed" in stage.happened(job_id), worker)
    assert "the cluster ended the call" in stage.job(job_id).steps[0].errors[0][1].message
    stage.stop(job_id)
    assert stage.finish(job_id, worker) is S.STOPPED


def stop_before_call() -> tuple[bool, Signal | None]:
    """On a worker of the cluster: whether a call is taken that comes after its stop, and what it hears then."""
    line, call = _Line("topic", 1), Call(CallKind.PLAN, uuid4(), "Default", "ordered", "{}", 1, None)
    line.put(Downward(1, signal=Signal.STOP))
    line.put(Downward(1, asked=call))
    return line.asked() == call, line.recv().signal


def test_a_stop_that_is_there_sooner_than_its_call_is_kept_for_it(cluster: str) -> None:
    with client_of(cluster) as client:
        assert client.submit(stop_before_call).result(timeout=20) == (True, Signal.STOP)


def calls_on_it() -> int:
    """On a worker of the cluster: how many calls it is at."""
    return len(_lines)


def test_a_step_that_sleeps_hears_that_nobody_wants_it_any_more(
    stage_of: StageOf, tmp_path: Path, cluster: str
) -> None:
    """As when the worker that coordinates it was killed: its client is gone, and no signal comes."""
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "wait", "folder": str(tmp_path)})
    executor = DaskExecutor(cluster, stage.types.modules, stage.url)
    worker = stage.worker_on(executor, None, 16)
    turn_until(lambda: checkpoint(stage, job_id) == "begun", worker)

    with client_of(cluster) as client:
        assert sum(client.run(calls_on_it).values()) == 1
        executor._closed.set()  # pyright: ignore[reportPrivateUsage]  # it makes no other client
        executor._client.close()  # pyright: ignore[reportPrivateUsage]
        turn_until(lambda: not sum(client.run(calls_on_it).values()))


def test_a_worker_of_the_cluster_that_joins_without_milepost_gets_no_steps(
    stage_of: StageOf, tmp_path: Path, cluster: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage = stage_of(Ordered)
    (tmp_path / "milepost").mkdir()
    (tmp_path / "milepost" / "__init__.py").touch()
    worker = worker_on(stage, cluster)
    dask, env = Path(sys.executable).with_name("dask"), {**os.environ, "PYTHONPATH": str(tmp_path)}
    arguments = ("worker", cluster, "--nthreads", "8", "--no-nanny", "--no-dashboard")
    joined = subprocess.Popen([dask, *arguments], env=env, stderr=subprocess.DEVNULL)
    try:
        turn_until(lambda: "gets no steps" in caplog.text, worker)
        job_id = stage.start("ordered", {"do": "count", "folder": str(tmp_path), "steps": 9})

        assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    finally:
        joined.kill()
        joined.wait()
    assert stage.happened(job_id).count("StepStarted") == 9


def ignores_interrupts() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_cluster_of_its_own_is_reached_from_its_machine_only_and_survives_a_ctrl_c(stage_of: StageOf) -> None:
    executor = DaskExecutor(None, (), stage_of().url, 1)
    client, here = executor._client, psutil.Process()  # pyright: ignore[reportPrivateUsage]
    listening = [
        each.laddr.ip
        for process in (here, *here.children(recursive=True))
        for each in process.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}
    assert list(client.run(ignores_interrupts).values()) == [True]

    first: dict[str, int] = client.run(os.getpid)
    for process_id in first.values():
        os.kill(process_id, signal.SIGKILL)
    turn_until(lambda: client.ncores().keys().isdisjoint(first) and client.ncores())
    assert list(client.run(ignores_interrupts).values()) == [True]  # the one that was started in its place
    executor.close()


def test_a_step_that_does_not_react_ends_with_the_cluster_that_its_worker_had_for_itself(
    stage_of: StageOf, tmp_path: Path
) -> None:
    stage = stage_of(Ordered)
    stage.start("ordered", {"do": "ignore_once", "folder": str(tmp_path)})
    executor, told = DaskExecutor(None, stage.types.modules, stage.url, 1), tmp_path / "0.1"
    turn_until(lambda: told.exists() and told.read_text() != "", stage.worker_on(executor, None, 16))

    executor.close()

    assert not psutil.pid_exists(int(told.read_text()))


def test_no_more_slots_of_a_cluster_are_taken_than_was_said(stage_of: StageOf, cluster: str) -> None:
    stage = stage_of()
    some, all_of_them = (DaskExecutor(cluster, (), stage.url, most) for most in (1, None))
    assert (some.slots, all_of_them.slots) == (1, 2)
    for executor in (some, all_of_them):
        executor.close()


def test_tries_to_reach_a_scheduler_leave_nothing_behind(stage_of: StageOf) -> None:
    """A cluster that is away for an hour is tried hundreds of times."""
    url = stage_of().url
    with pytest.raises(ClusterUnusable):
        DaskExecutor("tls://127.0.0.1:1", (), url)
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(ClusterUnusable, match="ssl_context"):
            DaskExecutor("tls://127.0.0.1:1", (), url)
    assert threading.active_count() <= before


def _port_for_good() -> int:
    """A free one that the system gives to nobody by itself: whoever looks for the cluster while it is down would else
    be given the very port that they look at, and be their own answer."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(20_000, 30_000))) as free:
            port: int = free.getsockname()[1]
            return port


class RealCluster:
    """A scheduler and a worker as processes of their own, as an operator starts them."""

    def __init__(self) -> None:
        self.address = f"tcp://127.0.0.1:{_port_for_good()}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        port = self.address.rpartition(":")[2]
        self._run("scheduler", "--host", "127.0.0.1", "--port", port, "--dashboard-address", ":0")
        self._run("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        with Client(self.address, set_as_default=False, timeout=60) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(1, timeout=60)

    def _run(self, *arguments: str) -> None:
        dask, here = Path(sys.executable).with_name("dask"), {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        quiet = subprocess.DEVNULL
        self._processes.append(subprocess.Popen([dask, *arguments], env=here, stdout=quiet, stderr=quiet))

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()


@pytest.fixture
def real_cluster() -> Generator[RealCluster]:
    made = RealCluster()
    made.start()
    yield made
    made.kill()


def test_a_cluster_that_dies_costs_an_attempt_and_its_jobs_go_on_when_it_is_back(
    stage_of: StageOf, tmp_path: Path, real_cluster: RealCluster
) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "wait", "folder": str(tmp_path)})
    executor = DaskExecutor(real_cluster.address, stage.types.modules, stage.url)
    worker = stage.worker_on(executor, None, 16)
    turn_until(lambda: checkpoint(stage, job_id) == "begun", worker)
    real_cluster.kill()
    turn_until(lambda: "StepFailed" in stage.happened(job_id), worker)
    turn_until(lambda: executor.slots == 0, worker)
    stage.clock.pass_time(3)
    worker.turn()
    assert [row["slots"] for row in JobQueries(stage.database).workers(stage.clock.now())] == [0]  # all can see it
    assert re.search("is lost|is gone", stage.job(job_id).steps[0].errors[0][1].message)
    real_cluster.start()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_a_module_that_the_cluster_cannot_import_is_said_before_a_job_is_taken(stage_of: StageOf, cluster: str) -> None:
    with pytest.raises(ClusterUnusable, match=r"worker tcp.*cannot load the job types of no_such_module.*install"):
        DaskExecutor(cluster, ("no_such_module",), stage_of().url)


def test_an_address_at_which_nobody_answers_is_said(stage_of: StageOf) -> None:
    with pytest.raises(ClusterUnusable, match="nobody answers there"):
        DaskExecutor("tcp://127.0.0.1:1", (), stage_of().url)


def test_another_milepost_and_an_event_store_that_is_not_there_are_unfit(tmp_path: Path) -> None:
    here = version("milepost")
    assert "install the same" in str(unfit("0.0.1", (), "postgresql://host/db"))
    assert "PostgreSQL" in str(unfit(here, (), f"sqlite:///{tmp_path / 'elsewhere.sqlite'}"))
    assert unfit(here, (), "postgresql://host/db") is None
