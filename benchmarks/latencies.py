"""How soon an idle worker in another process hears: from a start to the first step, from a stop to the step that runs.

usage: python -m benchmarks.latencies DATABASE_URL JOBS [OPTION OF milepost worker ...]
Prints one JSON line: {"db","jobs","start_to_step_ms": {"p50","p99"},"stop_to_heard_ms": {"p50","p99"}}.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from milepost import JobType, NoRequest, Step, StepContext, StopRequested, job_type
from milepost.domain.commands import StopJob
from milepost.domain.envelope import Origin
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.job_types.registry import JobTypes

NOTES = "MILEPOST_BENCHMARK_NOTES"  # the file in which a step notes when it heard what
ACTOR = Origin(actor="benchmark", source="benchmark")
PATIENCE_SECONDS = 30.0


@job_type("latency")
class Latency(JobType[NoRequest]):
    """Notes when it begins, and when it is stopped."""

    def plan(self, request: NoRequest) -> Iterable[Step]:
        yield Step("only")

    def perform(self, step: StepContext[NoRequest]) -> None:
        note()
        try:
            step.sleep(PATIENCE_SECONDS)
        except StopRequested:
            note()
            raise


def note() -> None:
    now = time.time_ns()
    with Path(os.environ[NOTES]).open("a") as file:
        file.write(f"{now}\n")


def noted(path: Path, how_many: int) -> list[int]:
    """The first so many notes, as soon as they are there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        lines = path.read_text().splitlines()
        if len(lines) >= how_many:
            return [int(line) for line in lines[:how_many]]
        time.sleep(0.002)
    raise TimeoutError(f"only {len(lines)} of {how_many} notes")


def measure(url: str, how_many: int, options: Sequence[str] = ()) -> dict[str, object]:
    starts: list[float] = []
    stops: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        notes.touch()
        (Path(folder) / "milepost.toml").write_text('job_types = ["benchmarks.latencies"]\n')
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), NOTES: str(notes), "MILEPOST_URL": url}
        database = open_database(url)
        store, types = JobStore(database, RealSurroundings()), JobTypes((Latency,))
        command = [str(Path(sys.executable).with_name("milepost")), "worker", *options]
        worker = subprocess.Popen(command, cwd=folder, env=here, stderr=subprocess.DEVNULL)
        try:
            for number in range(how_many + 1):
                time.sleep(0.02)  # until it is idle
                began = time.time_ns()
                job, _ = store.start(types.start_command("latency", {}, namespace="Default"), ACTOR)
                *_, running = noted(notes, 2 * number + 1)
                starts.append((running - began) / 1e6)
                time.sleep(0.02)
                began = time.time_ns()
                store.execute("Default", job.id, lambda now: StopJob(now.worker_alive, now.reached), ACTOR)
                *_, heard = noted(notes, 2 * number + 2)
                stops.append((heard - began) / 1e6)
        finally:
            worker.terminate()
            worker.wait()
        database.close()
    return {
        "db": url.partition(":")[0],
        "jobs": how_many,
        "start_to_step_ms": percentiles(starts[1:]),  # the first had to wait until the worker was there
        "stop_to_heard_ms": percentiles(stops[1:]),
    }


def percentiles(found: list[float]) -> dict[str, float]:
    ordered = sorted(found)
    return {f"p{share}": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 1) for share in (50, 99)}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
