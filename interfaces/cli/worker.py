"""`milepost worker`: a process that takes jobs and does them until it is told to end."""

import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from milepost.domain.queues import refuse_bad_queue
from milepost.interfaces.bootstrap import Application, DatabaseUnavailable
from milepost.interfaces.cli import completion
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.jobs.list import is_narrow
from milepost.interfaces.cli.jobs.waiting import Unavailable, answered
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.worker_options import A_DAY, Executor, Slots, slots_or_default
from milepost.interfaces.error_mapping import INVALID, OK, Told
from milepost.interfaces.quantities import clean

if TYPE_CHECKING:
    from milepost.infrastructure.observers.live import LiveObservers
    from milepost.infrastructure.running.call import Call
    from milepost.infrastructure.running.worker import Worker
    from milepost.infrastructure.webhooks.deliveries import Deliveries

app = new_app()

# A terminal that closes ends its programs by SIGHUP, where there is such a signal.
SETTLING_SECONDS: Final = 30.0
SETTLING_TRIES: Final = 150
_ID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")
END_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@command(app, "worker")
def work(
    session: Session,
    slots: Slots = None,
    executor: Annotated[Executor, typer.Option("--executor", help="Where steps run.")] = Executor.THREADS,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", help="Of the Dask cluster for --executor dask; else a local one.", metavar="ADDRESS"
        ),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--types",
            help="Only jobs of these types; comma-separated or repeated.",
            metavar="TYPES",
            autocompletion=completion.job_types,
        ),
    ] = None,
    queues: Annotated[
        list[str] | None,
        typer.Option("--queues", help="Only jobs of these queues; comma-separated or repeated.", metavar="QUEUES"),
    ] = None,
    lease_seconds: Annotated[
        float,
        typer.Option(
            "--lease-seconds", min=0.5, max=A_DAY, help="After so long without a sign another worker takes over."
        ),
    ] = 10.0,
    grace_seconds: Annotated[
        float,
        typer.Option(
            "--grace-seconds", min=0, max=A_DAY, help="When told to end, how long to wait for steps to come to rest."
        ),
    ] = 30.0,
    exit_when_idle: Annotated[
        bool,
        typer.Option("--exit-when-idle", help="End when no job and no live event is left that this worker can handle."),
    ] = False,
) -> None:
    """Take jobs of all namespaces and do them. SIGTERM or Ctrl-C hands them back; a second Ctrl-C at once."""
    from milepost.interfaces.webhook_service import deliveries

    if scheduler is not None and not scheduler.strip():
        raise Told(INVALID, "--scheduler is empty", "Write --scheduler tcp://HOST:8786, or leave it out")
    if scheduler is not None and executor is not Executor.DASK:
        raise Told(INVALID, "--scheduler is for --executor dask", "Leave it out, or add --executor dask")
    wanted = _known(session, types)
    from_queues = _queues(queues)
    rules = session.app.retention_rules  # before anything is begun: a wrong one is refused
    _log_lines(session)
    _wait_for_database(session)
    worker, pool = session.app.worker(
        slots=slots_or_default(slots) if scheduler is None else slots,
        kind=executor.kind,
        scheduler=scheduler,
        types=wanted,
        queues=from_queues,
        lease_seconds=lease_seconds,
        grace_seconds=grace_seconds,
    )
    leaving = Leaving(worker)
    for number in END_SIGNALS:
        signal.signal(number, leaving.asked)
    signal.signal(signal.SIGINT, leaving.interrupted)
    for problem in session.app.job_types.problems:
        session.note(f"Warning: {problem.source} could not be loaded: {problem.error}")
    takes = ", ".join(sorted(wanted or session.app.job_types.names()))
    where = f"queues {', '.join(sorted(from_queues))}; " if from_queues else ""
    where += f"event store {session.settings.event_store.value}, all namespaces"
    session.note(f"Worker {worker.name} takes {takes} ({where})")
    for rule in rules:
        session.note(f"Worker {worker.name} prunes by {rule.told}")
    types_taken = wanted or frozenset(session.app.job_types.names())
    with (
        deliveries(session.app) as telling,
        session.app.live_observers(worker.name, lease_seconds) as live,
        session.app.retention(worker.name),
    ):
        idle = Idle(session.app, worker, types_taken, from_queues, live) if exit_when_idle else None
        worker.run(idle or (lambda: False))
        for activity in worker.left_running:
            session.note(f"Ended without having come to rest: {_of(activity.call)}")
        if leaving.at_once or worker.left_running:  # another worker may have the jobs: nothing may run beside it
            pool.close()
            leave_now()
        if exit_when_idle:
            _settle(telling, worker)
    pool.close()
    session.note(f"Worker {worker.name} ended")


def _settle(telling: "Deliveries", worker: "Worker") -> None:
    """Tell webhooks of what this worker did, for no other one may be there; unless it is asked to end."""
    for _ in range(SETTLING_TRIES):
        if worker.gone or telling.settle(SETTLING_SECONDS / SETTLING_TRIES):
            return


def _wait_for_database(session: Session) -> None:
    """After a power failure a worker may be there before its server is: it waits, as it would in the middle."""

    def told(error: Unavailable) -> str:
        return f"{error.told} Waiting until it answers; or end this, and correct the URL."

    answered(session, lambda: session.app.store, told)


def _known(session: Session, types: list[str] | None) -> frozenset[str] | None:
    names = _listed(types)
    known = session.app.job_types.names()
    if unknown := sorted(names.difference(known)):
        raise Told(INVALID, f"Unknown job type {', '.join(unknown)}", f"Known here: {', '.join(known)}")
    return names or None


def _queues(queues: list[str] | None) -> frozenset[str] | None:
    names = _listed(queues)
    for name in names:
        refuse_bad_queue(name)
    return names or None


def _listed(given: list[str] | None) -> frozenset[str]:
    return frozenset(name.strip() for each in given or () for name in each.split(",") if name.strip())


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


def _of(call: "Call") -> str:
    what = f"step {call.step.name}" if call.step else str(call.kind)
    return f"{what} of job {call.job_id}"


class Idle:
    """Whether a worker has nothing to do, nor will have: asked anew only when somebody has written.

    Its observers must have had a look after its last job: that may have left them events to handle.
    """

    def __init__(
        self,
        app: Application,
        worker: "Worker",
        types: frozenset[str],
        queues: frozenset[str] | None,
        live: "LiveObservers",
    ) -> None:
        self._app, self._worker, self._types, self._queues, self._live = app, worker, types, queues, live
        self._marker: int | None = None
        self._since: int | None = None  # the observers' round in which no job was left

    def __call__(self) -> bool:
        if self._worker.jobs:
            self._since = None
            return False
        if self._since is not None and self._live.idle(self._since):
            self._since, self._marker = None, None
            return self._nothing_new_left()  # a retry may have come and gone meanwhile
        if self._since is None and self._nothing_new_left():
            self._since = self._live.turns
        return False

    def _nothing_new_left(self) -> bool:
        try:
            marker = self._app.change_marker()
            if marker == self._marker:
                return False
            left = self._app.queries.work_left(self._types, self._worker.name, self._queues)
        except DatabaseUnavailable:
            return False
        self._marker = marker  # of before the question: what was written meanwhile is asked for again
        return not left


class WorkerLines(logging.Formatter):
    """What a worker says of its work: a line an event, by the local clock, with ids as `shown` writes them."""

    def __init__(self, shown: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")
        self._shown = shown

    def format(self, record: logging.LogRecord) -> str:
        at, told = self.formatTime(record, self.datefmt), clean(record.getMessage())
        line = f"{at} {_ID.sub(lambda found: self._shown(found[0]), told)}"
        if not record.exc_info:
            return line
        # A defect, which is told whole.
        return "\n".join([line, *map(clean, self.formatException(record.exc_info).splitlines())])


def _log_lines(session: Session) -> None:
    """On standard error; on a narrow terminal with ids as short as in the lists."""
    known: dict[str, str] = {}

    def shown(job_id: str) -> str:
        if job_id not in known:
            try:
                known.update(session.app.queries.shortened([job_id]))
            except DatabaseUnavailable:
                return job_id
        return known.get(job_id, job_id)

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(WorkerLines(shown if sys.stderr.isatty() and is_narrow() else str))
    logger = logging.getLogger("milepost")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
