"""One step of a job: where it stands, what it reached, and what went wrong in its attempts."""

from datetime import datetime
from typing import Final

from milepost.domain import events as e
from milepost.domain.state_machine import StepStatus

ERRORS_KEPT: Final = 10  # of one step, the newest; older ones stay in the history


class Step:
    """One step: where it stands, what it reached, and what went wrong in its attempts."""

    __slots__ = (
        "arguments", "attempt", "crashes", "ended_at", "errors", "index", "name",
        "progress", "retry_at", "seconds", "started_at", "status", "tries",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        name: str,
        arguments: dict[str, e.Json],
        status: StepStatus = StepStatus.PENDING,
        attempt: int = 0,
        tries: int = 0,
        progress: e.Progress | None = None,
        errors: tuple[tuple[int, e.ErrorDetail], ...] = (),
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        seconds: float = 0.0,
        retry_at: datetime | None = None,
        crashes: int = 0,
    ) -> None:
        self.index = index
        self.name = name
        self.arguments = arguments
        self.status = status
        self.attempt = attempt  # number of the newest attempt; never starts again
        self.tries = tries  # failed attempts since the job was last resumed
        self.progress = progress
        self.errors = errors
        self.started_at = started_at
        self.ended_at = ended_at
        self.seconds = seconds
        self.retry_at = retry_at
        self.crashes = crashes  # lost leases under it since its last new checkpoint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # equal by value, and never a key

    @property
    def done(self) -> float:
        """Items done, in the step's own unit."""
        return self.progress.done if self.progress else 0.0

    def is_passed_by(self, progress: e.Progress | None) -> bool:
        """Whether that is further than this for good: only a checkpoint outlives the attempt that reached it."""
        if progress is None or progress.checkpoint is None:
            return False
        return self.progress is None or self.progress.checkpoint != progress.checkpoint

    def at(
        self,
        status: StepStatus,
        *,
        attempt: int | None = None,
        tries: int | None = None,
        progress: e.Progress | None = None,
        errors: tuple[tuple[int, e.ErrorDetail], ...] | None = None,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        seconds: float | None = None,
        retry_at: datetime | None = None,
        crashes: int | None = None,
    ) -> "Step":
        """The step in another status; what is not named stays, `ended_at` and `retry_at` do not."""
        return Step(
            self.index,
            self.name,
            self.arguments,
            status,
            self.attempt if attempt is None else attempt,
            self.tries if tries is None else tries,
            progress or self.progress,
            self.errors if errors is None else errors,
            started_at or self.started_at,
            ended_at,
            self.seconds if seconds is None else seconds,
            retry_at,
            self.crashes if crashes is None else crashes,
        )
