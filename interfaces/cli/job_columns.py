"""The columns that lists of jobs, steps, events and results have."""

import json
from collections.abc import Mapping
from typing import Final

from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.text import STATUS_STYLE, local_short
from milepost.interfaces.job_documents import ErrorDocument, JobDocument, StepDocument
from milepost.interfaces.quantities import of_total


def job_columns(short: Mapping[str, str]) -> tuple[Column[JobDocument], ...]:
    """Id, Type, Status, Progress, Created; `short`: the ids as a narrow terminal shows them."""
    return (
        Column("Id", lambda job: job.id, lambda job: short.get(job.id, job.id)),
        Column("Type", lambda job: job.type, gives_way=True),
        Column("Status", lambda job: job.status, style=lambda job: STATUS_STYLE[job.status]),
        Column("Progress", progress, steps_told, right=True),
        Column("Created", lambda job: job.created, lambda job: local_short(job.created)),
    )


def progress(job: JobDocument) -> str:
    """Steps that succeeded, of all; where there are none, what the job says of itself."""
    told = job.progress
    return steps_told(job) if told.total_steps or job.waiting or not told.message else told.message


def steps_told(job: JobDocument) -> str:
    """Steps that succeeded, of all; and how many failed, where any did."""
    told = job.progress
    if not told.total_steps:
        return "-"
    failed = f" ({told.failed_steps} failed)" if told.failed_steps else ""
    return f"{told.successful_steps}/{told.total_steps}{failed}"


def step_text(step: StepDocument) -> str:
    """How far the step came: nothing where it never reported."""
    told = step.progress
    if not told.done and told.total is None:
        return ""
    share = f" ({told.percentage:.0f} %)" if told.percentage is not None else ""
    return of_total(told.done, told.total, told.unit) + share


def error_text(error: ErrorDocument) -> str:
    return f"{error.type.rpartition('.')[2]}: {error.message}"


def step_message(step: StepDocument) -> str:
    """What the step says; what went wrong last, unless it has come to a good end since."""
    good = step.status == "Succeeded" or not step.errors
    return step.progress.message if good else error_text(step.errors[-1])


STEP_COLUMNS: Final[tuple[Column[StepDocument], ...]] = (
    Column("#", lambda step: step.index, right=True),
    Column("Name", lambda step: step.name, gives_way=True),
    Column("Status", lambda step: step.status, style=lambda step: STATUS_STYLE[step.status]),
    Column("Progress", step_text, right=True),
    Column("Attempts", lambda step: step.attempts, right=True),
    Column(
        "Message",
        lambda step: (
            step.progress.message if step.status == "Succeeded" or not step.errors else error_text(step.errors[-1])
        ),
        gives_way=True,
    ),
)

JOB_FACTS: Final[tuple[Column[JobDocument], ...]] = (
    Column("Id", lambda job: job.id),
    Column("Type", lambda job: job.type),
    Column("Details", lambda job: job.details),
    Column("Status", lambda job: job.status),
    Column("Version", lambda job: job.version),
    Column("Created", lambda job: job.created),
    Column("Ended", lambda job: job.ended),
    Column("Progress", progress),
    Column("Successful", lambda job: job.progress.successful_steps),
    Column("Failed", lambda job: job.progress.failed_steps),
    Column("Stopped", lambda job: job.progress.stopped_steps),
    Column("Total", lambda job: job.progress.total_steps),
    Column("Items", lambda job: job.progress.items_done),
    Column("Rate", lambda job: job.progress.items_per_second),
    Column("Eta", lambda job: job.progress.eta_seconds),
    Column("Message", lambda job: job.progress.message),
    Column("Waiting", lambda job: job.waiting),
    Column("Error", lambda job: f"{job.error.type}: {job.error.message}" if job.error else None),
    Column("Worker", lambda job: job.worker),
    Column("Tags", lambda job: ",".join(job.tags)),
    Column("Key", lambda job: job.key),
    Column("Queue", lambda job: job.queue),
    Column("Priority", lambda job: job.priority),
    Column("Request", lambda job: json.dumps(job.request, ensure_ascii=False)),
)
