"""What reading and commanding say alike where there is no such job."""

from dataclasses import dataclass
from uuid import UUID


class JobNotFound(Exception):
    """No job of that id, or with an id that begins so, in that namespace."""

    def __init__(self, job_id: UUID | str, namespace: str) -> None:
        self.job_id, self.namespace = job_id, namespace
        super().__init__(f"Job '{job_id}' not found in namespace {namespace}")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a pruned job. `head`: of the chain of its events; None where they were not chained.

    `archive`: the name of the file that its history was written to before.
    """

    job_id: str
    namespace: str
    job_type: str
    status: str
    versions: int
    head: str | None
    pruned_at: str
    actor: str
    reason: str
    archive: str | None = None


class JobPruned(JobNotFound):
    """There was such a job; its history was pruned."""

    def __init__(self, tombstone: Tombstone) -> None:
        super().__init__(tombstone.job_id, tombstone.namespace)
        self.tombstone = tombstone
        why = f": {tombstone.reason}" if tombstone.reason else ""
        kept = f"; its history is in the archive {tombstone.archive}" if tombstone.archive else ""
        self.told = (
            f"Job '{tombstone.job_id}' ({tombstone.job_type}, {tombstone.status}, {tombstone.versions:,} events)"
            f" was pruned at {tombstone.pruned_at} by {tombstone.actor}{why}{kept}"
        )

    def __str__(self) -> str:
        return self.told
