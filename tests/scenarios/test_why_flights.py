"""Flights are imported through a stall, a stop, a kill and a takeover: `jobs why` tells it as a person would."""

import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from rich.console import Console

from milepost.domain.why.seen import Lease, Seen
from milepost.infrastructure.event_store.explaining import Explaining
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.interfaces.cli.jobs.why import why_view
from milepost.interfaces.documents import from_json
from milepost.interfaces.why.document import why_document
from milepost.interfaces.why_documents import WhyDocument
from tests.length import kinds
from tests.postgres import drop_database, fresh_database
from tests.scenarios.workshop import FULL, Row, WorkerProcess, Workshop, eventually, tell

MONTHS: Final = list(range(1, 13)) if FULL else [1]
DAYS: Final = 80 if FULL else 7  # that a worker imports before it is looked at
PAGE: Final = Path(__file__).parents[2] / "docs" / "why.md"
LONG_LEASE: Final = 3_600.0  # of a worker that stands still while it is looked at, however long that takes
SOON: Final = timedelta(seconds=2)
LATER: Final = timedelta(seconds=12)  # more than the default lease: by then the worker itself counts as gone
MOMENTS: Final = {  # because, the events of the chain
    "no worker is there": ("waits", ["JobStarted"]),
    "only a worker for other types is there": ("waits", ["JobStarted"]),
    "it runs": ("runs", ["JobStarted", "JobClaimed"]),
    "it has stalled": ("stalled", ["JobStarted", "JobClaimed"]),
    "it is being stopped": ("comes-to-rest", ["JobStopRequested"]),
    "it is stopped": ("stopped", ["JobStopRequested", "JobStopped"]),
    "it was resumed": ("runs", ["JobResumed", "JobClaimed"]),
    "its worker was killed": ("worker-silent", ["JobResumed", "JobClaimed"]),
    "its lease has run out": ("worker-lost", ["JobResumed", "JobClaimed"]),
    "another worker took it over": ("runs", ["JobResumed", "JobClaimed"]),
}


@pytest.fixture(params=kinds("file", "server", short=["file"]))  # the rows that it reads are tested on both
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    url = fresh_database() if request.param == "server" else None
    made = Workshop(tmp_path, url=url)
    try:
        yield made
    finally:
        made.close()
        if url:
            drop_database(url)


def test_why_says_at_ten_moments_of_an_import_what_its_page_shows(shop: Workshop) -> None:
    story = Import(shop)

    found = dict(story.happens())

    assert {name: (why.because, [each.event for each in why.chain]) for name, why in found.items()} == MOMENTS
    told = [f"{name}\n{as_people_see(why)}" for name, why in found.items()]
    assert [in_general(each) for each in told] == [in_general(each) for each in shown()]
    taken = found["another worker took it over"].chain[-1]
    assert taken.actor != taken.lease_lost_by == found["it was resumed"].chain[-1].actor
    assert story.ends()["sentence"].endswith(f"all {story.days} steps succeeded.")


class Import:
    """One import, and what is done to it. Who works is frozen while that is looked at: a day takes less time."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._explaining = Explaining(shop.store.database, JobQueries(shop.store.database))
        self._queries = JobQueries(shop.store.database)
        self._job = UUID(int=0)
        self._numbers = count(1)

    @property
    def days(self) -> int:
        return int(self._row()["total"])

    def happens(self) -> Iterator[tuple[str, WhyDocument]]:
        """Each moment by its name."""
        shop = self._shop
        self._job = UUID(
            self._asked("start", "import-flights", "--set", f"months={MONTHS}", "-q", "-o", "plain").strip()
        )
        yield self._asked_for("no worker is there")
        other = shop.worker("--types", "self-test", lease_seconds=LONG_LEASE)
        eventually(lambda: "knows the job type" in self._seen().waits.text, "it is there")  # type: ignore[union-attr]
        yield self._asked_for("only a worker for other types is there")
        self._leaves(other)
        worker = self._at_work(DAYS, LONG_LEASE)
        running = self._looked_at("it runs", self._last_sign() + SOON)
        yield running
        yield self._looked_at("it has stalled", self._last_sign() + very_long(running[1]))
        self._asked("stop", str(self._job), "--no-wait", "--reason", "deploying")
        yield self._looked_at("it is being stopped", self._seen().story[-1].recorded_at + SOON)
        worker.wake()
        shop.until_status(self._job, "Stopped")
        self._leaves(worker)
        yield self._asked_for("it is stopped")
        self._asked("resume", str(self._job), "--reason", "deployed")
        yield from self._killed_and_taken_over(self._at_work(DAYS, None))

    def _killed_and_taken_over(self, worker: WorkerProcess) -> Iterator[tuple[str, WhyDocument]]:
        worker.kill()
        yield self._looked_at("it was resumed", self._last_sign() + SOON)
        lease = self._lease()
        assert lease.ends_at is not None
        yield self._looked_at("its worker was killed", lease.ends_at - SOON)
        yield self._looked_at("its lease has run out", lease.ends_at + LATER)
        self._shop.until_its_lease_is_over(self._job)
        self._last = self._at_work(1, LONG_LEASE)
        yield self._looked_at("another worker took it over", self._last_sign() + SOON)

    def ends(self) -> Any:
        """What is said when all is done."""
        self._last.wake()
        self._shop.until_status(self._job, "CompletedSuccessfully")
        return self._document()

    # -- what is done

    def _asked(self, *words: str) -> str:
        reason = () if "--reason" in words else ("--reason", "the flight figures")
        done = self._shop.milepost("jobs", *words, *reason)
        assert done.code == 0, done
        return done.out

    def _at_work(self, days: int, lease_seconds: float | None) -> WorkerProcess:
        """A worker that has imported so many days more, and stands still in the middle of another one."""
        worker = self._shop.worker(lease_seconds=lease_seconds)
        for imported in count(self._shop.row(self._job).succeeded + days):
            self._imports(worker, imported)
            self._shop.freeze(worker)
            if self._shop.row(self._job).running and self._lease().holds:
                break
            worker.wake()
        return worker

    def _imports(self, worker: WorkerProcess, days: int) -> None:
        def imported(row: Row) -> bool:
            assert worker.runs, worker.says
            return row.succeeded >= days

        self._shop.until(self._job, imported, f"{days} days imported")

    @staticmethod
    def _leaves(worker: WorkerProcess) -> None:
        """It hands back what it has."""
        worker.send(signal.SIGTERM)
        assert worker.ended() == 0

    # -- what is seen

    def _asked_for(self, name: str) -> tuple[str, WhyDocument]:
        """By a command, as nothing is under way that would be other by the time it answers."""
        return self._told(name, from_json(WhyDocument, self._document()))

    def _document(self) -> Any:
        done = self._shop.milepost("jobs", "why", str(self._job))
        assert done.code == 0, done
        return done.json

    def _looked_at(self, name: str, at: datetime) -> tuple[str, WhyDocument]:
        """In this process, as it is then, so that it takes no time: whoever works is frozen, or gone."""
        return self._told(name, why_document(self._seen(at)))

    def _told(self, name: str, why: WhyDocument) -> tuple[str, WhyDocument]:
        tell(f"## {next(self._numbers)}. {name.capitalize()}\n\n```text\n{as_people_see(why)}```\n")
        return name, why

    def _row(self) -> Any:
        return self._queries.job("Default", str(self._job))

    def _seen(self, at: datetime | None = None) -> Seen:
        return self._explaining.seen(self._row(), at or datetime.now(UTC), "")

    def _lease(self) -> Lease:
        found = self._seen().lease
        assert found is not None
        return found

    def _last_sign(self) -> datetime:
        """When something was last heard of the job or its worker."""
        seen = self._seen()
        begun = (each.started_at for each in seen.at_work)
        answered = seen.lease.answered_at if seen.lease else None
        return max(each for each in (seen.advanced_at, answered, *begun) if each is not None)


def very_long(running: WhyDocument) -> timedelta:
    """A silence that nobody takes for a usual one."""
    pace = running.pace
    assert pace is not None
    assert pace.usual_seconds is not None
    return timedelta(seconds=max(20, 20 * pace.usual_seconds, 4 * (pace.longest_seconds or 0)))


def as_people_see(why: WhyDocument) -> str:
    """What `jobs why` writes on a terminal that is wide."""
    out = StringIO()
    Console(file=out, width=160).print(why_view(why))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def shown() -> list[str]:
    """The moments on the page, each with its name."""
    page = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^## \d+\. (.*?)\n\n```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [f"{name[0].lower()}{name[1:]}\n{text}" for name, text in found]


def in_general(text: str) -> str:
    """The words, without what differs from run to run: names, numbers, durations, days, and where lines break."""
    for what, pattern in DIFFERS.items():
        text = re.sub(pattern, what, text)
    return " ".join(text.split())


DIFFERS: Final = {
    # Whoever is frozen between a day's transaction and its end has imported it all.
    "": r" at (its checkpoint, )?\d[\d,]*/\d[\d,]*\s+flights|,\s+\d[\d,]*/\d[\d,]*\s+flights| at its\s+checkpoint",
    "WHEN": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "DAY": r"\d{4}-\d\d-\d\d",
    "ID": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "WORKER": r"\S+:\d+:[0-9a-f]{6}",
    "SOMEBODY": r"\S+@\S+",
    "it advances": r"it advances, more slowly than before",
    "TIME": r"\d[\d.,]* (min \d+ s|h \d+ min|s)\b",
    "N UNIT/TIME": r"\d[\d.,]* \w+/[sh]\b",
    "N": r"\d[\d.,]*\b",
}
