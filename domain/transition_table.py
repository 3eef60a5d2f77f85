"""The transition tables as Markdown and as a diagram, so that what the documentation shows is what the code does."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Final

from milepost.domain.state_machine import (
    STEP_TRANSITIONS,
    TRANSITIONS,
    JobStatus,
    StepStatus,
    Transition,
    possible,
)

MEANINGS: Final[Mapping[JobStatus, str]] = {
    JobStatus.PENDING: "accepted; no worker has it",
    JobStatus.PREPARING: "a worker plans its steps, or gets ready to go on",
    JobStatus.RUNNING: "its steps run",
    JobStatus.STOPPING: "a stop was asked for; running steps are reaching their checkpoints",
    JobStatus.STOPPED: "at rest, resumable",
    JobStatus.CANCELLING: "given up; running steps end, then the cleanup hook runs",
    JobStatus.CANCELLED: "given up for good",
    JobStatus.COMPLETED_SUCCESSFULLY: "all steps succeeded",
    JobStatus.COMPLETED_WITH_FAILURES: "all steps ended, at least one failed",
    JobStatus.FAILED: "the job itself could not go on",
    JobStatus.REMOVED: "gone from the lists; its history stays until it is pruned",
}

STEP_MEANINGS: Final[Mapping[StepStatus, str]] = {
    StepStatus.PENDING: "not started yet, or to be started again",
    StepStatus.RUNNING: "an attempt runs",
    StepStatus.WAITING: "between two attempts",
    StepStatus.SUCCEEDED: "done; it never runs again",
    StepStatus.FAILED: "its last attempt failed",
    StepStatus.STOPPED: "came to rest at its checkpoint because the job was stopped",
    StepStatus.CANCELLED: "will not run: its job was given up",
}


def status_table() -> str:
    """Each job status, what it means, and which of the operator's commands would change it."""
    rows = ((f"`{status}`", MEANINGS[status], ", ".join(possible(status)) or "–") for status in JobStatus)
    return _table(("status", "meaning", "possible commands"), rows)


def step_status_table() -> str:
    """Each step status and what it means."""
    return _table(("status", "meaning"), ((f"`{status}`", STEP_MEANINGS[status]) for status in StepStatus))


def job_table() -> str:
    """Each event, the job statuses in which it can happen, and where it leads."""
    rows = (
        (f"`{event.__name__}`", _names(row.source for row in same), target, when)
        for event, transitions in TRANSITIONS.items()
        for (target, when), same in groupby(transitions, key=_leads)
    )
    return _table(("event", "from", "to", "if"), rows)


def step_table() -> str:
    """Each event that moves steps, the step statuses in which it can happen, and where it leads."""
    rows = (
        (f"`{event.__name__}`", _names(row.sources), f"`{row.target}`")
        for event, transitions in STEP_TRANSITIONS.items()
        for row in transitions
    )
    return _table(("event", "from", "to"), rows)


def diagram() -> str:
    """The job's states as a Mermaid diagram, without the events that leave a state as it is."""
    labels: dict[tuple[str, str], list[str]] = {}
    for event, rows in TRANSITIONS.items():
        for row in rows:
            if row.source is not row.target:
                labels.setdefault((row.source or "[*]", row.target), []).append(event.__name__)
    arrows = (f"    {source} --> {target} : {', '.join(events)}" for (source, target), events in labels.items())
    return "\n".join(("```mermaid", "stateDiagram-v2", *arrows, "```"))


def _leads(row: Transition) -> tuple[str, str]:
    return ("*(stays)*" if row.source is row.target else f"`{row.target}`", row.when)


def _names(statuses: Iterable[JobStatus | StepStatus | None]) -> str:
    return ", ".join(f"`{status}`" if status else "*(no job)*" for status in statuses)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    rule = tuple("---" for _ in head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
