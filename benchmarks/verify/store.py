"""Fills an event store with the histories of completed jobs, by the appends of the product."""

from typing import Final

import sqlalchemy as sa

from milepost.domain.commands import (
    ClaimJob,
    CompleteJob,
    PlanSteps,
    PrepareJob,
    ReportProgress,
    ReportSuccess,
    StartJob,
    StartStep,
)
from milepost.domain.envelope import Origin
from milepost.domain.events import PlannedStep, Progress
from milepost.domain.job import Job
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.event_store.streams import Streams

OPERATOR: Final = Origin("ada@engine", "cli", "nightly")
WORKER: Final = Origin("engine:4711", "worker")
AT_ONCE: Final = 250  # steps in one commit
SMALL, LARGE = 10, 10_000  # steps
SMALL_AT_ONCE: Final = 50  # jobs in one transaction


def furnish(url: str, events: int) -> int:
    """How many events there are then: at least so many, half of them in small jobs."""
    database = open_database(url)
    surroundings = RealSurroundings()
    JobStore(database, surroundings)  # makes the tables
    streams = Streams(database)
    made = 0
    while made < events:
        small = made >= events // 2
        with database.write() as connection:
            for _ in range(SMALL_AT_ONCE if small else 1):
                made += _job(streams, connection, surroundings, SMALL if small else LARGE)
    database.close()
    return made


def _job(streams: Streams, connection: sa.Connection, surroundings: RealSurroundings, steps: int) -> int:
    batch = Batch(Job(surroundings.new_id()), OPERATOR, surroundings)
    batch.do(StartJob("Default", "import", {"months": [1, 2, 3]}, details="flights"))
    streams.write(connection, batch)
    batch = Batch(batch.after, WORKER, surroundings)
    batch.do(ClaimJob(WORKER.actor))
    batch.do(PlanSteps(1, 0, tuple(PlannedStep(name=f"day-{n}", arguments={"day": n}) for n in range(steps))))
    batch.do(PrepareJob(1))
    for step in range(steps):
        if step % AT_ONCE == AT_ONCE - 1:
            streams.write(connection, batch)
            batch = Batch(batch.after, WORKER, surroundings)
        batch.do(StartStep(1, step))
        batch.do(ReportProgress(1, step, 1, Progress(done=50, total=100, unit="flights", checkpoint={"row": 50})))
        batch.do(ReportSuccess(1, step, 1, 0.25, Progress(done=100, total=100, unit="flights")))
    batch.do(CompleteJob(1))
    streams.write(connection, batch)
    return batch.after.version
