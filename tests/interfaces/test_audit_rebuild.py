"""`audit rebuild` starts a job, a worker makes the rows anew, and `audit verify` then finds nothing."""

import sqlite3
from pathlib import Path

import pytest

from tests.interfaces.conftest import Milepost

DAMAGES = (
    "UPDATE milepost_jobs SET succeeded = succeeded + 7, status = 'Failed' WHERE id=?",
    "DELETE FROM milepost_jobs WHERE id=?",
    "DELETE FROM milepost_status_changes WHERE job_id=?",
    "UPDATE milepost_steps SET status = 'Waiting', name = CAST(x'61ff' AS TEXT) WHERE job_id=?",
    "UPDATE milepost_jobs SET namespace = 'elsewhere' WHERE id=?",
)


@pytest.fixture
def file(jobs: object, tmp_path: Path) -> Path:
    """Of an event store with the furniture."""
    return tmp_path / "jobs.sqlite"


def tamper(file: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(statement, values)
    connection.close()


def work(milepost: Milepost) -> None:
    done = milepost("worker", "--exit-when-idle", "--types", "rebuild-read-models,verify-histories")
    assert done.code == 0, done.err


@pytest.fixture
def damaged(file: Path, ids: dict[str, str]) -> list[str]:
    """One job for each damage."""
    chosen = sorted(ids.values())[: len(DAMAGES)]
    for statement, job in zip(DAMAGES, chosen, strict=True):
        tamper(file, statement, job)
    return chosen


def test_rows_that_were_damaged_in_every_way_are_rebuilt_and_nothing_differs_then(
    milepost: Milepost, damaged: list[str]
) -> None:
    assert milepost("audit", "verify", "--all").code == 3
    job = milepost("audit", "rebuild", "--all", "--reason", "eve was here", "-q").out.strip()

    work(milepost)

    assert milepost("jobs", "wait", job).code == 0
    found = milepost("audit", "verify", "--all", "-o", "json")
    assert (found.code, found.json["differences"]) == (0, [])
    assert "eve was here" in milepost("jobs", "history", job).out


def test_an_event_store_that_is_not_there_is_not_made(call: Milepost, tmp_path: Path) -> None:
    refused = call("audit", "rebuild", "--all")

    assert refused.code == 2
    assert "there is none yet" in refused.error["message"]
    assert not list(tmp_path.glob("*.sqlite"))


def test_only_the_jobs_that_are_named_are_rebuilt_also_by_the_beginning_of_an_id(
    milepost: Milepost, file: Path, ids: dict[str, str]
) -> None:
    first, second, third = sorted(ids.values())[:3]
    for each in (first, second, third):
        tamper(file, DAMAGES[0], each)
    job = milepost("audit", "rebuild", first, milepost("jobs", "list", "-q").out.split()[-2], "-q").out.strip()

    work(milepost)

    assert milepost("jobs", "wait", job).code == 0
    assert len(milepost("audit", "verify", "--all", "-o", "json").json["differences"]) < 3


def test_a_history_that_does_not_hold_is_named_and_its_rows_stay(
    milepost: Milepost, file: Path, damaged: list[str]
) -> None:
    tamper(file, "UPDATE milepost_events SET state = '{}' WHERE originator_id=?", damaged[0].replace("-", ""))
    job = milepost("audit", "rebuild", "--all", "-q").out.strip()

    work(milepost)

    assert milepost("jobs", "wait", job).code == 10
    (step,) = milepost("jobs", "get", job, "--steps", "10", "-o", "json").json["steps"]
    assert f"of job {damaged[0]} is not what was recorded" in step["errors"][0]["message"]
    (left,) = milepost("audit", "verify", "--all", "-o", "json").json["differences"]
    assert left["jobId"] == damaged[0]


def test_that_no_worker_is_there_is_said(milepost: Milepost, file: Path) -> None:
    assert "it waits: no worker" in milepost("audit", "rebuild", "--all", "-o", "table").out


@pytest.mark.parametrize("given", [(), ("--all", "0192f0c1"), ("--all", "--timeout", "1")])
def test_what_cannot_be_meant_is_refused(milepost: Milepost, file: Path, given: tuple[str, ...]) -> None:
    assert milepost("audit", "rebuild", *given).code == 5


def test_whoever_waits_learns_that_time_is_up(milepost: Milepost, file: Path) -> None:
    assert milepost("audit", "rebuild", "--all", "--wait", "--timeout", "0.1").code == 7


def test_the_job_that_verifies_tells_what_differs(milepost: Milepost, damaged: list[str]) -> None:
    job = milepost("jobs", "start", "verify-histories", "-q").out.strip()

    work(milepost)

    assert milepost("jobs", "wait", job).code == 10
    (step,) = milepost("jobs", "get", job, "--steps", "10", "-o", "json").json["steps"]
    assert all(each in step["errors"][0]["message"] for each in damaged)


def test_what_the_newest_verification_found_is_part_of_the_diagnosis(milepost: Milepost, damaged: list[str]) -> None:
    told: list[tuple[str, bool]] = []
    for rebuilds in (False, True):
        if rebuilds:
            milepost("audit", "rebuild", "--all")
            work(milepost)
        job = milepost("jobs", "start", "verify-histories", "-q").out.strip()
        work(milepost)
        found = milepost("diagnose", "-o", "json").json["findings"]
        told += [(each["subject"], each["healthy"]) for each in found if each["area"] == "audit"]
        assert told[-1][0] == job

    assert [healthy for _, healthy in told] == [False, True]
    assert len(damaged) == len(DAMAGES)


def test_a_job_is_brought_to_life_only_where_its_history_is_trusted(milepost: Milepost, file: Path) -> None:
    assert milepost("audit", "rebuild", "--all", "--live").code == 5
