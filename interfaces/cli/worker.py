"""`milepost worker`: a process that takes jobs and does them until it is told to end."""

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.worker_options import Executor, Slots, slots_or_default
from milepost.interfaces.error_mapping import INVALID, Told

if TYPE_CHECKING:
    from milepost.infrastructure.running.worker import Worker

app = new_app()


@command(app, "worker")
def work(
    session: Session,
    slots: Slots = None,
    executor: Annotated[Executor, typer.Option("--executor", help="Where steps run.")] = Executor.THREADS,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--types",
            help="Only jobs of these types; comma-separated or repeated.",
            metavar="TYPES",
            autocompletion=completion.job_types,
        ),
    ] = None,
    lease_seconds: Annotated[
        float, typer.Option("--lease-seconds", min=0.5, help="After so long without a sign another worker takes over.")
    ] = 10.0,
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End when no job is left that this worker can do.")
    ] = False,
) -> None:
    """Take jobs of all namespaces and do them. SIGTERM or Ctrl-C hands them back; a second Ctrl-C at once."""
    wanted = _known(session, types)
    _log_lines()
    worker, pool = session.app.worker(
        slots=slots_or_default(slots), kind=executor.kind, types=wanted, lease_seconds=lease_seconds
    )
    signal.signal(signal.SIGTERM, lambda _number, _frame: worker.hand_back())
    signal.signal(signal.SIGINT, _interrupted(worker))
    for problem in session.app.job_types.problems:
        session.note(f"Warning: job types of {problem.source} could not be loaded: {problem.error}")
    session.note(f"Worker {worker.name} takes {', '.join(sorted(wanted or session.app.job_types.names()))}")
    worker.run((lambda: _idle(session, worker, wanted)) if exit_when_idle else (lambda: False))
    pool.close()
    session.note(f"Worker {worker.name} ended")


def _known(session: Session, types: list[str] | None) -> frozenset[str] | None:
    names = frozenset(name.strip() for given in types or () for name in given.split(",") if name.strip())
    known = session.app.job_types.names()
    if unknown := sorted(names.difference(known)):
        raise Told(INVALID, f"Unknown job type {', '.join(unknown)}", f"Known here: {', '.join(known)}")
    return names or None


def _interrupted(worker: "Worker") -> Callable[[int, FrameType | None], None]:
    """What Ctrl-C does: the first hands the jobs back, the second does not wait for their steps."""
    presses = 0

    def heard(_number: int, _frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            worker.hand_back()
        else:
            worker.abandon()

    return heard


def _idle(session: Session, worker: "Worker", types: frozenset[str] | None) -> bool:
    names = types or frozenset(session.app.job_types.names())
    return not worker.jobs and not session.app.queries.work_left(names, worker.name)


def _log_lines() -> None:
    """What the worker says of its work, as lines on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logger = logging.getLogger("milepost")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
