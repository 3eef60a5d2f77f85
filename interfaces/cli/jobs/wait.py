"""`milepost jobs wait`: return when jobs have come to rest, with an exit code that says how."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.waiting import at_rest, rows_of
from milepost.interfaces.cli.output import Column
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import duration
from milepost.interfaces.error_mapping import OUTCOMES, TIMED_OUT, Told
from milepost.interfaces.result_documents import WaitResult

if TYPE_CHECKING:
    from milepost.interfaces.bootstrap import Row

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
    ids = [session.app.queries.resolve(session.namespace, given) for given in jobs]
    results = wait_for(session, list(dict.fromkeys(ids)), timeout)
    session.out.said(results, COLUMNS, lambda result: result.id, lambda result: result.message)
    raise typer.Exit(max(result.exit_code for result in results))


def wait_for(session: Session, ids: Sequence[str], timeout: float | None) -> list[WaitResult]:
    """How each ended. Raises Told when time is up before the last of them has."""
    deadline = None if timeout is None else time.monotonic() + timeout
    return [wait_result(_rested(session, job_id, deadline, timeout or 0)) for job_id in ids]


def wait_result(row: "Row") -> WaitResult:
    failed = f", {row['failed']} failed" if row["failed"] else ""
    steps = f" at {row['succeeded']}/{row['total']} steps{failed}" if row["total"] else ""
    return WaitResult(
        id=row["id"],
        status=row["status"],
        version=row["version"],
        exit_code=OUTCOMES[row["status"]],
        message=f"{row['id']} is {row['status']}{steps}",
    )


def _rested(session: Session, job_id: str, deadline: float | None, timeout: float) -> "Row":
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    last: Row | None = None
    for row in rows_of(session, job_id, left):
        if at_rest(row):
            return row
        last = row
    assert last is not None, "it looks at least once"
    waiting = session.app.queries.waiting([last], session.app.now()).get(job_id)
    message = f"Job {job_id} is still {last['status']} after {duration(timeout)}"
    why = f"; it waits: {waiting}" if waiting else ""
    raise Told(TIMED_OUT, message + why, f"Look at it with 'milepost jobs get {job_id}'")
