"""Exactly once: a step's own rows and its checkpoint commit together, and only while the step is still its own."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from milepost.domain.events import Progress
from milepost.domain.state_machine import StepStatus
from milepost.infrastructure.event_store.checkpoints import committed_checkpoint, save_checkpoint
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import jobs, steps
from milepost.infrastructure.running.step_context import NotOursAnyMore, StepContext, StepTransaction


class StepTransactions:
    """Opens transactions for the steps of one claim on one job."""

    def __init__(self, database: Database, job_id: UUID, claim: int) -> None:
        self.database = database
        self._job_id = job_id
        self._claim = claim

    def committed(self, step: int) -> Progress | None:
        """What the step last committed in a transaction of its own, whether or not it lived to report it."""
        with self.database.read() as connection:
            return committed_checkpoint(connection, self._job_id, step)

    @contextmanager
    def begin(self, context: StepContext[Any], *, read_committed: bool = False) -> Generator[StepTransaction]:
        """Raises StopRequested where another worker, or another attempt, has the step now."""
        with self.database.user_transaction(read_committed=read_committed) as connection:
            self._make_sure(connection, context)
            transaction = StepTransaction(connection, context)
            yield transaction
            self._make_sure(connection, context, until_commit=True)
            if transaction.progress is not None:
                place = (self._job_id, context.index, context.attempt)
                save_checkpoint(connection, *place, transaction.progress, schema=self.database.schema)

    def _make_sure(self, connection: sa.Connection, context: StepContext[Any], *, until_commit: bool = False) -> None:
        """Raises NotOursAnyMore. `until_commit`: nobody can take the step over before that, for the row is locked.

        On PostgreSQL appends to the job wait for such a lock, so it is not held while the step's own code runs. And
        it is taken before the look: a look that had to wait would see the job as it is, and the step as it was.
        """
        options = {"schema_translate_map": {None: self.database.schema}}
        if until_commit:
            self.database.guard(connection)
            job = sa.select(jobs.c.id).where(jobs.c.id == str(self._job_id)).with_for_update(read=True)
            connection.execute(job, execution_options=options)
        ours = (
            sa.select(sa.literal(1))
            .select_from(jobs.join(steps, steps.c.job_id == jobs.c.id))
            .where(
                jobs.c.id == str(self._job_id),
                jobs.c.claim == self._claim,
                jobs.c.worker.is_not(None),
                steps.c.step == context.index,
                steps.c.attempt == context.attempt,
                steps.c.status == StepStatus.RUNNING.value,
            )
        )
        if connection.execute(ours, execution_options=options).first() is None:
            raise NotOursAnyMore
