"""What `milepost audit verify` tells of an event store, and how it exits."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.interfaces.conftest import Milepost


@pytest.fixture
def file(jobs: object, tmp_path: Path) -> Path:
    """Of an event store with the furniture."""
    return tmp_path / "jobs.sqlite"


def tamper(file: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(file) as connection:
        changed = connection.execute(statement, values).rowcount
    connection.close()
    assert changed == 1


def test_what_nobody_changed_is_verified(milepost: Milepost, file: Path) -> None:
    done = milepost("audit", "verify", "--all", "-o", "json")

    assert done.code == 0
    assert (done.json["verified"], done.json["different"], done.json["differences"]) == (True, 0, [])
    assert done.json["jobs"] > 5
    assert "nothing differs" in done.err


def test_a_difference_is_named_and_the_command_fails(milepost: Milepost, file: Path, ids: dict[str, str]) -> None:
    job = next(iter(ids.values()))
    tamper(file, "UPDATE milepost_jobs SET succeeded = succeeded + 7 WHERE id=?", job)

    done = milepost("audit", "verify", "--all", "-o", "json")

    assert done.code == 3
    assert (done.json["verified"], done.json["different"]) == (False, 1)
    (found,) = done.json["differences"]
    assert (found["jobId"], found["kind"], found["table"]) == (job, "row-changed", "milepost_jobs")
    assert (found["column"], found["found"]) == ("succeeded", found["expected"] + 7)


def test_an_event_that_is_missing_is_not_counted(milepost: Milepost, file: Path, ids: dict[str, str]) -> None:
    job = ids["completed"]
    whole = milepost("audit", "verify", job, "-o", "json").json["events"]
    tamper(
        file,
        "DELETE FROM milepost_events WHERE originator_id=? AND originator_version=?",
        job.replace("-", ""),
        whole,
    )

    done = milepost("audit", "verify", job, "-o", "json")

    assert done.json["differences"][0]["kind"] == "event-missing"
    assert done.json["events"] == whole - 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("verify", "--all", "--since", "1h"), "Ids, --all and --since do not go together"),
        (("verify", "--all", "01a2"), "Ids, --all and --since do not go together"),
        (("verify",), "Which jobs are to be verified?"),
        (("rebuild", "--all", "01a2"), "Ids and --all do not go together"),
        (("rebuild",), "Which jobs are to be rebuilt?"),
    ],
)
def test_what_is_meant_is_said_once(milepost: Milepost, file: Path, given: tuple[str, ...], told: str) -> None:
    refused = milepost("audit", *given, "-o", "json")

    assert refused.code == 5
    assert refused.error["message"] == told


def test_lines_are_one_for_each_difference(milepost: Milepost, file: Path, ids: dict[str, str]) -> None:
    first, second = sorted(ids.values())[:2]
    for each in (first, second):
        tamper(file, "UPDATE milepost_jobs SET type = 'other' WHERE id=?", each)

    done = milepost("audit", "verify", "--since", "2000-01-01", "-o", "jsonl")

    assert [json.loads(line)["jobId"] for line in done.out.splitlines()] == [first, second]
    assert done.code == 3
    assert milepost("audit", "verify", "--all", "-q").out.split() == [first, second]


def test_only_the_jobs_that_are_named_are_verified(milepost: Milepost, file: Path, ids: dict[str, str]) -> None:
    good, bad = sorted(ids.values())[:2]
    tamper(file, "UPDATE milepost_jobs SET type = 'other' WHERE id=?", bad)

    assert milepost("audit", "verify", good).code == 0
    assert milepost("audit", "verify", good, bad).code == 3


def test_a_whole_id_is_found_although_its_row_was_removed(milepost: Milepost, file: Path, ids: dict[str, str]) -> None:
    job = next(iter(ids.values()))
    tamper(file, "DELETE FROM milepost_jobs WHERE id=?", job)

    done = milepost("audit", "verify", job, "-o", "json")

    assert (done.code, done.json["differences"][0]["kind"]) == (3, "row-missing")


def test_an_id_of_which_nothing_is_stored_is_not_found(milepost: Milepost, file: Path) -> None:
    done = milepost("audit", "verify", "0192f0c1-2a3b-7c4d-8e5f-000102030405", "-o", "json")

    assert (done.code, done.error["error"]) == (1, "not_found")


@pytest.mark.parametrize("given", [[], ["--all", "--since", "2h"], ["--all", "0192"], ["--since", "yesterday-ish"]])
def test_what_is_to_be_verified_must_be_said(milepost: Milepost, file: Path, given: list[str]) -> None:
    assert milepost("audit", "verify", *given).code == 5


def test_it_is_not_asked_of_a_server(milepost: Milepost, file: Path) -> None:
    done = milepost("audit", "verify", "--all", "--server", "http://127.0.0.1:1")

    assert done.code == 5
    assert "not through a server" in done.err
