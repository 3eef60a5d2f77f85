"""Flights are imported through a stop, a kill and a takeover: at ten moments `jobs why` says what a person would."""

import re
import signal
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from rich.console import Console

from milepost.infrastructure.event_store.schema import leases
from milepost.interfaces.cli.jobs.why import why_view
from milepost.interfaces.documents import from_json
from milepost.interfaces.why_documents import WhyDocument
from tests.scenarios.workshop import FULL, WorkerProcess, Workshop, eventually, tell

MONTHS: Final = list(range(1, 13)) if FULL else [1]
PAGE: Final = Path(__file__).parents[2] / "docs" / "why.md"
LONG_LEASE: Final = 3_600.0  # of a worker that stands still while it is looked at, however long that takes
DAYS: Final = 7  # that each worker imports before it is looked at


def test_why_says_at_ten_moments_of_an_import_what_its_page_shows(workshop: Workshop) -> None:
    moments = Import(workshop)

    found = [moments.told(*each) for each in moments.happen()]

    assert [in_general(each["sentence"]) for each in found] == [in_general(each) for each in shown()]
    assert [each["because"] for each in found] == [
        *("waits", "waits", "runs", "comes-to-rest", "stopped"),
        *("runs", "worker-lost", "runs", "waits", "completed"),
    ]
    chains = [[each["event"] for each in document["chain"]] for document in found]
    assert chains == [
        ["JobStarted"],
        ["JobStarted"],
        ["JobStarted", "JobClaimed"],
        ["JobStopRequested"],
        ["JobStopRequested", "JobStopped"],
        ["JobResumed", "JobClaimed"],
        ["JobResumed", "JobClaimed"],
        ["JobResumed", "JobClaimed"],
        ["JobResumed", "JobReleased"],
        ["JobResumed", "JobCompleted"],
    ]
    [lost] = [each for each in found[7]["chain"] if each["leaseLostBy"]]
    assert lost["actor"] != lost["leaseLostBy"] == found[6]["chain"][-1]["actor"]


class Import:
    """One import, and what is done to it. Who works is frozen while that is looked at: a day takes less time."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._job = UUID(int=0)
        self._days = 0

    def happen(self) -> Iterator[tuple[int, str]]:
        """Up to each moment, and its name."""
        shop = self._workshop
        started = shop.milepost(
            *("jobs", "start", "import-flights", "--set", f"months={MONTHS}", "--reason", "the January figures"),
            *("-q", "-o", "plain"),
        )
        self._job = UUID(started.out.strip())
        yield 1, "no worker is there"
        other = self._for_another_type()
        yield 2, "only a worker that knows other types"
        self._leave(other)
        worker = self._at_work()
        yield 3, "running"
        assert shop.milepost("jobs", "stop", str(self._job), "--no-wait", "--reason", "deploying").code == 0
        yield 4, "being stopped"
        worker.wake()
        shop.until_status(self._job, "Stopped")
        yield 5, "stopped"
        self._leave(worker)
        assert shop.milepost("jobs", "resume", str(self._job), "--reason", "deployed").code == 0
        worker = self._at_work()
        yield 6, "running again"
        yield from self._killed_and_taken_over(worker)

    def _killed_and_taken_over(self, worker: WorkerProcess) -> Iterator[tuple[int, str]]:
        shop = self._workshop
        worker.wake()
        worker.kill()
        self._let_its_lease_end()
        yield 7, "its worker was killed"
        worker = self._at_work()
        yield 8, "taken over"
        worker.wake()
        self._leave(worker)
        yield 9, "handed back"
        shop.worker()
        shop.until_status(self._job, "CompletedSuccessfully")
        yield 10, "completed"

    def _let_its_lease_end(self) -> None:
        """As it would by itself, much later."""
        ended = leases.update().where(leases.c.job_id == str(self._job)).values(expires_at=time.time())
        with self._workshop.store.database.write() as connection:
            connection.execute(ended)

    @staticmethod
    def _leave(worker: WorkerProcess) -> None:
        """It hands back what it has."""
        worker.send(signal.SIGTERM)
        assert worker.ended() == 0

    def told(self, moment: int, name: str) -> dict[str, Any]:
        document: dict[str, Any] = self._workshop.milepost("jobs", "why", str(self._job)).json
        tell(f"## {moment}. {name}\n\n```text\n{as_people_see(document)}```\n")
        return document

    def _for_another_type(self) -> WorkerProcess:
        worker = self._workshop.worker("--types", "self-test")

        def refuses() -> bool:
            return "know" in str(self._workshop.milepost("jobs", "get", str(self._job)).json["waiting"])

        eventually(refuses, "it is there, and has seen the job")
        return worker

    def _at_work(self) -> WorkerProcess:
        """A worker that has imported so many days more, and stands still in the middle of another one."""
        worker = self._workshop.worker(lease_seconds=LONG_LEASE)
        self._days = self._workshop.row(self._job).succeeded + DAYS
        while True:
            self._workshop.until(self._job, lambda row: row.succeeded >= self._days, f"{self._days} days imported")
            self._workshop.freeze(worker)
            if self._workshop.row(self._job).running:
                return worker
            worker.wake()
            self._days += 1


def as_people_see(document: dict[str, Any]) -> str:
    """What `jobs why` writes on a terminal that is wide."""
    out = StringIO()
    Console(file=out, width=160).print(why_view(from_json(WhyDocument, document)))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def shown() -> list[str]:
    """The first line of each moment on the page, which are broken there and begin behind the fence."""
    blocks = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [" ".join(re.split(r"\n  |\n(?=Pace:|Next:)", each)[0].split()) for each in blocks]


def in_general(sentence: str) -> str:
    """Without what differs from run to run: names, numbers, durations, days."""
    general = re.sub(r"\d{4}-\d{2}-\d{2}", "DAY", sentence)
    general = re.sub(r"\S+:\d+:[0-9a-f]+", "WORKER", general)
    general = re.sub(r"\S+@\S+", "SOMEBODY", general)
    general = re.sub(r"[\d.,]*\d (min \d+ s|h \d+ min|s)\b", "TIME", general)
    return re.sub(r"[\d.,]*\d", "N", general)
