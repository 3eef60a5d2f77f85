"""`milepost jobs wait`: return when jobs have come to rest, with an exit code that says how."""

import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.live import Show, progress_shown
from milepost.interfaces.cli.jobs.waiting import at_rest, looks_at
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import OUTCOMES, TIMED_OUT, Told
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.quantities import duration
from milepost.interfaces.result_documents import WaitResult

app = new_app()

COLUMNS: Final[tuple[Column[WaitResult], ...]] = (
    Column("Id", lambda result: result.id),
    Column("Status", lambda result: result.status),
    Column("Version", lambda result: result.version),
    Column("ExitCode", lambda result: result.exit_code),
    Column("Message", lambda result: result.message),
)


@command(app, "wait")
def wait_jobs(
    session: Session,
    jobs: Annotated[
        list[str],
        typer.Argument(help="Ids of jobs, or their beginnings.", metavar="ID", autocompletion=completion.job_ids),
    ],
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=0, help="Seconds to wait at most; then exit code 7.", metavar="SECONDS"),
    ] = None,
) -> None:
    """Wait until jobs are at rest. Exit code: 0 completed, 10 with failures, 11 failed, 12 stopped, 13 cancelled."""
    ids = [session.service.resolve(given) for given in jobs]
    results = wait_for(session, list(dict.fromkeys(ids)), timeout)
    session.out.said(results, COLUMNS, lambda result: result.id, lambda result: result.message)
    raise typer.Exit(max(result.exit_code for result in results))


def wait_for(
    session: Session, ids: Sequence[str], timeout: float | None, show: Show = lambda _: None
) -> list[WaitResult]:
    """How each ended; `show` is told how it goes on. Raises Told when time is up before the last of them has."""
    deadline = None if timeout is None else time.monotonic() + timeout
    return [wait_result(_rested(session, job_id, deadline, timeout or 0, show)) for job_id in ids]


def follow(session: Session, ids: Sequence[str], timeout: float | None) -> int:
    """Show how these jobs go on, and say how each ended: the exit code. Raises Told when time is up."""
    with progress_shown(session, stderr=True) as show:
        results = wait_for(session, ids, timeout, show)
    for result in results:
        session.note(result.message)
    return max(result.exit_code for result in results)


def wait_result(job: JobDocument) -> WaitResult:
    told = job.progress
    failed = f", {told.failed_steps} failed" if told.failed_steps else ""
    steps = f" at {told.successful_steps}/{told.total_steps} steps{failed}" if told.total_steps else ""
    return WaitResult(
        id=job.id,
        status=job.status,
        version=job.version,
        exit_code=OUTCOMES[job.status],
        message=f"{job.id} is {job.status}{steps}",
    )


def _rested(session: Session, job_id: str, deadline: float | None, timeout: float, show: Show) -> JobDocument:
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    last: JobDocument | None = None
    for job in looks_at(session, job_id, left):
        show(job)
        if at_rest(job):
            return job
        last = job
    assert last is not None, "it looks at least once"
    message = f"Job {job_id} is still {last.status} after {duration(timeout)}"
    why = f"; it waits: {last.waiting}" if last.waiting else ""
    raise Told(TIMED_OUT, message + why, f"Look at it with 'milepost jobs get {job_id}'")
