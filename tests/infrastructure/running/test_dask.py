"""Steps on a Dask cluster: the same rules, and a worker of the cluster that dies takes one attempt with it."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

import pytest
from distributed import Client

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.running.dask_executor import ClusterUnusable, DaskExecutor, local_cluster
from milepost.infrastructure.running.dask_side import unfit
from milepost.infrastructure.running.worker import Worker
from tests.infrastructure.running.conftest import url_of
from tests.infrastructure.running.importable import Ordered
from tests.infrastructure.running.stage import Stage, turn_until

StageOf = Callable[..., Stage]
S = JobStatus


@pytest.fixture(params=["file", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One that other processes can open."""
    return url_of(request, tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Generator[str]:
    with local_cluster(2) as local:
        yield local.scheduler_address


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
    job_id = stage.start("ordered", {"do": "report_and_wait", "folder": str(tmp_path)})
    worker = worker_on(stage, cluster)
    turn_until(lambda: checkpoint(stage, job_id) == "item 2", worker)
    stage.stop(job_id)
    assert stage.finish(job_id, worker) is S.STOPPED


def test_a_connection_that_breaks_costs_an_attempt_and_the_next_one_is_heard_and_stopped(
    stage_of: StageOf, tmp_path: Path, cluster: str
) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "report_and_wait", "folder": str(tmp_path)})
    executor = DaskExecutor(cluster, stage.types.modules, stage.url)
    worker = stage.worker_on(executor, None, 16)
    turn_until(lambda: checkpoint(stage, job_id) == "item 2", worker)

    executor._client.scheduler_comm.comm.abort()  # pyright: ignore[reportPrivateUsage]  # the client makes another at once

    turn_until(lambda: stage.happened(job_id).count("StepStarted") == 2, worker)
    stage.clock.pass_time(1)
    turn_until((tmp_path / "0.2").exists, worker)
    stage.stop(job_id)
    assert stage.finish(job_id, worker) is S.STOPPED


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


class RealCluster:
    """A scheduler and a worker as processes of their own, as an operator starts them."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
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
