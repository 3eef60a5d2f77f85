"""At most one live job per key: a rule over several jobs, so it is kept where all of them are seen."""

from uuid import UUID

import sqlalchemy as sa

from milepost.domain.errors import JobError
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.schema import jobs


class KeyTaken(JobError):
    """A job cannot go on while another one that has the same key is live."""

    def __init__(self, job_id: UUID, key: str, holder: UUID) -> None:
        self.job_id, self.key, self.holder = job_id, key, holder
        super().__init__(f"Cannot resume job {job_id}: job {holder}, which has the same key '{key}', is live.")


def live_with_key(connection: sa.Connection, namespace: str, job_type: str, key: str | None) -> UUID | None:
    """The newest live job with this key; one that is given up is none, though it may take long to end."""
    if key is None:
        return None
    found: str | None = connection.scalar(
        sa.select(jobs.c.id)
        .where(jobs.c.namespace == namespace, jobs.c.type == job_type, jobs.c.key == key)
        .where(jobs.c.live, jobs.c.status != JobStatus.CANCELLING.value)
        .order_by(jobs.c.id.desc())
        .limit(1)
    )
    return UUID(found) if found else None


def refuse_if_taken(connection: sa.Connection, resumed: Job) -> None:
    """Raises KeyTaken where another live job has the key of one that is to be resumed."""
    facts = resumed.facts
    holder = live_with_key(connection, facts.namespace, facts.job_type, facts.key)
    if facts.key is not None and holder is not None and holder != resumed.id:
        raise KeyTaken(resumed.id, facts.key, holder)
