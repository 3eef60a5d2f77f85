"""`milepost jobs run`: start a job and do it here, in this process, with its progress to be seen."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from uuid import UUID

import typer

from milepost.domain.errors import JobError
from milepost.interfaces.bootstrap import DatabaseUnavailable
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.job_columns import JOB_FACTS
from milepost.interfaces.cli.jobs.get import STEPS_GIVEN, steps_asked
from milepost.interfaces.cli.jobs.live import Show, progress_shown
from milepost.interfaces.cli.jobs.start import (
    CommandId,
    Priority,
    Queue,
    Reason,
    Request,
    Set,
    Tag,
    TypeName,
    start,
)
from milepost.interfaces.cli.jobs.view import outcome_view
from milepost.interfaces.cli.jobs.waiting import at_rest, looks_at
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.worker import END_SIGNALS
from milepost.interfaces.cli.worker_options import Executor, Slots
from milepost.interfaces.cli.worker_thread import WorkerThread
from milepost.interfaces.error_mapping import INTERRUPTED, OUTCOMES, REFUSED, Told
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.local_service import BEFORE
from milepost.interfaces.service import Change

app = new_app()

LOOK_SECONDS = 0.1


@command(app, "run")
def run_job(
    session: Session,
    type: TypeName,  # noqa: A002 - the argument's name
    request: Request = None,
    set: Set = None,  # noqa: A002 - the option's name
    tag: Tag = None,
    queue: Queue = None,
    priority: Priority = None,
    command_id: CommandId = None,
    reason: Reason = "",
    slots: Slots = None,
    executor: Executor = Executor.THREADS,
) -> None:
    """Start a job and run it here. Ctrl-C stops it; a second one leaves it to the next worker."""
    session.only_here()
    begun = start(session, type, request, set, tag, command_id, reason, queue, priority)
    if begun.differs:
        message = f"Job {begun.id} {BEFORE}, with another request, and has the same key: it is {begun.status}"
        raise Told(REFUSED, message, f"Wait for it, or end it: 'milepost jobs stop {begun.id}'")
    with Signals() as signals:
        if not begun.changed:
            session.note(f"Job {begun.id} {BEFORE}: it is {begun.status}. Ctrl-C does not stop it")
        with (
            WorkerThread(session.app, executor.kind, slots, only=UUID(begun.id)) as worker,
            progress_shown(session, stderr=True) as show,
        ):
            looks = _followed(session, begun.id, worker, signals, show, ours=begun.changed)
            job = next(job for job in looks if at_rest(job) or not worker.alive)
    if not at_rest(job):
        with suppress(DatabaseUnavailable):  # its worker may have brought it to rest between that look and its own end
            job = session.service.job(job.id)
    if not at_rest(job):
        if job.status in ("Pending", "Cancelling"):
            message, advice = "it is left to the next worker", "Start one with 'milepost worker'"
        else:
            message, advice = "it goes on without this process", f"See it with 'milepost jobs watch {job.id}'"
        raise Told(INTERRUPTED, f"Job {job.id} is {job.status}: {message}", advice)
    document = session.service.job(job.id, steps_asked(session, STEPS_GIVEN))
    session.out.one(document, JOB_FACTS, lambda each: each.id, lambda: outcome_view(document))
    raise typer.Exit(OUTCOMES[document.status])


class Signals:
    """Counts Ctrl-C, and notes a request to end, instead of being interrupted in the middle of something."""

    def __init__(self) -> None:
        self.interrupts = 0
        self.terminated = False

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, *END_SIGNALS)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.interrupts += 1
        else:
            self.terminated = True


def _followed(
    session: Session, job_id: str, worker: WorkerThread, signals: Signals, show: Show, *, ours: bool
) -> Iterator[JobDocument]:
    """The job again and again. A second Ctrl-C leaves it at once, SIGTERM hands it back.

    The first Ctrl-C stops a job that is `ours`; where somebody else has started it, it ends our part, as SIGTERM does.
    """
    told = asked_to_stop = False
    for job in looks_at(session, job_id, look_seconds=LOOK_SECONDS):
        show(job)
        yield job
        if signals.interrupts >= 2:
            worker.abandon()
        elif signals.terminated or (signals.interrupts and not ours):
            worker.hand_back()
        elif signals.interrupts and not asked_to_stop:
            if not told:
                session.note("Stopping at the next checkpoint. Ctrl-C again leaves the job to the next worker.")
            told = True
            with suppress(DatabaseUnavailable):  # then again with the next look
                _stop(session, job_id)
                asked_to_stop = True


def _stop(session: Session, job_id: str) -> None:
    with suppress(JobError):  # it may come to its end first
        session.service.change(job_id, Change("stop", "Ctrl-C"))
