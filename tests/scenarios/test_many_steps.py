"""A job of very many steps: it completes, is looked at as cheaply as a small one, and survives kill -9."""

import sqlite3
import time
from uuid import UUID

from sqlalchemy import event

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.queries import JobQueries
from tests.scenarios.workshop import FULL, Done, Workshop, claims, of_kind, tell

STEPS = 100_000 if FULL else 5_000
DONE_WHEN_KILLED = STEPS // 2 if FULL else STEPS // 10
RUNNING_AGAIN_SECONDS = 5.0
TRIES = 5


def test_a_job_of_many_steps_survives_kill_in_the_middle_and_completes(workshop: Workshop) -> None:
    job_id, killed_at = killed_in_the_middle(workshop)
    workshop.worker()
    workshop.until_status(job_id, "CompletedSuccessfully")

    job, history = workshop.checked(job_id), workshop.history(job_id)
    assert job.status is JobStatus.COMPLETED_SUCCESSFULLY
    assert claims(history) == [1, 2]
    assert job.count(StepStatus.SUCCEEDED) == len(of_kind(history, e.StepSucceeded)) == STEPS
    claimed = of_kind(history, e.JobClaimed)[1]
    running = next(each for each in of_kind(history, e.StepStarted) if each.version > claimed.version)
    seconds = (running.recorded_at - claimed.recorded_at).total_seconds()
    others = [each for each in history[: claimed.version] if each.origin.actor != claimed.origin.actor]
    in_silence = (running.recorded_at - others[-1].recorded_at).total_seconds()
    tell(f"killed after {killed_at:,} of {STEPS:,} steps")
    tell(f"from the takeover to its first step: {seconds:.2f} s")
    tell(f"from the last word of the killed worker: {in_silence:.2f} s (a lease of 1 s, and a process that starts)")
    if FULL:  # the one proof that is about time, read from the history's own
        assert seconds <= RUNNING_AGAIN_SECONDS


def killed_in_the_middle(workshop: Workshop) -> tuple[UUID, int]:
    """A job whose worker was killed, and how many steps had succeeded. A short one may end too soon: then another."""
    for _ in range(TRIES):
        job_id = workshop.start("self-test", steps=STEPS, items=0)
        worker = workshop.worker()
        row = workshop.until(job_id, lambda row: row.succeeded >= DONE_WHEN_KILLED, "in the middle")
        worker.kill()
        row = workshop.row(job_id)
        if row.status == "Running":
            return job_id, row.succeeded
    raise AssertionError(f"{TRIES} jobs had ended before their worker could be killed")


def test_looking_at_a_job_of_many_steps_is_no_more_work_than_at_one_of_a_page_of_them(workshop: Workshop) -> None:
    small = workshop.start("self-test", steps=1_000, items=0)
    large = workshop.start("self-test", steps=STEPS, items=0)
    workshop.worker()
    for job_id in (small, large):
        workshop.until_status(job_id, "CompletedSuccessfully")

    listed = timed(workshop, "jobs", "list", "-o", "plain")
    assert len(listed.out.splitlines()) == 3
    on_screen = timed(workshop, "jobs", "get", str(large), "-o", "table")
    assert len(on_screen.out.splitlines()) < 100
    given = timed(workshop, "jobs", "get", str(large), "-o", "json")
    assert len(given.json["steps"]) == 1_000 < STEPS
    assert work(workshop, large) < 2 * work(workshop, small)


def timed(workshop: Workshop, *arguments: str) -> Done:
    """The command, and how long the whole process took: told, not judged."""
    began = time.monotonic()
    done = workshop.milepost(*arguments)
    tell(f"{' '.join(arguments)}: {time.monotonic() - began:.2f} s, {len(done.out):,} characters, {STEPS:,} steps")
    assert done.code == 0, done
    return done


def work(workshop: Workshop, job_id: UUID) -> int:
    """How many instructions SQLite's machine needs for what `list` and `get` ask of it, in hundreds."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    database = open_database(workshop.url)

    def watch(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_progress_handler(count, 100)

    event.listen(database.engine, "connect", watch)
    queries = JobQueries(database)
    queries.page("Default", limit=10)
    queries.job("Default", str(job_id))
    queries.status_changes([str(job_id)])
    queries.steps(str(job_id), limit=1_000)
    database.close()
    return counted
