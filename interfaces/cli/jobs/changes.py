"""What `stop`, `resume`, `cancel` and `remove` have in common: check, ask, act, wait, report."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.cli.jobs.selection import Selection, select, show
from milepost.interfaces.cli.jobs.waiting import LOOK_SECONDS, UNAVAILABLE, looks_at
from milepost.interfaces.cli.result_columns import RESULT_COLUMNS
from milepost.interfaces.cli.session import Session
from milepost.interfaces.command_results import STEPS_TOLD, held_up, result_of
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.result_documents import CommandResult
from milepost.interfaces.service import UNDER_WAY, Change, StepsAsked

IRREVERSIBLE: Final = frozenset({"cancel", "remove"})


def act(
    session: Session,
    change: Change,
    ids: Sequence[str] | None,
    meant: JobFilter,
    *,
    everything: bool,
    wait_seconds: float | None,
) -> None:
    """Check all, ask where it must be asked, do all, then wait for each. What fails does not keep the others back."""
    chosen = select(session, change.command, ids, meant, everything=everything)
    for option, given in (("--if-version", change.if_version), ("--command-id", change.command_id)):
        if given is not None and len(chosen.ids) != 1:
            raise Told(INVALID, f"{option} is about one job", "Name one job")
    if chosen.ids and not change.dry_run and (change.command in IRREVERSIBLE or not chosen.named):
        _ask(session, change, chosen)
    began = time.monotonic()  # one limit for all of them together
    done = [session.attempt(partial(session.service.change, job_id, change)) for job_id in chosen.ids]
    results = [session.attempt(partial(_finish, session, change, each, began, wait_seconds)) for each in done if each]
    said = [result for result in results if result]
    if not said and session.code:
        return
    session.out.said(said, RESULT_COLUMNS, lambda result: result.id, lambda result: result.message)
    if not chosen.ids:
        session.note(f"There is no job to {change.command}")


def wait_until_done(
    session: Session, change: Change, job_id: str, deadline: float, wait_seconds: float
) -> tuple[JobDocument, bool]:
    """The job once it is no longer under way to where it was sent, and whether it got there without its worker.

    A worker that died while we wait will never say that the job came to rest: then the command is given
    once more, and takes effect at once. Raises Told when time is up.
    """
    asked_again, alone = time.monotonic(), False
    last: JobDocument | None = None
    for job in looks_at(session, job_id, max(0.0, deadline - time.monotonic())):
        last = job
        if job.status != UNDER_WAY[change.command]:
            return session.service.job(job_id, StepsAsked(STEPS_TOLD, begun=True)), alone
        with suppress(*UNAVAILABLE):  # then again with the next look
            if time.monotonic() > asked_again + LOOK_SECONDS and job.waiting:
                again = session.service.change(job_id, replace(change, if_version=None, command_id=None))
                asked_again, alone = time.monotonic(), again.unanswered
    assert last is not None, "it looks at least once"
    raise held_up(last, change.command, wait_seconds)


def _finish(
    session: Session, change: Change, done: CommandResult, began: float, wait_seconds: float | None
) -> CommandResult:
    if wait_seconds is None or done.dry_run or done.status != UNDER_WAY.get(change.command):
        return done
    job, alone = wait_until_done(session, change, done.id, began + wait_seconds, wait_seconds)
    return result_of(done, job, seconds=time.monotonic() - began, alone=alone)


def _ask(session: Session, change: Change, chosen: Selection) -> None:
    """What cannot be done to a job named one by one is refused before anybody is asked anything."""
    if chosen.named:
        for job_id in chosen.ids:
            session.service.change(job_id, replace(change, dry_run=True))
    if session.given.yes:
        return
    if session.interactive:
        show(session, chosen)
    jobs = "this job" if len(chosen.ids) == 1 else f"these {len(chosen.ids)} jobs"
    session.confirm(f"{change.command.capitalize()} {jobs}?")
