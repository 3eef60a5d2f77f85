"""What reading and commanding say alike where there is no such job."""

from uuid import UUID


class JobNotFound(Exception):
    """No job of that id, or with an id that begins so, in that namespace."""

    def __init__(self, job_id: UUID | str, namespace: str) -> None:
        self.job_id, self.namespace = job_id, namespace
        super().__init__(f"Job '{job_id}' not found in namespace {namespace}")
