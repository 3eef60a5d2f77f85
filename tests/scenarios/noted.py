"""Job types whose steps say outside of Milepost what they do; a test copies this file to where its workers find it."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel

from milepost import JobType, Policy, Step, StepContext, job_type

HOLD = "hold"  # a file beside the diary: as long as it is there, only a job's first step comes to its end


class NotedRequest(BaseModel):
    """How much to do. `diary`: the file to write in."""

    steps: int
    items: int
    seconds: float = 0.0
    diary: str


class Planned(JobType[NotedRequest]):
    """What the types below have in common. They are killed for sport: that they are deadly must not be concluded."""

    policy = Policy(max_crashes=1000)

    def plan(self, request: NotedRequest) -> Iterable[Step]:
        for number in range(request.steps):
            yield Step(f"step-{number}")


@job_type("noted")
class Noted(Planned):
    """Each item is noted in the diary, then reported with a checkpoint."""

    def perform(self, step: StepContext[NotedRequest]) -> None:
        request = step.request
        note(step, "begin")
        for item in range((step.checkpoint or 0) + 1, request.items + 1):
            wait_before(step, item)
            note(step, item)
            step.progress(done=item, total=request.items, unit="items", checkpoint=item)
        note(step, "end")


@job_type("ledger")
class Ledger(Planned):
    """Each item is a row in the event store's own database, committed together with its checkpoint."""

    def perform(self, step: StepContext[NotedRequest]) -> None:
        request = step.request
        note(step, "begin")
        for item in range((step.checkpoint or 0) + 1, request.items + 1):
            wait_before(step, item)
            with step.transaction() as transaction:
                transaction.connection.exec_driver_sql(
                    "CREATE TABLE IF NOT EXISTS ledger"
                    " (number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT, step INTEGER, item INTEGER, pid INTEGER)"
                )
                transaction.connection.exec_driver_sql(
                    "INSERT INTO ledger (job, step, item, pid) VALUES (?, ?, ?, ?)",
                    (str(step.job_id), step.index, item, os.getpid()),
                )
                transaction.checkpoint(item, done=item, total=request.items, unit="items")
        note(step, "end")


@job_type("deaf")
class Deaf(Planned):
    """Notes that it began and does not look up again."""

    def perform(self, step: StepContext[NotedRequest]) -> None:
        note(step, "begin")
        time.sleep(step.request.seconds)


def wait_before(step: StepContext[NotedRequest], item: int) -> None:
    """As long as an item takes; before the last one of all steps but the first as long as the test holds the job."""
    step.sleep(step.request.seconds)
    if step.index > 0 and item == step.request.items:
        while Path(step.request.diary).with_name(HOLD).exists():
            step.sleep(0.01)


def note(step: StepContext[NotedRequest], what: object) -> None:
    """One line, whole or not at all, whoever else writes there."""
    line = f"{step.job_id} {step.index} {step.attempt} {os.getpid()} {what}\n"
    diary = os.open(Path(step.request.diary), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(diary, line.encode())
    finally:
        os.close(diary)
