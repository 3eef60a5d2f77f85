"""What a command did to a job, in words that say no more than what is so."""

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from milepost.interfaces import bootstrap
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import duration, of_total
from milepost.interfaces.error_mapping import REFUSED, TIMED_OUT, Told
from milepost.interfaces.result_documents import CommandResult, StepPlace

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Outcome, Row

UNDER_WAY: Final = {"stop": "Stopping", "cancel": "Cancelling"}
REACHED: Final = {"stop": "Stopped", "cancel": "Cancelled", "remove": "Removed"}
STILL_GOING: Final = ". Its worker did not answer: what its steps do outside of transactions may still go on"
STEPS_TOLD: Final = 20
STEPS_SAID: Final = 3


def result_of(
    session: Session, command: str, outcome: "Outcome", row: "Row", *, seconds: float, alone: bool
) -> CommandResult:
    """The result once the job has this row; `alone`: its worker had no part in it.

    Raises Told when somebody else took the command back meanwhile.
    """
    status = row["status"]
    places: list[StepPlace] = []
    if command == "stop":
        places = [step_place(step) for step in session.app.queries.begun_steps(row["id"], STEPS_TOLD)]
    if command in UNDER_WAY and outcome.changed and status in ("Pending", "Preparing", "Running"):
        raise Told(REFUSED, f"Job {row['id']} goes on: somebody resumed it while it was {UNDER_WAY[command]}")
    return CommandResult(
        id=row["id"],
        command=command,
        changed=outcome.changed,
        status_before=str(outcome.before.status),
        status=status,
        version=row["version"],
        message=_message(session, command, outcome.changed, row, places, seconds) + (STILL_GOING if alone else ""),
        seconds=round(seconds, 3),
        successful_steps=row["succeeded"],
        total_steps=row["total"],
        steps=places,
    )


def unanswered(outcome: "Outcome") -> bool:
    """Whether the command brought the job to rest without its worker, whose lease had run out."""
    return outcome.changed and outcome.before.worker is not None and outcome.job.worker is None


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


def held_up(session: Session, job_id: str, command: str, seconds: float) -> Told:
    """The error of a job that did not come to rest in time: which step is holding it, or that nobody works on it."""
    queries = session.app.queries
    row = queries.job(session.namespace, job_id)
    running = [step_place(step) for step in queries.steps(job_id, limit=STEPS_SAID, statuses=("Running",))]
    waiting = queries.waiting([row], session.app.now()).get(job_id)
    if waiting:
        why = f"it waits: {waiting}"
    elif running:
        why = "held by " + ", ".join(_place(step) for step in running)
    else:
        why = _phase(session, row)
    message = f"Job {job_id} is still {row['status']} after {duration(seconds)}: {why}"
    return Told(TIMED_OUT, message, f"It goes on {UNDER_WAY[command].lower()}: 'milepost jobs wait {job_id}' waits on")


def _phase(session: Session, row: "Row") -> str:
    """Where the worker of a job is that is asked to come to rest and runs no step: in code that cannot be stopped."""
    changes = session.app.queries.status_changes([row["id"]])[row["id"]]
    before = next((each["status"] for each in reversed(changes) if each["status"] not in UNDER_WAY.values()), "")
    if before == "Preparing":
        method = "before_resume()" if row["planned"] else "plan() or before_start()"
    elif row["status"] == UNDER_WAY["cancel"] and session.app.store.load(UUID(row["id"])).has_cleanup:
        method = "cancelled()"
    elif row["status"] == UNDER_WAY["stop"] and row["total"] and row["succeeded"] + row["failed"] == row["total"]:
        method = "completed()"
    else:
        return "its worker has not answered yet"
    return f"no step runs: its worker is in {method}"


def why_waiting(session: Session, row: "Row") -> str | None:
    """Why nobody will work on a job that was just given to the workers; that they have yet to look is no reason."""
    reason = session.app.queries.waiting([row], session.app.now()).get(row["id"])
    return None if reason == bootstrap.BUSY else reason


def _message(session: Session, command: str, changed: bool, row: "Row", places: list[StepPlace], seconds: float) -> str:
    job_id, status = row["id"], row["status"]
    if not changed and status not in UNDER_WAY.values():
        return f"{job_id} is {status} already: nothing changed"
    if command == "resume":
        waiting = why_waiting(session, row)
        return f"Resumed {job_id}" + (f"; it waits: {waiting}" if waiting and status == "Pending" else "")
    if status == UNDER_WAY.get(command):
        return f"{job_id} is {status}; 'milepost jobs wait {job_id}' waits until it is at rest"
    if status != REACHED[command]:
        return f"{job_id} came to its end before it could be {REACHED[command].lower()}: it is {status}"
    took = f". It took {duration(seconds)}" if command in UNDER_WAY else ""
    return f"{status} {job_id}{_where(row, places)}{took}"


def _where(row: "Row", places: list[StepPlace]) -> str:
    if not row["total"]:
        return " before it had any steps" if row["status"] == "Stopped" else ""
    told = f" at {row['succeeded']}/{row['total']} steps"
    if places:
        more = " …" if len(places) > STEPS_SAID else ""
        told += "; " + ", ".join(_place(step) for step in places[:STEPS_SAID]) + more
    return told


def _place(step: StepPlace) -> str:
    reached = of_total(step.done, step.total, step.unit) if step.done or step.total is not None else "its beginning"
    return f"{step.name} at {reached}"


def step_place(row: "Row") -> StepPlace:
    """Where the step of this row stands."""
    progress: dict[str, Any] = json.loads(row["progress"] or "{}")
    return StepPlace(
        index=row["step"],
        name=row["name"],
        status=row["status"],
        done=progress.get("done", 0),
        total=progress.get("total"),
        unit=progress.get("unit", ""),
        checkpoint=progress.get("checkpoint"),
    )
