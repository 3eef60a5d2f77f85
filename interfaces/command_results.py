"""What a command did to a job, in words that say no more than what is so."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from milepost.interfaces.error_mapping import REFUSED, TIMED_OUT, Told
from milepost.interfaces.job_documents import JobDocument, StepDocument
from milepost.interfaces.quantities import duration, of_total
from milepost.interfaces.result_documents import CommandResult, StepPlace
from milepost.interfaces.service import REACHED, UNDER_WAY

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Outcome

STILL_GOING: Final = ". Its worker did not answer: what its steps do outside of transactions may still go on"
BEFORE: Final = "this command took effect before, under the same command id"
STEPS_SAID: Final = 3
STEPS_TOLD: Final = 20


def result_of(asked: CommandResult, job: JobDocument, *, seconds: float, alone: bool) -> CommandResult:
    """The result of a command once the job stands there; `alone`: its worker had no part in it.

    Raises Told when somebody else took the command back meanwhile.
    """
    places = resting_places(job.steps or ()) if asked.command == "stop" else []
    if asked.command in UNDER_WAY and asked.changed and job.status in ("Pending", "Preparing", "Running"):
        raise Told(REFUSED, f"Job {job.id} goes on: somebody resumed it while it was {UNDER_WAY[asked.command]}")
    return CommandResult(
        id=job.id,
        command=asked.command,
        changed=asked.changed,
        status_before=asked.status_before,
        status=job.status,
        version=job.version,
        message=_message(asked, job, places, seconds) + (STILL_GOING if alone else ""),
        seconds=round(seconds, 3),
        successful_steps=job.progress.successful_steps,
        total_steps=job.progress.total_steps,
        steps=places,
        unanswered=alone,
        repeated=asked.repeated,
    )


def repeated(command: str, job: JobDocument, version: int | None) -> CommandResult:
    """The result of a command that came before, under the same command id; `version`: of what it did, if anything."""
    if version is None:
        message = f"This command came before, under the same command id, and changed nothing: {job.id} is {job.status}"
    else:
        message = f"{job.id} is {job.status}: {BEFORE}, at version {version}"
    return CommandResult(
        id=job.id,
        command=command,
        changed=False,
        status_before=job.status,
        status=job.status,
        version=job.version,
        message=message,
        successful_steps=job.progress.successful_steps,
        total_steps=job.progress.total_steps,
        repeated=version is not None,
    )


def would_be(command: str, outcome: "Outcome") -> CommandResult:
    """The result of a dry run."""
    before, after = outcome.before, outcome.job
    if outcome.changed:
        message = f"Would {command} {after.id}: {before.status} → {after.status}"
    else:
        message = f"{after.id} is {before.status} already: nothing would change"
    return CommandResult(
        id=str(after.id),
        command=command,
        changed=False,
        status_before=str(before.status),
        status=str(before.status),
        version=before.version,
        message=message,
        dry_run=True,
    )


def held_up(job: JobDocument, command: str, seconds: float) -> Told:
    """The error of a job that did not come to rest in time."""
    why = f"it waits: {job.waiting}" if job.waiting else job.held_by or "its worker has not answered yet"
    message = f"Job {job.id} is still {job.status} after {duration(seconds)}: {why}"
    return Told(TIMED_OUT, message, f"It goes on {UNDER_WAY[command].lower()}: 'milepost jobs wait {job.id}' waits on")


def resting_places(steps: Sequence[StepDocument]) -> list[StepPlace]:
    """Where each of these steps stands."""
    return [
        StepPlace(
            index=step.index,
            name=step.name,
            status=step.status,
            done=step.progress.done,
            total=step.progress.total,
            unit=step.progress.unit,
            checkpoint=step.checkpoint,
        )
        for step in steps
    ]


def place_text(step: StepPlace) -> str:
    """`import at 3/10 rows`."""
    reached = of_total(step.done, step.total, step.unit) if step.done or step.total is not None else "its beginning"
    return f"{step.name} at {reached}"


def _message(asked: CommandResult, job: JobDocument, places: list[StepPlace], seconds: float) -> str:
    command, status = asked.command, job.status
    if asked.repeated and status not in UNDER_WAY.values():
        return f"{job.id} is {status}: {BEFORE}"
    if not asked.changed and status not in UNDER_WAY.values():
        return f"{job.id} is {status} already: nothing changed"
    if command == "resume":
        return f"Resumed {job.id}" + (f"; it waits: {job.waiting}" if job.waiting and status == "Pending" else "")
    if status == UNDER_WAY.get(command):
        return f"{job.id} is {status}; 'milepost jobs wait {job.id}' waits until it is at rest"
    if status != REACHED[command]:
        return f"{job.id} came to its end before it could be {REACHED[command].lower()}: it is {status}"
    took = f". It took {duration(seconds)}" if command in UNDER_WAY else ""
    return f"{status} {job.id}{_where(job, places)}{took}"


def _where(job: JobDocument, places: list[StepPlace]) -> str:
    progress = job.progress
    if not progress.total_steps:
        return " before it had any steps" if job.status == "Stopped" else ""
    told = f" at {progress.successful_steps}/{progress.total_steps} steps"
    if places:
        more = " …" if len(places) > STEPS_SAID else ""
        told += "; " + ", ".join(place_text(step) for step in places[:STEPS_SAID]) + more
    return told
