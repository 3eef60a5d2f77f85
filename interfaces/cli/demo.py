"""`milepost demo`: a real job on real data, stopped half-way and resumed, with the commands that do it."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer

from milepost.infrastructure.flights.dataset import FlightsDataMissing, locate_flights
from milepost.infrastructure.settings import DEFAULT_EVENT_STORE, DEFAULT_NAMESPACE
from milepost.interfaces.bootstrap import JobFilter
from milepost.interfaces.cli.command import command, new_app
from milepost.interfaces.cli.output import console
from milepost.interfaces.cli.session import Globals, Session
from milepost.interfaces.cli.worker_thread import WorkerThread
from milepost.interfaces.error_mapping import INVALID, OK, OUTCOMES, SERVER_ERROR, Told
from milepost.interfaces.service import Change

app = new_app()

LOOK_SECONDS: Final = 0.02
REASON: Final = "half-way, to show it"


@command(app, "demo")
def demo(
    session: Session,
    month: Annotated[int, typer.Option("--month", min=1, max=12, help="Which month of 2013 to import.")] = 1,
) -> None:
    """Import a month of real flights with a job, stop it half-way, look at it, resume it."""
    if session.given.server:
        session.only_here()
    try:
        locate_flights()
    except FlightsDataMissing as error:
        raise Told(INVALID, str(error), "Install Milepost with its extra 'flights'") from error
    folder = Path(tempfile.mkdtemp(prefix="milepost-demo-"))
    url = f"sqlite:///{folder / 'demo.sqlite'}"
    # No setting, context or file of real work may lead the demonstration to a real event store.
    for name in [name for name in os.environ if name.startswith("MILEPOST_")]:
        del os.environ[name]
    os.environ |= {
        "MILEPOST_URL": url,
        "MILEPOST_EVENT_STORE": DEFAULT_EVENT_STORE,
        "MILEPOST_NAMESPACE": DEFAULT_NAMESPACE,
        "MILEPOST_CONFIG_DIR": str(folder),
        "MILEPOST_OUTPUT": "table",
    }
    _play(month, url)


def _play(month: int, url: str) -> None:
    _say(f"Every flight that left New York in 2013-{month:02} becomes events, a step a day, in a new event store:")
    _say(f"  {url}")
    with _Operator() as operator:
        _type("jobs", "run", "import-flights", "--set", f"months=[{month}]", expect=OUTCOMES["Stopped"])
        job = operator.stopped()
    job_id = str(job)
    _say(f"Meanwhile, half-way, somebody else ran: milepost jobs stop {job_id} --reason {shlex.quote(REASON)}")
    _type("jobs", "list")
    _type("jobs", "get", job_id, "--steps", "4")
    _say("Now it goes on from there. No day is imported twice, and none is left out.")
    _type("jobs", "resume", job_id)
    _say("A worker comes along, and takes it on:")
    session = Session(Globals())
    with WorkerThread(session.app, "threads", 1, only=job):
        _type("jobs", "watch", job_id)
    _type("jobs", "list")
    _say(_imported(session))
    session.close()
    _say_what_next(url, job_id)


class _Operator:
    """Somebody at another terminal: a process of its own that stops the job when it is half done."""

    def __enter__(self) -> "_Operator":
        program = f"from {__name__} import stop_half_way; stop_half_way()"
        self._process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        self._says()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def stopped(self) -> UUID:
        """The job that it has stopped. Raises Told where it could not."""
        return UUID(self._says())

    def _says(self) -> str:
        line = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not line:
            raise Told(SERVER_ERROR, "The process that is to stop the job has ended", "The lines above say why")
        return line


def stop_half_way() -> None:
    """The other terminal: say that it is ready, wait for a job that is half done, stop it, say which."""
    session = Session(Globals())
    session.app.create()  # before the job begins
    print("ready", flush=True)  # noqa: T201
    while True:
        for job in session.service.jobs(JobFilter(), limit=1).jobs:
            if job.progress.total_steps and 2 * job.progress.successful_steps >= job.progress.total_steps:
                session.service.change(job.id, Change("stop", REASON))
                print(job.id, flush=True)  # noqa: T201
                return
        time.sleep(LOOK_SECONDS)


def _imported(session: Session) -> str:
    from milepost.infrastructure.flights.tables import flights_recorder

    recorder = flights_recorder(session.app.database, session.namespace)
    events = recorder.max_notification_id() or 0
    [job] = session.service.jobs(JobFilter(), limit=1).jobs
    return f"{job.progress.items_done:,.0f} flights are now {events:,} events of their aircraft, each exactly once."


def _say_what_next(url: str, job_id: str) -> None:
    short, program = job_id[:13], "milepost" if shutil.which("milepost") else sys.argv[0]
    _say("What to try next, on this event store (delete its folder when you are through with it):")
    for line, why in (
        (
            f"export MILEPOST_URL={url} MILEPOST_EVENT_STORE={DEFAULT_EVENT_STORE}",
            "the event store of all that follows",
        ),
        (f"{program} jobs history {short}", "everything that happened: who, when, why"),
        (f"{program} jobs run import-flights", "the other eleven months; Ctrl-C stops it, resume goes on"),
        (f"{program} worker", "in another terminal; then kill -9 it, and start it again"),
        (f"{program} jobs start self-test --set steps=1000 --set 'fail_steps=[7]'", "a job with a step that fails"),
        (f"{program} types list", "what can be started"),
    ):
        _print((f"  {line}\n", "bold"), (f"      {why}", "dim"))


def _type(*arguments: str, expect: int = OK) -> None:
    """Run a command as if it had been typed. Raises Told where it ends otherwise than it should."""
    from milepost.interfaces.cli.app import run

    shown = " ".join(["milepost", *map(shlex.quote, arguments)])
    _print(("\n$ ", "bold green"), (shown, "bold"))
    code = run(arguments)
    if code != expect:
        raise Told(SERVER_ERROR, f"'{shown}' ended with {code} instead of {expect}", "The lines above say why")


def _say(line: str) -> None:
    _print((line if line.startswith(" ") else f"\n{line}", ""))


def _print(*parts: tuple[str, str]) -> None:
    from rich.text import Text

    console(stderr=False).print(Text.assemble(*parts), soft_wrap=True)
