"""What `stop`, `resume`, `cancel` and `remove` have in common: check, ask, act, wait, report."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

from milepost.domain.commands import CancelJob, OperatorCommand, RemoveJob, ResumeJob, StopJob
from milepost.interfaces import bootstrap
from milepost.interfaces.bootstrap import DatabaseUnavailable, JobFilter
from milepost.interfaces.cli.jobs.results import UNDER_WAY, held_up, result_of, unanswered, would_be
from milepost.interfaces.cli.jobs.selection import Selection, select, show
from milepost.interfaces.cli.jobs.waiting import LOOK_SECONDS, rows_of
from milepost.interfaces.cli.result_columns import RESULT_COLUMNS
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.result_documents import CommandResult

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Outcome, Row, Situation

Wanted = Literal["stop", "resume", "cancel", "remove"]

IRREVERSIBLE: Final = frozenset({"cancel", "remove"})


@dataclass(frozen=True, slots=True)
class Change:
    """What is wanted of each job. `wait_seconds`: None for not at all."""

    command: Wanted
    reason: str = ""
    dry_run: bool = False
    if_version: int | None = None
    wait_seconds: float | None = None
    command_id: str | None = None
    skip_cleanup: bool = False


def act(session: Session, change: Change, ids: Sequence[str] | None, meant: JobFilter, *, everything: bool) -> None:
    """Check all, ask where it must be asked, do all, then wait for each. What fails does not keep the others back."""
    chosen = select(session, change.command, ids, meant, everything=everything)
    for option, given in (("--if-version", change.if_version), ("--command-id", change.command_id)):
        if given is not None and len(chosen.ids) != 1:
            raise Told(INVALID, f"{option} is about one job", "Name one job")
    if chosen.ids and not change.dry_run and (change.command in IRREVERSIBLE or not chosen.named):
        _ask(session, change, chosen)
    began = time.monotonic()  # one limit for all of them together
    outcomes = [session.attempt(partial(execute, session, change, job_id)) for job_id in chosen.ids]
    results = [session.attempt(partial(_finish, session, change, each, began)) for each in outcomes if each]
    said = [result for result in results if result]
    if not said and session.code:
        return
    session.out.said(said, RESULT_COLUMNS, lambda result: result.id, lambda result: result.message)
    if not chosen.ids:
        session.note(f"There is no job to {change.command}")


def execute(session: Session, change: Change, job_id: str) -> "Outcome":
    """One command on one job, decided on what is so at this moment. Raises what refuses it."""
    return session.app.store.execute(
        session.namespace,
        UUID(job_id),
        partial(_command, change),
        bootstrap.origin(change.reason),
        expected_version=change.if_version,
        command_id=change.command_id,
        dry_run=change.dry_run,
    )


def wait_until_done(session: Session, change: Change, job_id: str, deadline: float) -> "tuple[Row, bool]":
    """The job once it is no longer under way to where it was sent, and whether it got there without its worker.

    A worker that died while we wait will never say that the job came to rest: then the command is given
    once more, and takes effect at once. Raises Told when time is up.
    """
    asked_again, alone = time.monotonic(), False
    for row in rows_of(session, job_id, max(0.0, deadline - time.monotonic())):
        if row["status"] != UNDER_WAY[change.command]:
            return row, alone
        with suppress(DatabaseUnavailable):  # then again with the next look
            if time.monotonic() > asked_again + LOOK_SECONDS and session.app.queries.waiting([row], session.app.now()):
                outcome = execute(session, replace(change, if_version=None, command_id=None), job_id)
                asked_again, alone = time.monotonic(), unanswered(outcome)
    raise held_up(session, job_id, change.command, change.wait_seconds or 0)


def _finish(session: Session, change: Change, outcome: "Outcome", began: float) -> CommandResult:
    job_id = str(outcome.job.id)
    if change.dry_run:
        return would_be(change.command, outcome)
    alone = unanswered(outcome)
    if change.wait_seconds is not None and outcome.job.status == UNDER_WAY.get(change.command):
        row, alone = wait_until_done(session, change, job_id, began + change.wait_seconds)
    else:
        row = session.app.queries.job(session.namespace, job_id)
    return result_of(session, change.command, outcome, row, seconds=time.monotonic() - began, alone=alone)


def _ask(session: Session, change: Change, chosen: Selection) -> None:
    """What cannot be done to a job named one by one is refused before anybody is asked anything."""
    if chosen.named:
        for job_id in chosen.ids:
            execute(session, replace(change, dry_run=True), job_id)
    if session.given.yes:
        return
    if session.interactive:
        show(session, chosen)
    jobs = "this job" if len(chosen.ids) == 1 else f"these {len(chosen.ids)} jobs"
    session.confirm(f"{change.command.capitalize()} {jobs}?")


def _command(change: Change, situation: "Situation") -> OperatorCommand:
    match change.command:
        case "stop":
            return StopJob(worker_alive=situation.worker_alive, reached=situation.reached)
        case "resume":
            return ResumeJob()
        case "cancel":
            return CancelJob(situation.worker_alive, situation.reached, change.skip_cleanup)
        case "remove":
            return RemoveJob()
