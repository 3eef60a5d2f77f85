"""Several workers on one PostgreSQL, which are killed, cut off, or lose their server."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from milepost.domain import events as e
from milepost.domain.commands import StartJob
from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.events import Policy
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from tests.postgres import Postgres
from tests.scenarios.hosts import FarHost, why_no_far_host
from tests.scenarios.tunnel import Tunnel, Way
from tests.scenarios.workshop import FULL, WorkerProcess, Workshop, dice, eventually, of_kind, tell

WORKERS = 4
LEASE_SECONDS = 2.0
JOBS, STEPS, SECONDS, KILLING_SECONDS = (200, 100, 0.2, 300.0) if FULL else (12, 20, 0.4, 15.0)
RESTARTS = 6 if FULL else 2
OPERATOR = Origin("somebody@somewhere", "cli")


@pytest.fixture
def server() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.end()


@pytest.fixture
def hall(server: Postgres, tmp_path: Path) -> Iterator[Workshop]:
    """A workshop on a server of its own."""
    made = Workshop(tmp_path, url=server.url)
    try:
        yield made
    finally:
        made.close()


def test_while_workers_are_killed_every_job_completes_and_nothing_is_counted_twice(hall: Workshop) -> None:
    jobs, luck = [enqueue(hall, STEPS) for _ in range(JOBS)], dice()
    workers = [start(hall) for _ in range(WORKERS)]
    deaths: dict[str, float] = {}
    ends_at = time.monotonic() + KILLING_SECONDS
    while time.monotonic() < ends_at and not all_rest(hall, jobs):
        time.sleep(luck.uniform(1, 3))
        victim = workers.pop(luck.randrange(WORKERS))
        victim.kill()
        deaths[str(victim.pid)] = time.time()
        workers.append(start(hall))
    eventually(lambda: all_rest(hall, jobs), "every job is at rest")

    histories = [hall.history(job_id) for job_id in jobs]
    for job_id in jobs:
        assert hall.checked(job_id).status is JobStatus.COMPLETED_SUCCESSFULLY
    takeovers = sorted(wait for history in histories for wait in waits_for_takeover(history, deaths))
    tell(f"{len(jobs)} jobs of {STEPS} steps, {len(deaths)} workers killed, {len(takeovers)} takeovers")
    assert takeovers, "nobody was killed in the middle of a job: nothing is shown"
    tell_distribution("from a worker's death to its successor's claim, in leases", takeovers, LEASE_SECONDS)
    assert "Traceback" not in hall.said


def test_a_server_that_is_stopped_and_started_loses_nothing_and_nobody_need_be_restarted(
    hall: Workshop, server: Postgres
) -> None:
    jobs, luck = [enqueue(hall, STEPS) for _ in range(JOBS)], dice()
    workers = [start(hall) for _ in range(WORKERS)]
    acknowledged: list[UUID] = []
    for number in range(RESTARTS):
        time.sleep(luck.uniform(1, 3))
        witness = Witness(hall)
        server.stop("immediate" if number % 2 else "fast")
        time.sleep(luck.uniform(0, 2))
        server.start()
        acknowledged += witness.ends()
    eventually(lambda: all_rest(hall, jobs + acknowledged), "every job is at rest")

    assert all(worker.runs for worker in workers)
    for job_id in jobs + acknowledged:
        assert hall.checked(job_id).status is JobStatus.COMPLETED_SUCCESSFULLY
    lost = sum(len(of_kind(hall.history(job_id), e.StepInterrupted)) for job_id in jobs)
    tell(f"{RESTARTS} restarts, {len(acknowledged)} jobs accepted meanwhile, {lost} steps interrupted")
    assert "Traceback" not in hall.said


def test_a_worker_that_is_there_before_its_server_waits_for_it(hall: Workshop, server: Postgres) -> None:
    job_id = enqueue(hall, 2)
    server.stop("fast")
    worker = start(hall)
    eventually(lambda: "Waiting until it answers" in worker.says, "it says that it waits")
    server.start()

    eventually(lambda: all_rest(hall, [job_id]), "the job is done")
    assert worker.runs


@pytest.mark.parametrize("place", [Tunnel, FarHost])
def test_a_worker_that_was_cut_off_for_longer_than_a_lease_writes_nothing_says_so_and_takes_new_work(
    hall: Workshop, server: Postgres, place: Callable[[Path], Way]
) -> None:
    if place is FarHost and (why := why_no_far_host()):
        pytest.skip(why)
    with ExitStack() as stack:
        way = stack.enter_context(place(server.folder))
        far = Workshop(hall.folder, "far", url=way.url_of(server.url), inside=way.inside)
        stack.callback(far.close)
        job_id = enqueue(hall, 120)
        cut_off = far.worker("--slots", "2", lease_seconds=LEASE_SECONDS)
        hall.until(job_id, lambda row: row.succeeded > 5, "some steps have succeeded")
        way.cut()
        successor = start(hall)
        eventually(lambda: wrote(hall, job_id, successor), "another worker has taken the job over")
        assert hall.row(job_id).status != "CompletedSuccessfully"
        way.mend()
        eventually(lambda: "lost" in cut_off.says, "it says that it has lost its job")
        successor.freeze()
        new = enqueue(hall, 3)
        hall.until_status(new, "CompletedSuccessfully")
        successor.wake()
        hall.until_status(job_id, "CompletedSuccessfully")

        history = hall.history(job_id)
        hall.checked(job_id)
        taken = next(recorded.version for recorded in of_kind(history, e.JobClaimed) if successor.wrote(recorded))
        takes = [recorded for recorded in of_kind(history, e.JobClaimed) if recorded.version > taken]
        until = takes[0].version if takes else len(history) + 1
        between = [recorded for recorded in history if taken <= recorded.version < until]
        # Where it takes the job over from the frozen one, it says so of the steps before it says that it claims it.
        own = [each for each in between if not isinstance(each.event, e.StepInterrupted)]
        assert not any(cut_off.wrote(recorded) for recorded in own)
        assert any(cut_off.wrote(recorded) for recorded in hall.history(new))
        assert cut_off.runs


class Witness:
    """Starts job after job while the server goes away and comes back; remembers which it was told were accepted."""

    def __init__(self, hall: Workshop) -> None:
        self._hall = hall
        self._over = threading.Event()
        self._accepted: list[UUID] = []
        self._thread = threading.Thread(target=self._start_jobs)
        self._thread.start()

    def ends(self) -> list[UUID]:
        self._over.set()
        self._thread.join()
        return self._accepted

    def _start_jobs(self) -> None:
        while not self._over.is_set():
            try:
                self._accepted.append(enqueue(self._hall, 2))
            except DatabaseUnavailable:
                time.sleep(0.05)
            time.sleep(0.1)


def enqueue(hall: Workshop, steps: int) -> UUID:
    request = {"steps": steps, "items": 1, "seconds": SECONDS}
    order = StartJob("Default", "self-test", request, policy=Policy(max_crashes=1000))
    return hall.store.start(order, OPERATOR)[0].id


def start(hall: Workshop) -> WorkerProcess:
    return hall.worker("--slots", "4", lease_seconds=LEASE_SECONDS)


def all_rest(hall: Workshop, jobs: list[UUID]) -> bool:
    try:
        return all(hall.row(job_id).status == "CompletedSuccessfully" for job_id in jobs)
    except DatabaseUnavailable:
        return False


def wrote(hall: Workshop, job_id: UUID, worker: WorkerProcess) -> bool:
    return any(worker.wrote(recorded) for recorded in of_kind(hall.history(job_id), e.StepStarted))


def waits_for_takeover(history: list[RecordedEvent], deaths: dict[str, float]) -> Iterator[float]:
    """Seconds from each death of a worker that held this job to the next claim."""
    holder = ""
    for recorded in history:
        if isinstance(recorded.event, e.JobReleased):
            holder = ""
        if not isinstance(recorded.event, e.JobClaimed):
            continue
        died_at = deaths.get(holder)
        if died_at is not None and recorded.recorded_at.timestamp() > died_at:
            yield recorded.recorded_at.timestamp() - died_at
        holder = recorded.origin.actor.split(":")[-2]


def tell_distribution(what: str, found: list[float], unit: float) -> None:
    at: Callable[[float], float] = lambda share: found[min(len(found) - 1, int(len(found) * share))] / unit  # noqa: E731
    tell(
        f"{what}: p50 {at(0.5):.2f}, p90 {at(0.9):.2f}, p99 {at(0.99):.2f}, max {found[-1] / unit:.2f}"
        f" (mean {statistics.mean(found):.2f} s, {len(found)} of them)"
    )
