"""Whatever is done to an event store behind Milepost's back is named by `audit verify`, or by it and a seal."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import jsonschema
import pytest

from milepost.infrastructure.event_store.database import Database
from milepost.interfaces.schemas import schema_of
from tests.infrastructure.audit.pruned import edit_tombstone, remove_tombstone
from tests.infrastructure.audit.stored import chain_anew, events_of, flip, forge_actor, remove, remove_job, swap, tamper
from tests.interfaces.conftest import Milepost
from tests.interfaces.furniture import Furniture

ON_ALL_STORES = True

Ids = Mapping[str, str]
Act = Callable[[Database, UUID], object]
SEAL: Final = "seal.jsonl"


def remove_newest(database: Database, job: UUID) -> None:
    remove(database, job, len(events_of(database, job)))


def forge(database: Database, job: UUID) -> None:
    forge_actor(database, job, 1, b"ann@desk", b"eve@desk")


def forge_and_cover_up(database: Database, job: UUID) -> None:
    """All that can be made anew by somebody who may write to the database."""
    forge(database, job)
    chain_anew(database, job)
    changed = "UPDATE milepost_status_changes SET actor='eve@desk' WHERE job_id=? AND version=1"
    tamper(database, changed, str(job))


def edit_row(database: Database, job: UUID) -> None:
    tamper(database, "UPDATE milepost_steps SET status='Failed' WHERE job_id=? AND step=1", str(job))


def edit_counter(database: Database, job: UUID) -> None:
    tamper(database, "UPDATE milepost_jobs SET succeeded = succeeded + 1 WHERE id=?", str(job))


# What is done; what `verify --all` calls it, and what `verify --seal` does: none where it cannot know.
DONE: Final[Mapping[str, tuple[Act, str | None, str | None]]] = {
    "a byte flipped": (lambda database, job: flip(database, job, 3), "event-changed", "event-changed"),
    "an event removed": (lambda database, job: remove(database, job, 5), "event-missing", "events-missing"),
    "the newest event removed": (remove_newest, "event-missing", "events-missing"),
    "two events swapped": (lambda database, job: swap(database, job, 4, 5), "event-moved", "events-swapped"),
    "a job removed with its rows": (remove_job, None, "job-missing"),
    "a row edited": (edit_row, "row-changed", None),
    "a counter edited": (edit_counter, "row-changed", None),
    "an actor forged": (forge, "event-changed", "event-changed"),
    "an actor forged, chain and rows made anew": (forge_and_cover_up, None, "history-replaced"),
}


def found(call: Milepost, *options: str) -> tuple[int, list[tuple[str, str]]]:
    done = call("audit", "verify", *options, "-o", "json")
    return done.code, [(each["jobId"], each["kind"]) for each in done.json["differences"]]


def expected(job: str, kind: str | None) -> tuple[int, list[tuple[str, str]]]:
    return (0, []) if kind is None else (3, [(job, kind)])


@pytest.mark.parametrize(("act", "by_itself", "by_the_seal"), DONE.values(), ids=DONE)
def test_what_was_done_is_named_rightly(
    jobs: Furniture, ids: Ids, call: Milepost, act: Act, by_itself: str | None, by_the_seal: str | None
) -> None:
    job = ids["completed"]
    assert call("audit", "seal", SEAL).code == 0
    assert found(call, "--all", "--seal", SEAL) == (0, [])

    act(jobs.database, UUID(job))

    assert found(call, "--all") == expected(job, by_itself)
    assert found(call, "--seal", SEAL) == expected(job, by_the_seal)
    both = [(job, kind) for kind in (by_itself, by_the_seal) if kind]
    assert found(call, "--all", "--seal", SEAL) == (3, both)


def test_a_job_that_was_set_back_to_an_earlier_state_is_found_by_the_seal(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    """Its newest event is gone, and all rows are what follows from the others."""
    job = ids["completed"]
    call("audit", "export", job, "earlier.jsonl")
    call("jobs", "remove", job, "--yes")
    call("audit", "seal", SEAL)
    remove_job(jobs.database, UUID(job))
    assert call("audit", "import", "earlier.jsonl").code == 0

    assert found(call, "--all") == (0, [])
    assert found(call, "--seal", SEAL) == (3, [(job, "events-missing")])


def test_pruned_jobs_are_no_difference_and_are_counted(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    call("audit", "seal", SEAL)
    call("jobs", "prune", "--all", "--status", "completedsuccessfully", "--yes")

    done = call("audit", "verify", "--all", "--seal", SEAL, "-o", "json")

    assert (done.code, done.json["pruned"], done.json["seal"]["pruned"]) == (0, 1, 1)
    assert "and 1 tombstone: nothing differs" in done.err
    assert ", 1 of them pruned: nothing sealed is missing or changed" in done.err
    again = call("audit", "seal", "again.jsonl", "-o", "json").json[0]
    assert (again["jobs"], again["pruned"]) == (9, 1)


TOMBSTONES: Final[Mapping[str, tuple[Act, tuple[str | None, str, str]]]] = {
    "removed": (remove_tombstone, (None, "job-missing", "tombstone-missing")),
    "of another history": (
        lambda database, job: edit_tombstone(database, job, head="0" * 64),
        (None, "tombstone-false", "tombstone-changed"),
    ),
    "without a head": (
        lambda database, job: edit_tombstone(database, job, head=None),
        ("tombstone-false", "tombstone-false", "tombstone-changed"),
    ),
}


@pytest.mark.parametrize(("act", "kinds"), TOMBSTONES.values(), ids=TOMBSTONES)
def test_a_tombstone_that_was_tampered_with_is_named_rightly(
    jobs: Furniture, ids: Ids, call: Milepost, act: Act, kinds: tuple[str | None, str, str]
) -> None:
    job = ids["completed"]
    call("audit", "seal", "before.jsonl")
    call("jobs", "prune", "--all", "--status", "completedsuccessfully", "--yes")
    call("audit", "seal", "after.jsonl")

    act(jobs.database, UUID(job))

    for options, kind in zip((("--all",), ("--seal", "before.jsonl"), ("--seal", "after.jsonl")), kinds, strict=True):
        assert found(call, *options) == expected(job, kind)


def test_the_actor_of_a_prune_that_was_edited_is_found_by_a_later_seal(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    call("jobs", "prune", "--all", "--status", "completedsuccessfully", "--yes")
    call("audit", "seal", SEAL)
    edit_tombstone(jobs.database, UUID(ids["completed"]), actor="eve@desk")

    assert found(call, "--all") == (0, [])
    assert found(call, "--seal", SEAL) == (3, [(ids["completed"], "tombstone-changed")])


def test_a_pruned_job_of_a_past_moment_is_said_to_be_pruned(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    call("jobs", "prune", "--all", "--status", "completedsuccessfully", "--reason", "tidy", "--yes")

    for moment in (("--version", "1"), ("--at", "2001-01-01")):
        asked = call("jobs", "get", ids["completed"], *moment, "-o", "json")
        assert (asked.code, asked.error["error"]) == (1, "not_found")
        assert asked.error["message"].endswith(": tidy")


def test_differences_are_told_in_every_format(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    call("audit", "seal", SEAL)
    remove_job(jobs.database, UUID(ids["completed"]))

    def told(*options: str) -> str:
        done = call("audit", "verify", "--seal", SEAL, *options)
        assert done.code == 3
        return done.out

    document: Any = json.loads(told("-o", "json"))
    jsonschema.validate(document, schema_of("verification"))
    (difference,) = document["differences"]
    assert json.loads(told("-o", "jsonl")) == difference
    (row,) = csv.DictReader(io.StringIO(told("-o", "csv")))
    assert (row["Job"], row["Kind"], row["Version"]) == (ids["completed"], "job-missing", "1")
    assert row["LastVersion"] == str(difference["lastVersion"])
    assert len(told("-o", "plain").splitlines()) == 2
    assert told("-o", "table").startswith(f"Job {ids['completed']} is not there any more: events 1 to ")
    assert told("-q").strip() == ids["completed"]


def test_a_seal_that_was_altered_is_refused_before_anything_is_looked_at(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    call("audit", "seal", SEAL)
    whole = Path(SEAL).read_text()
    remove_job(jobs.database, UUID(ids["completed"]))
    first, head, *rest = whole.splitlines(keepends=True)
    cases = {
        "the seal was altered": "".join([first, head.replace('"version":', '"version":1'), *rest]),
        "the file was cut off": "".join([first, head]),
        "it is no milepost-seal": "",
    }
    for said, altered in cases.items():
        Path(SEAL).write_text(altered)
        done = call("audit", "verify", "--all", "--seal", SEAL, "-o", "json")
        assert (done.code, done.out, done.error["error"]) == (5, "", "validation_error")
        assert said in done.error["message"]


def test_a_seal_of_another_event_store_is_said_to_be_one(jobs: Furniture, call: Milepost) -> None:
    call("audit", "seal", SEAL)
    Path(SEAL).write_text(Path(SEAL).read_text().replace('"eventStore":"default"', '"eventStore":"other"', 1))

    done = call("audit", "verify", "--seal", SEAL, "-o", "json")

    assert (done.code, done.json["seal"]["eventStore"]) == (0, "other")
    assert "The seal is of event store other, and this one is default" in done.err


@pytest.mark.parametrize("more", [("--since", "2h"), ("0192f0c1",)])
def test_a_seal_is_held_against_the_whole_event_store(jobs: Furniture, call: Milepost, more: tuple[str, ...]) -> None:
    done = call("audit", "verify", "--seal", SEAL, *more)

    assert (done.code, "of the whole event store" in done.err) == (5, True)
