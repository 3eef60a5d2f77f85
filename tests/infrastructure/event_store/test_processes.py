"""Real processes on one file or server: no job is claimed twice, and kill -9 takes back nothing acknowledged."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from milepost.domain.job import replay
from milepost.domain.state_machine import StepStatus
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.event_store.rows import folded, kept
from tests.infrastructure.event_store.scene import Scene, Surroundings
from tests.stores import url_of


@pytest.fixture(params=["file", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)


PRELUDE = """
import sys
from milepost.domain.commands import *
from milepost.domain.envelope import Origin
from milepost.domain.events import PlannedStep, Progress
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.store import Batch, ClaimOffer, JobStore, Wanted

surroundings = RealSurroundings()
store = JobStore(open_database(sys.argv[1]), surroundings)
me, origin = sys.argv[2], Origin(sys.argv[2], "worker")
print("ready", flush=True)
sys.stdin.readline()
"""

CLAIM_ALL = """
while job := store.claim(Wanted(me, {"import": ClaimOffer()}), 60, origin):
    print(job.id, job.claim, flush=True)
"""

RUN_STEPS = """
job = store.claim(Wanted(me, {"import": ClaimOffer()}), 60, origin)
batch = Batch(job, origin, surroundings)
batch.do(PlanSteps(job.claim, 0, tuple(PlannedStep(name=f"s{n}") for n in range(20_000))))
batch.do(PrepareJob(job.claim))
job = store.append(batch)
for first in range(0, 20_000, 7):
    batch = Batch(job, origin, surroundings)
    for step in range(first, first + 7):
        batch.do(StartStep(job.claim, step))
        batch.do(ReportSuccess(job.claim, step, 1, 0.0, Progress(done=1, checkpoint=step)))
    job = store.append(batch)
    print(job.version, flush=True)
"""


@contextmanager
def process(program: str, url: str, name: str) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PRELUDE + program, url, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            assert running.stdout.readline() == "ready\n"
            yield running
        finally:
            running.kill()


def go(running: subprocess.Popen[str]) -> None:
    assert running.stdin
    running.stdin.write("go\n")
    running.stdin.flush()


def test_of_many_jobs_each_is_claimed_once_by_one_of_several_processes(url: str, database: Database) -> None:
    scene = Scene(JobStore(database, Surroundings()), Surroundings())
    started = {str(scene.start().id) for _ in range(60)}

    with (
        process(CLAIM_ALL, url, "w1") as one,
        process(CLAIM_ALL, url, "w2") as two,
        process(CLAIM_ALL, url, "w3") as three,
    ):
        for running in (one, two, three):
            go(running)
        lines = [line for running in (one, two, three) for line in running.communicate()[0].splitlines()]

    claimed = Counter(line.split()[0] for line in lines)
    assert claimed == Counter(started)
    assert {line.split()[1] for line in lines} == {"1"}
    assert kept(scene.store) == folded(scene.store)[0]


def test_everything_acknowledged_is_there_after_a_kill_in_the_middle_of_appends(url: str, database: Database) -> None:
    scene = Scene(JobStore(database, Surroundings()), Surroundings())
    job_id = scene.start().id

    with process(RUN_STEPS, url, "w1") as running:
        go(running)
        assert running.stdout
        acknowledged = [int(running.stdout.readline()) for _ in range(50)]
        running.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in running.communicate()[0].splitlines()]

    store = JobStore(database, RealSurroundings())
    job = replay(job_id, store.history(job_id))
    assert job.version >= acknowledged[-1]
    assert (job.version - acknowledged[0]) % 14 == 0, "a batch is there whole or not at all"
    assert job.count(StepStatus.RUNNING) == 0
    assert job.items == job.count(StepStatus.SUCCEEDED)
    assert kept(store) == folded(store)[0]
