"""The live table on a terminal: reads what is so, draws it, and does what the keys say."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from milepost.interfaces import bootstrap
from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.cli.jobs.board import state
from milepost.interfaces.cli.jobs.board.keyboard import Keyboard, keyboard
from milepost.interfaces.cli.jobs.board.picture import PENDING, picture, visible
from milepost.interfaces.cli.jobs.board.state import Board, Order
from milepost.interfaces.cli.jobs.waiting import LISTEN_SECONDS, LOOK_SECONDS, UNAVAILABLE, at_rest
from milepost.interfaces.cli.output import console
from milepost.interfaces.cli.session import Session
from milepost.interfaces.error_mapping import NOT_FOUND, problem_of
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.service import UNDER_WAY, Change, StepsAsked

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

T = TypeVar("T")

MOST: Final = 200  # jobs that are read at once
STEPS: Final = 12
PAUSE_SECONDS: Final = 0.2  # between two looks at everything
LINGER_SECONDS: Final = 60.0  # for which a job that has come to rest stays


def show(session: Session, meant: JobFilter) -> None:
    """Ends by `q`, or as any command by Ctrl-C."""
    from rich.live import Live

    screen = console()
    with keyboard() as keys, Live(console=screen, screen=True, auto_refresh=False, redirect_stderr=False) as live:
        Screen(session, meant, screen, live, keys).run()


class Screen:
    def __init__(self, session: Session, meant: JobFilter, console: "Console", live: "Live", keys: Keyboard) -> None:
        self._session, self._meant, self._console, self._live, self._keys = session, meant, console, live, keys
        self.board = Board()
        self._short: dict[str, str] = {}
        self._rest: dict[str, tuple[float, JobDocument]] = {}  # jobs that have come to rest here, and when
        self._trouble = False

    def run(self) -> None:
        marker: int | None = None
        read_at = -LOOK_SECONDS
        size = self._console.size
        while not self.board.ended:
            now = time.monotonic()
            seen = self._answer(self._session.service.marker)
            due = now > read_at + (LOOK_SECONDS if seen == marker and seen is not None else PAUSE_SECONDS)
            if due:
                self.read_all()
                marker, read_at = seen, now
            if due or size != self._console.size:
                size = self._console.size
                self._draw()
            before = self.board
            for key in self._keys.pressed(LISTEN_SECONDS):
                self.board = state.pressed(self.board, key)
                self._obey()
            if self.board is not before:
                if self.board.in_detail and self.board.opened is None:
                    self.read_all()
                self._draw()

    def read_all(self) -> None:
        service, board = self._session.service, self.board

        def read() -> Board:
            jobs = self._jobs()
            opened = None
            if board.in_detail and board.selected is not None:
                at_end = board.job is not None and at_rest(board.job)
                opened = service.job(board.selected, StepsAsked(STEPS, begun=not at_end, noteworthy=at_end))
            return state.refreshed(board, jobs, service.counts(self._everywhere()), opened)

        found = self._answer(read)
        if found is None:
            return
        self.board = found
        shown = [job.id for job in visible(found, self._console.height)]
        if set(shown) - self._short.keys():
            self._short = self._answer(lambda: dict(service.shortened(shown))) or self._short

    def _jobs(self) -> list[JobDocument]:
        """What is under way, the newest first, before what waits for a worker; and what has just come to rest."""
        service, now = self._session.service, time.monotonic()
        found = {job.id: job for job in service.jobs(self._meant, limit=MOST).jobs}
        if self._meant.live and len(found) == MOST:
            # So many may wait that those that run would not be among them.
            from milepost.domain.state_machine import LIVE  # only here, for it takes a moment

            active = tuple(status.value for status in LIVE if status != PENDING)
            running = replace(self._meant, live=False, statuses=active)
            found |= {job.id: job for job in service.jobs(running, limit=MOST).jobs}
        rest: dict[str, tuple[float, JobDocument]] = {}
        for job_id in self._watched() - found.keys() if self._meant.live else ():
            # Asked for once: nothing happens to it any more, unless it is resumed and so among those that are live.
            at, job = self._rest.get(job_id) or (now, self._found(job_id))
            # One that is not at rest has only been crowded out by newer ones.
            if job and at_rest(job) and now < at + LINGER_SECONDS:
                rest[job_id] = at, job
        self._rest = rest
        found |= {job_id: job for job_id, (_, job) in rest.items()}
        return sorted(found.values(), key=lambda job: (job.status != PENDING, job.id), reverse=True)

    def _found(self, job_id: str) -> JobDocument | None:
        try:
            return self._session.service.job(job_id)
        except Exception as error:
            problem = problem_of(error)
            if problem is None or problem.code != NOT_FOUND:
                raise
            return None

    def _watched(self) -> set[str]:
        """What was to be seen, and what has come to rest here."""
        return {job.id for job in visible(self.board, self._console.height)} | self._rest.keys()

    def _everywhere(self) -> JobFilter:
        """The counts are of all statuses."""
        return replace(self._meant, statuses=(), live=False)

    def _obey(self) -> None:
        order = self.board.order
        if order is not None:
            self.board = self._carried_out(replace(self.board, order=None), order)

    def _carried_out(self, board: Board, order: Order) -> Board:
        try:
            change = Change(order.command, order.reason, if_version=order.version)
            self._rest.pop(order.job_id, None)  # it will not be as it was
            result = self._session.service.change(order.job_id, change)
        except Exception as error:
            if (problem := problem_of(error)) is None:
                raise
            return state.told(board, f"{problem.message}. {problem.suggestion}".rstrip(". "), bad=True)
        if result.status in UNDER_WAY.values():
            return state.told(board, f"{order.job_id} is {result.status}: its steps come to rest at their checkpoints")
        return state.told(board, result.message)

    def _answer(self, ask: Callable[[], T]) -> T | None:
        """What it gives; None while the database or the server is away, which is said, and the last picture stays."""
        try:
            found = ask()
        except UNAVAILABLE as error:
            self.board, self._trouble = state.told(self.board, str(error), bad=True), True
            return None
        if self._trouble:
            self.board, self._trouble = state.told(self.board, "It answers again"), False
        return found

    def _draw(self) -> None:
        drawn = picture(self.board, self._console, bootstrap.now(), self._short, keys=self._keys.is_heard)
        self._live.update(drawn, refresh=True)
