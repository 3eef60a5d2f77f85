"""Durable no-op steps per second with Milepost: one job, a worker in this process, everything as shipped.

usage: python -m benchmarks.noop_steps DATABASE_URL STEPS
Prints one JSON line: {"peer","db","mode","steps","seconds","steps_per_s"}.
"""

import gc
import json
import sys
import time
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.envelope import Origin
from milepost.domain.state_machine import AT_REST, JobStatus
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.schema import jobs
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.running.executors import thread_executor
from milepost.infrastructure.running.perform import Environment
from milepost.infrastructure.running.worker import Worker
from milepost.interfaces.bootstrap import GARBAGE_THRESHOLD

SLOTS = 4


def run(url: str, steps: int) -> float:
    """Seconds from the start of the job to its completion."""
    database, surroundings, job_types = open_database(url), RealSurroundings(), JobTypes.load()
    store = JobStore(database, surroundings)
    executor = thread_executor(SLOTS, Environment(job_types, database))
    gc.set_threshold(GARBAGE_THRESHOLD)  # as in the worker that ships
    worker = Worker(store=store, job_types=job_types, executor=executor, surroundings=surroundings)
    command = job_types.start_command("self-test", {"steps": steps, "items": 0}, namespace="Default")
    began = time.perf_counter()
    job, _ = store.start(command, Origin(actor="benchmark", source="benchmark"))
    worker.run(until=lambda: _at_rest(database, job.id))
    seconds = time.perf_counter() - began
    done = store.load(job.id)
    assert (done.status, done.total) == (JobStatus.COMPLETED_SUCCESSFULLY, steps)
    executor.close()
    database.close()
    return seconds


def _at_rest(database: Database, job_id: UUID) -> bool:
    with database.read() as connection:
        return connection.scalar(sa.select(jobs.c.status).where(jobs.c.id == str(job_id))) in AT_REST


if __name__ == "__main__":
    url, steps = sys.argv[1], int(sys.argv[2])
    seconds = run(url, steps)
    figures = {"peer": "milepost", "db": url.split(":")[0], "mode": "one job", "steps": steps}
    print(json.dumps({**figures, "seconds": round(seconds, 3), "steps_per_s": round(steps / seconds)}))
