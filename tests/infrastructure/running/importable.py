"""Job types that a process started anew can import."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from pydantic import BaseModel

from milepost.domain.events import Policy
from milepost.infrastructure.job_types.job_type import JobType, Step, job_type
from milepost.infrastructure.running.step_context import StepContext

AN_HOUR: Final = 3_600.0  # longer than any test waits: only a stop ends it


class Order(BaseModel):
    """What the step shall do, and where it may leave files that tell of it."""

    do: str
    folder: Path
    steps: int = 1


@job_type("ordered")
class Ordered(JobType[Order]):
    """Each step does what the request says."""

    policy = Policy(attempts=2, backoff_seconds=0, timeout_seconds=60)

    def plan(self, request: Order) -> Iterable[Step]:
        for number in range(request.steps):
            yield Step(f"{number}")

    def perform(self, step: StepContext[Order]) -> None:
        begun = step.request.folder / f"{step.name}.{step.attempt}"
        fresh = begun.with_name(f"{os.getpid()}.fresh")
        fresh.write_text(str(os.getpid()))
        fresh.rename(begun)  # whoever sees it finds the number in it
        getattr(self, step.request.do)(step)

    def count(self, step: StepContext[Order]) -> None:
        for item in range(5):
            step.progress(done=item + 1, checkpoint=item + 1, durable=item == 2)

    def wait(self, step: StepContext[Order]) -> None:
        if step.checkpoint is None:
            step.progress(checkpoint="begun")
            step.sleep(AN_HOUR)

    def report_and_wait(self, step: StepContext[Order]) -> None:
        for item in range(3):
            step.progress(checkpoint=f"item {item}")
        step.sleep(AN_HOUR)

    def fail(self, step: StepContext[Order]) -> None:
        raise ValueError("as ordered")

    def die_once(self, step: StepContext[Order]) -> None:
        if step.attempt == 1:
            step.progress(checkpoint="safe", durable=True)
            os.kill(os.getpid(), signal.SIGKILL)

    def ignore_once(self, step: StepContext[Order]) -> None:
        if step.attempt == 1:
            time.sleep(60)

    def transact(self, step: StepContext[Order]) -> None:
        with step.transaction() as transaction:
            transaction.connection.execute(sa.text("CREATE TABLE written (item INTEGER)"))
            transaction.checkpoint("written")
