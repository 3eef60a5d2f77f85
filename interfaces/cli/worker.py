"""`milepost worker`: a process that takes jobs and does them until it is told to end."""

import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.worker_options import Executor, Slots, slots_or_default
from milepost.interfaces.error_mapping import INVALID, OK, Told

if TYPE_CHECKING:
    from milepost.infrastructure.running.worker import Worker

app = new_app()

# A terminal that closes ends its programs by SIGHUP, where there is such a signal.
END_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


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
    leaving = Leaving(worker)
    for number in END_SIGNALS:
        signal.signal(number, leaving.asked)
    signal.signal(signal.SIGINT, leaving.interrupted)
    for problem in session.app.job_types.problems:
        session.note(f"Warning: job types of {problem.source} could not be loaded: {problem.error}")
    takes = ", ".join(sorted(wanted or session.app.job_types.names()))
    where = f"event store {session.settings.event_store.value}, all namespaces"
    session.note(f"Worker {worker.name} takes {takes} ({where})")
    worker.run((lambda: _idle(session, worker, wanted)) if exit_when_idle else (lambda: False))
    if leaving.at_once:  # another worker may have the jobs already: what still runs here must not run beside it
        leave_now()
    pool.close()
    session.note(f"Worker {worker.name} ended")


def _known(session: Session, types: list[str] | None) -> frozenset[str] | None:
    names = frozenset(name.strip() for given in types or () for name in given.split(",") if name.strip())
    known = session.app.job_types.names()
    if unknown := sorted(names.difference(known)):
        raise Told(INVALID, f"Unknown job type {', '.join(unknown)}", f"Known here: {', '.join(known)}")
    return names or None


class Leaving:
    """What signals ask of a worker: to hand its jobs back, and by a second Ctrl-C not to wait for their steps."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._presses = 0

    @property
    def at_once(self) -> bool:
        return self._presses > 1

    def asked(self, _number: int, _frame: FrameType | None) -> None:
        self._worker.hand_back()

    def interrupted(self, _number: int, _frame: FrameType | None) -> None:
        self._presses += 1
        if self.at_once:
            self._worker.abandon()
            return
        self._worker.hand_back()
        # Not by `print`, which the signal may have come in the middle of.
        os.write(
            sys.stderr.fileno(), b"Shutting down at the next checkpoints; Ctrl-C again hands the jobs back at once\n"
        )


def leave_now() -> NoReturn:
    """The process ends here, whatever its threads do; its step processes end with it."""
    from multiprocessing import active_children

    for child in active_children():
        child.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(OK)


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
