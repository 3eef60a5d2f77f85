"""What user code is given while it runs: its request, how to report, and when to stop."""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

from milepost.domain.events import Json, Progress
from milepost.domain.texts import refuse_nul
from milepost.infrastructure.running.json_values import as_json

if TYPE_CHECKING:
    import sqlalchemy as sa

    from milepost.infrastructure.event_store.database import Database
    from milepost.infrastructure.running.link import Link
    from milepost.infrastructure.running.step_transactions import StepTransactions

Request = TypeVar("Request", covariant=True)
LOOK_SECONDS: Final = 0.01  # how often a step that waits in a coroutine looks whether it should stop


class StopRequested(BaseException):
    """The step should come to rest now. Let it through: what was reported is kept, and a resume goes on there.

    A BaseException, so that an `except Exception` in the step's code does not swallow a stop.
    """

    asked = False  # whether somebody wanted it; a step that raises it by itself has failed


class NotOursAnyMore(StopRequested):
    """Another worker, or another attempt, has the step: whatever this one reports counts no more."""

    asked = True


class StepTimedOut(Exception):
    """The attempt took longer than the policy's `timeout_seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"the attempt was still running after its time-out of {seconds:g} s")


class CheckpointOutsideTransaction(Exception):
    """A step that has handed over a checkpoint in a transaction must go on so, or a crash could undo it."""

    def __init__(self) -> None:
        super().__init__("this step keeps its checkpoints in transactions: pass this one to transaction.checkpoint()")


class ReportInsideTransaction(Exception):
    """A durable report would wait for the write lock that the step's own open transaction holds."""

    def __init__(self) -> None:
        super().__init__("the step's transaction is open: report durably before or after it")


@dataclass(frozen=True, slots=True)
class HookContext(Generic[Request]):
    """The job whose hook is called."""

    job_id: UUID
    namespace: str
    request: Request
    link: "Link" = field(repr=False, compare=False)

    def sleep(self, seconds: float) -> None:
        """Wait, but not on when another worker has the job: then it raises StopRequested."""
        _sleep(self.link, seconds)


class StepTransaction:
    """A write transaction on the job's own database, in which the step's rows and its checkpoint commit as one."""

    def __init__(self, connection: "sa.Connection", context: "StepContext[Any]") -> None:
        self.connection = connection
        self._context = context
        self.progress: Progress | None = None

    def checkpoint(
        self,
        checkpoint: Json,
        *,
        done: float | None = None,
        total: float | None = None,
        unit: str | None = None,
        message: str | None = None,
    ) -> None:
        """Exactly once: the checkpoint is kept if and only if this transaction's rows are."""
        self.progress = self._context.updated(done, total, unit, message, checkpoint)


class StepContext(Generic[Request]):
    """One attempt at one step, as `perform` sees it."""

    def __init__(
        self,
        *,
        job_id: UUID,
        namespace: str,
        request: Request,
        index: int,
        name: str,
        arguments: dict[str, Json],
        attempt: int,
        reached: Progress | None,
        in_transactions: bool,
        link: "Link",
        transactions: "StepTransactions",
    ) -> None:
        self.job_id = job_id
        self.namespace = namespace
        self.request = request
        self.index = index
        self.name = name
        self.arguments = arguments
        self.attempt = attempt
        self.reached = reached or Progress()
        self.reported = False
        self.saw_stop = False  # it was told that it should stop
        self._checkpoints_in_transactions = in_transactions
        self._in_transaction = False
        self._link = link
        self._transactions = transactions

    @property
    def database(self) -> "Database":
        """The event store's database."""
        return self._transactions.database

    @property
    def checkpoint(self) -> Json:
        """The newest checkpoint that an earlier attempt or this one handed over; None at first."""
        return self.reached.checkpoint

    @property
    def stop_requested(self) -> bool:
        """Whether the step should come to rest; the next `progress` will raise StopRequested."""
        asked = self._link.asked_to_stop()
        if asked:
            self.saw_stop = True
        return asked

    def progress(
        self,
        done: float | None = None,
        total: float | None = None,
        *,
        unit: str | None = None,
        message: str | None = None,
        checkpoint: Json = None,
        durable: bool = False,
    ) -> None:
        """Report how far the step is; what is not given stays. Raises StopRequested when asked to stop.

        At least once: a crash may lose the last second of reports, and then the step goes on from an older
        checkpoint. With `durable` the call returns when the checkpoint is on disk. The checkpoint is copied.
        """
        if checkpoint is not None and (self._checkpoints_in_transactions or self._in_transaction):
            raise CheckpointOutsideTransaction
        if durable and self._in_transaction:
            raise ReportInsideTransaction
        self.reached = self.updated(done, total, unit, message, checkpoint)
        self.reported = True
        self._link.progressed(self.reached, durable=durable)
        self._link.raise_if_asked_to_stop()

    @contextmanager
    def transaction(self, *, read_committed: bool = False) -> Generator[StepTransaction]:
        """A transaction on the event store's database: write rows by its `connection`, call its `checkpoint`.

        `read_committed`: on PostgreSQL, whatever isolation level is the default of the role. Keep it short: others wait
        for it. Raises StopRequested before it begins, when asked to stop or where this
        attempt no longer holds the step.
        """
        self._link.raise_if_asked_to_stop()
        with self._transactions.begin(self, read_committed=read_committed) as transaction:
            self._in_transaction = True
            try:
                yield transaction
            finally:
                self._in_transaction = False
        if transaction.progress is not None:
            self.reached = transaction.progress
            self.reported = self._checkpoints_in_transactions = True
            self._link.progressed(self.reached, durable=False)

    def sleep(self, seconds: float) -> None:
        """Wait, but not past a stop: then it raises StopRequested."""
        _sleep(self._link, seconds)

    async def sleep_async(self, seconds: float) -> None:
        """`sleep` for an `async def perform`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._link.raise_if_asked_to_stop()
            await asyncio.sleep(min(left, LOOK_SECONDS))
        self._link.raise_if_asked_to_stop()

    def updated(
        self,
        done: float | None,
        total: float | None,
        unit: str | None,
        message: str | None,
        checkpoint: Json,
    ) -> Progress:
        """What was reached, with what is new."""
        was = self.reached
        refuse_nul("The unit of a step's progress", unit)
        return Progress(
            done=was.done if done is None else done,
            total=was.total if total is None else total,
            unit=was.unit if unit is None else unit,
            message=was.message if message is None else message,
            checkpoint=was.checkpoint if checkpoint is None else as_json(checkpoint, "The checkpoint"),
        )


def _sleep(link: "Link", seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        link.raise_if_asked_to_stop()
        link.wait(left)
    link.raise_if_asked_to_stop()
