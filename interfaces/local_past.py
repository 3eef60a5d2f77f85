"""The past's part of the local service: what it takes is imported when the past is asked for, not by `jobs list`."""

from functools import cached_property
from typing import TYPE_CHECKING

from milepost.interfaces.diff_documents import JobDiff, RunComparison
from milepost.interfaces.local_observers import LocalObservers
from milepost.interfaces.service import Moment

if TYPE_CHECKING:
    from milepost.interfaces.past_service import PastService


class LocalPast(LocalObservers):
    """See `Service`."""

    @cached_property
    def _past(self) -> "PastService":
        from milepost.interfaces.past_service import PastService

        return PastService(self._app, self.namespace)

    def diff(self, job_id: str, begin: Moment, end: Moment | None = None, *, steps: int = 100) -> JobDiff:
        return self._past.diff(job_id, begin, end, steps=steps)

    def compare(self, job_id: str, other: str, *, steps: int = 100, across_types: bool = False) -> RunComparison:
        return self._past.compare(job_id, other, steps=steps, across_types=across_types)
