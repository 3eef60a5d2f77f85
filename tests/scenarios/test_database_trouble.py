"""A database that cannot be written for a while, and one that does not exist yet: nothing is lost, and it says so."""

import resource
import sqlite3
import sys
from uuid import UUID

import pytest

from milepost.domain.state_machine import JobStatus
from tests.scenarios.workshop import FULL, Workshop, assert_no_succeeded_step_ran_again, claims, eventually

NOT_ONE_FRAME = 4096  # bytes that a file may have: less than a write-ahead log with one page
ROUNDS, FIRST_STARTS = (10, 4) if FULL else (1, 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prlimit, to fill another process's disk")
def test_a_worker_whose_disk_is_full_says_so_loses_nothing_and_goes_on(workshop: Workshop) -> None:
    job_id = workshop.start("self-test", steps=8, items=60, seconds=0.02)
    worker = workshop.worker("--slots", "2")
    workshop.until(job_id, lambda row: row.items > 0, "a step has reported")

    allowed = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (NOT_ONE_FRAME, allowed[1]))
    eventually(lambda: "cannot be used now" in worker.says, "it says so")
    workshop.until_its_lease_is_over(job_id)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, allowed)

    workshop.until_status(job_id, "CompletedSuccessfully")
    job = workshop.checked(job_id)
    assert job.status is JobStatus.COMPLETED_SUCCESSFULLY
    assert job.items == 8 * 60
    assert claims(workshop.history(job_id)) == [1], "nobody else was there to take it"
    assert worker.runs
    assert worker.says.count("cannot be used now") < 10, "once is enough"
    assert "Traceback" not in worker.says


@pytest.mark.skipif(not FULL, reason="takes longer than a worker waits for a lock: `make proofs`")
def test_workers_whose_database_is_locked_longer_than_their_lease_say_so_and_go_on(workshop: Workshop) -> None:
    workshop.hold()
    jobs = [workshop.note_down("noted", steps=4, items=40, seconds=0.02) for _ in range(2)]
    workers = [workshop.worker("--slots", "2") for _ in range(2)]
    for job_id in jobs:
        workshop.until(job_id, lambda row: row.items > 0, "a step has reported")

    other = sqlite3.connect(workshop.file, isolation_level=None, timeout=60)
    other.execute("BEGIN EXCLUSIVE")
    eventually(lambda: all("cannot be used now" in worker.says for worker in workers), "they say so")
    for job_id in jobs:
        workshop.until_its_lease_is_over(job_id)
    workshop.let_go()
    other.execute("ROLLBACK")
    other.close()

    for job_id in jobs:
        workshop.until_status(job_id, "CompletedSuccessfully")
        workshop.checked(job_id)
        assert_no_succeeded_step_ran_again(workshop.history(job_id), workshop.notes(job_id))
    assert all(worker.runs for worker in workers)
    assert "Traceback" not in workshop.said


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_first_starts_at_the_same_moment_on_a_new_file_are_all_accepted(workshop: Workshop, round_: int) -> None:
    del round_
    starts = [
        workshop.begin("jobs", "start", "self-test", "--set", "steps=2", "-q", "-o", "plain")
        for _ in range(FIRST_STARTS)
    ]
    done = [workshop.end(start) for start in starts]

    assert [each.code for each in done] == [0] * FIRST_STARTS, done
    ids = {each.out.strip() for each in done}
    assert ids == set(workshop.milepost("jobs", "list", "-q").json)
    assert len(ids) == FIRST_STARTS
    workshop.worker()
    for job_id in ids:
        workshop.until_status(UUID(job_id), "CompletedSuccessfully")
        workshop.checked(UUID(job_id))
