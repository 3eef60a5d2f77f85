"""What was changed behind Milepost's back is found and named; what was not, never."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from milepost.domain.commands import ReportProgress, StartStep
from milepost.domain.events import Progress
from milepost.domain.job import Job
from milepost.infrastructure.audit import lately, verifying
from milepost.infrastructure.audit.differences import Difference, Kind
from milepost.infrastructure.audit.verifying import NothingStored, Verifier
from milepost.infrastructure.event_store import snapshots
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.audit.stored import (
    chain_anew,
    events_of,
    flip,
    forge_actor,
    remove,
    renumber,
    set_state,
    swap,
    tamper,
)
from tests.infrastructure.event_store.scene import Scene, Surroundings

EVENTS = "milepost_events"


def differences(scene: Scene) -> list[Difference]:
    return list(Verifier(scene.store.database).all())


def only(scene: Scene) -> Difference:
    (found,) = differences(scene)
    return found


def told(found: Difference) -> tuple[Any, ...]:
    return found.kind, found.table, found.row, found.column, found.found, found.expected


@pytest.fixture
def job(scene: Scene) -> Job:
    """One between two others, with a step that succeeded, one that runs, and one that waits; at version 8."""
    scene.completed()
    job = scene.succeed(scene.running(steps=3), 0)
    job = scene.do(job, StartStep(job.claim, 1), ReportProgress(job.claim, 1, 1, Progress(done=2, message="Zürich")))
    scene.stop(scene.start().id)
    return scene.store.load(job.id)


def test_what_nobody_changed_does_not_differ(scene: Scene, job: Job) -> None:
    verifier = Verifier(scene.store.database)

    assert list(verifier.all()) == []
    assert (verifier.tally.jobs, verifier.tally.different) == (3, 0)
    assert verifier.tally.events == 7 + job.version + 3


def test_a_flipped_byte_is_found_in_its_event(scene: Scene, job: Job) -> None:
    database = scene.store.database
    for version in range(1, job.version + 1):
        state = events_of(database, job.id)[version - 1][2]
        flip(database, job.id, version)

        found = only(scene)

        assert (found.job_id, found.version) == (str(job.id), version)
        assert (found.kind, found.table, found.column) == (Kind.EVENT_CHANGED, EVENTS, "state")
        set_state(database, job.id, version, state)
    assert differences(scene) == []


def test_a_removed_event_is_found_as_a_gap(scene: Scene, job: Job) -> None:
    remove(scene.store.database, job.id, 5)

    assert told(only(scene)) == (Kind.EVENT_MISSING, EVENTS, "5", "originator_version", 6, 5)
    assert only(scene).version == 5


def test_a_removed_event_is_found_also_where_those_behind_it_were_moved_up(scene: Scene, job: Job) -> None:
    remove(scene.store.database, job.id, 5)
    for version in range(6, job.version + 1):
        renumber(scene.store.database, job.id, version, version - 1)

    assert (only(scene).kind, only(scene).version) == (Kind.EVENT_CHANGED, 5)


def test_the_newest_event_is_missed_because_the_lists_know_of_it(scene: Scene, job: Job) -> None:
    remove(scene.store.database, job.id, job.version)

    found = only(scene)

    assert (found.kind, found.version) == (Kind.EVENT_MISSING, job.version)
    assert f"milepost_jobs knows of version {job.version}" in found.message


def test_two_swapped_events_are_found_as_moved(scene: Scene, job: Job) -> None:
    swap(scene.store.database, job.id, 5, 7)

    assert told(only(scene)) == (Kind.EVENT_MOVED, EVENTS, "5", "originator_version", 7, 5)


def test_two_events_whose_bytes_were_swapped_are_found_as_moved(scene: Scene, job: Job) -> None:
    database = scene.store.database
    (_, topic, state, _), (_, other_topic, other_state, _) = (events_of(database, job.id)[at] for at in (4, 5))
    for version, *values in ((5, other_topic, other_state), (6, topic, state)):
        tamper(
            database,
            f"UPDATE {EVENTS} SET topic=?, state=? WHERE originator_id=? AND originator_version=?",
            *values,
            job.id.hex,
            version,
        )

    assert told(only(scene)) == (Kind.EVENT_MOVED, EVENTS, "5", "originator_version", 6, 5)


def test_a_forged_actor_is_found_in_its_event(scene: Scene, job: Job) -> None:
    database = scene.store.database
    forge_actor(database, job.id, 1, b"ada@engine", b"eve@engine")
    tamper(database, "UPDATE milepost_status_changes SET actor='eve@engine' WHERE job_id=? AND version=1", str(job.id))

    found = only(scene)

    assert (found.kind, found.version, found.column) == (Kind.EVENT_CHANGED, 1, "state")
    assert "eve@engine" in found.message


def test_a_forged_actor_in_the_list_alone_is_found_there(scene: Scene, job: Job) -> None:
    tamper(
        scene.store.database,
        "UPDATE milepost_status_changes SET actor='eve@engine' WHERE job_id=? AND version=1",
        str(job.id),
    )

    assert told(only(scene)) == (Kind.ROW_CHANGED, "milepost_status_changes", "1", "actor", "eve@engine", "ada@engine")


def test_another_topic_is_named_with_what_it_was(scene: Scene, job: Job) -> None:
    tamper(
        scene.store.database,
        f"UPDATE {EVENTS} SET topic='milepost:StepStopped' WHERE originator_id=? AND originator_version=6",
        job.id.hex,
    )

    expected = (Kind.EVENT_CHANGED, EVENTS, "6", "topic", "milepost:StepStopped", "milepost:StepSucceeded")
    assert told(only(scene)) == expected


def test_a_link_that_was_changed_is_not_taken_for_a_changed_event(scene: Scene, job: Job) -> None:
    database = scene.store.database
    right = events_of(database, job.id)[4][3]
    assert right is not None
    for wrong in (bytes(32), None):
        tamper(
            database,
            f"UPDATE {EVENTS} SET chain=? WHERE originator_id=? AND originator_version=5",
            wrong,
            job.id.hex,
        )

        shown = wrong and wrong.hex()
        assert told(only(scene)) == (Kind.LINK_CHANGED, EVENTS, "5", "chain", shown, right.hex())


COUNTERS = [
    "pending",
    "running",
    "waiting",
    "succeeded",
    "failed",
    "stopped",
    "cancelled",
    "total",
    "claim",
    "priority",
]


@pytest.mark.parametrize("column", COUNTERS)
def test_an_edited_counter_is_found_in_its_column(scene: Scene, job: Job, column: str) -> None:
    tamper(scene.store.database, f"UPDATE milepost_jobs SET {column} = {column} + 1 WHERE id=?", str(job.id))

    found = only(scene)

    assert (found.kind, found.table, found.column) == (Kind.ROW_CHANGED, "milepost_jobs", column)
    assert isinstance(found.expected, int)
    assert found.found == found.expected + 1


EDITS = [
    ("milepost_jobs SET status='Failed' WHERE id=?", "status", "Failed", "Running"),
    ("milepost_jobs SET version=99 WHERE id=?", "version", 99, 8),
    ("milepost_jobs SET namespace='Other' WHERE id=?", "namespace", "Other", "Default"),
    ("milepost_jobs SET error='{}' WHERE id=?", "error", "{}", None),
    ("milepost_steps SET status='Failed' WHERE job_id=? AND step=0", "status", "Failed", "Succeeded"),
    ("milepost_steps SET attempt=7 WHERE job_id=? AND step=1", "attempt", 7, 1),
    ("milepost_steps SET seconds=7.5 WHERE job_id=? AND step=0", "seconds", 7.5, 0.5),
    ("milepost_steps SET progress=NULL WHERE job_id=? AND step=1", "progress", None, None),
    ("milepost_status_changes SET status='Failed' WHERE job_id=? AND version=4", "status", "Failed", "Running"),
    ("milepost_status_changes SET reason='' WHERE job_id=? AND version=1", "reason", "", "because"),
]


@pytest.mark.parametrize(("edit", "column", "found", "expected"), EDITS)
def test_an_edited_row_is_found_in_its_column(
    scene: Scene, job: Job, edit: str, column: str, found: Any, expected: Any
) -> None:
    tamper(scene.store.database, f"UPDATE {edit}", str(job.id))

    difference = only(scene)

    assert (difference.kind, difference.column, difference.found) == (Kind.ROW_CHANGED, column, found)
    assert difference.table == edit.split()[0]
    assert difference.expected == expected or "Zürich" in str(difference.expected)


def test_rows_that_were_removed_are_missed(scene: Scene, job: Job) -> None:
    for table, where, key in (
        ("milepost_jobs", "id=?", str(job.id)),
        ("milepost_steps", "job_id=? AND step=1", "1"),
        ("milepost_status_changes", "job_id=? AND version=4", "4"),
    ):
        tamper(scene.store.database, f"DELETE FROM {table} WHERE {where}", str(job.id))

        assert (only(scene).kind, only(scene).table, only(scene).row) == (Kind.ROW_MISSING, table, key)


def test_rows_that_no_event_speaks_of_are_found(scene: Scene, job: Job) -> None:
    copied = "job_id, {}, name, arguments, status, attempt, progress, errors, started_at, ended_at, seconds, retry_at"
    tamper(
        scene.store.database,
        f"INSERT INTO milepost_steps SELECT {copied.format(9)} FROM milepost_steps WHERE job_id=? AND step=0",
        str(job.id),
    )

    assert told(only(scene)) == (Kind.ROW_UNFOUNDED, "milepost_steps", "9", "step", 9, None)


def test_a_job_without_a_history_is_found_by_its_rows(scene: Scene, job: Job) -> None:
    tamper(scene.store.database, f"DELETE FROM {EVENTS} WHERE originator_id=?", job.id.hex)

    found = only(scene)

    assert told(found) == (Kind.ROW_UNFOUNDED, "milepost_jobs", str(job.id), "id", str(job.id), None)
    assert found.job_id == str(job.id)


def test_a_job_that_was_forged_into_the_list_is_found(scene: Scene, job: Job) -> None:
    columns = {"id": "'forged'"}
    from milepost.infrastructure.event_store.schema import jobs

    values = ", ".join(columns.get(name, f'"{name}"') for name in jobs.c.keys())  # noqa: SIM118
    tamper(
        scene.store.database, f"INSERT INTO milepost_jobs SELECT {values} FROM milepost_jobs WHERE id=?", str(job.id)
    )

    assert (only(scene).job_id, only(scene).kind) == ("forged", Kind.ROW_UNFOUNDED)


def test_an_event_that_cannot_happen_is_found_also_where_the_chain_was_made_anew(scene: Scene, job: Job) -> None:
    database = scene.store.database
    state = events_of(database, job.id)[6][2]
    set_state(database, job.id, 7, state.replace(b'"step":1', b'"step":0'))  # starts a step that has succeeded
    chain_anew(database, job.id)

    found = only(scene)

    assert (found.kind, found.version, found.column) == (Kind.EVENT_IMPOSSIBLE, 7, "topic")
    assert "step 0 (Succeeded)" in found.message


def test_an_event_that_cannot_be_read_is_found_also_where_the_chain_was_made_anew(scene: Scene, job: Job) -> None:
    set_state(scene.store.database, job.id, 6, b'{"meta":{}}')
    chain_anew(scene.store.database, job.id)

    assert (only(scene).kind, only(scene).version) == (Kind.EVENT_UNREADABLE, 6)


def test_what_was_appended_to_a_changed_history_does_not_hide_the_change(scene: Scene, job: Job) -> None:
    flip(scene.store.database, job.id, 6)
    scene.do(job, StartStep(job.claim, 2))

    assert (only(scene).kind, only(scene).version) == (Kind.EVENT_CHANGED, 6)


def test_each_job_that_differs_is_told_once_and_the_others_are_looked_at(scene: Scene, job: Job) -> None:
    others = [scene.completed() for _ in range(5)]
    for each in (job, others[1], others[4]):
        flip(scene.store.database, each.id, 2)
        tamper(scene.store.database, "UPDATE milepost_jobs SET total = 77 WHERE id=?", str(each.id))
    verifier = Verifier(scene.store.database)

    found = list(verifier.all())

    assert [each.job_id for each in found] == sorted(str(each.id) for each in (job, others[1], others[4]))
    assert (verifier.tally.jobs, verifier.tally.different) == (8, 3)


def test_a_store_is_verified_in_many_reads_as_in_one(scene: Scene, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    tamper(scene.store.database, "UPDATE milepost_jobs SET total = 77 WHERE id=?", str(job.id))
    whole = differences(scene)
    parts = list[int]()
    monkeypatch.setattr(verifying, "EVENTS_OF_A_READ", 1)

    found = list(Verifier(scene.store.database, lambda tally: parts.append(tally.events)).all())

    assert found == whole
    assert len(parts) == 3


def test_a_job_that_goes_on_while_it_is_verified_is_not_found_to_differ(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [scene.running(steps=20) for _ in range(4)]
    monkeypatch.setattr(verifying, "EVENTS_OF_A_READ", 1)

    def go_on(_: object) -> None:
        for at, job in enumerate(jobs):
            step = next(index for index in range(20) if job.steps[index].attempt == 0)
            jobs[at] = scene.succeed(job, step)

    verifier = Verifier(scene.store.database, go_on)

    assert list(verifier.all()) == []
    assert verifier.tally.jobs == 4


def test_only_the_jobs_that_were_asked_for_are_verified(scene: Scene, job: Job) -> None:
    other = scene.completed()
    flip(scene.store.database, job.id, 3)
    verifier = Verifier(scene.store.database)

    assert list(verifier.jobs([other.id])) == []
    assert [each.version for each in verifier.jobs([other.id, job.id])] == [3]


def test_a_job_of_which_nothing_is_stored_is_not_called_right(scene: Scene, job: Job) -> None:
    with pytest.raises(NothingStored):
        list(Verifier(scene.store.database).jobs([uuid4()]))


def test_jobs_whose_newest_event_is_older_are_left_out(scene: Scene, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "JOBS_OF_A_READ", 2)
    scene.surroundings.wait(3600)
    at = scene.surroundings.now() - timedelta(seconds=1800)
    new = scene.completed()
    again = scene.do(job, StartStep(job.claim, 2))
    verifier = Verifier(scene.store.database)

    assert list(verifier.since(at)) == []
    assert (verifier.tally.jobs, verifier.tally.events) == (2, new.version + again.version)

    flip(scene.store.database, job.id, 2)
    assert [each.job_id for each in Verifier(scene.store.database).since(at)] == [str(job.id)]


def test_rows_without_a_history_are_found_whatever_the_time(scene: Scene, job: Job) -> None:
    tamper(scene.store.database, f"DELETE FROM {EVENTS} WHERE originator_id=?", job.id.hex)

    found = list(Verifier(scene.store.database).since(scene.surroundings.now() + timedelta(days=1)))

    assert [(each.job_id, each.kind) for each in found] == [(str(job.id), Kind.ROW_UNFOUNDED)]


def test_an_event_whose_bytes_were_made_a_text_differs(tmp_path: Path) -> None:
    surroundings = Surroundings()
    scene = Scene(JobStore(open_database(f"sqlite:///{tmp_path / 'text.sqlite'}"), surroundings), surroundings)
    job, database = scene.completed(), scene.store.database
    tamper(database, f"UPDATE {EVENTS} SET state = CAST(state AS TEXT) WHERE originator_version = 3")

    assert told(only(scene)) == (Kind.EVENT_CHANGED, EVENTS, "3", "state", "str", "bytes")
    assert only(scene).job_id == str(job.id)


def test_a_job_whose_newest_events_were_removed_is_looked_at_although_the_others_are_old(
    scene: Scene, job: Job
) -> None:
    before = scene.store.load(job.id).version
    scene.surroundings.wait(3600)
    at = scene.surroundings.now()
    scene.stop(job.id)
    remove(scene.store.database, job.id, before + 1)

    (found,) = Verifier(scene.store.database).since(at)

    assert (found.job_id, found.kind) == (str(job.id), Kind.EVENT_MISSING)


def forged(job: Job) -> bytes:
    """What would be kept of the job if it had done less."""
    return snapshots.packed(replace(job, items=job.items - 1))


def flipped(job: Job) -> bytes:
    return snapshots.packed(job)[:-1] + b"?"


@pytest.mark.parametrize(
    ("version", "state", "kind", "said"),
    [
        (8, forged, Kind.ROW_CHANGED, "at version 8 is not what its events make of it"),
        (8, flipped, Kind.ROW_CHANGED, "at version 8 cannot be read"),
        (9, snapshots.packed, Kind.ROW_UNFOUNDED, "at version 9 is of a version that its history does not have"),
    ],
    ids=["edited", "flipped", "ahead"],
)
def test_a_fold_that_is_kept_and_is_not_that_of_the_history_is_found(
    scene: Scene, job: Job, version: int, state: Callable[[Job], bytes], kind: Kind, said: str
) -> None:
    scene.store.take_snapshot(job)
    assert differences(scene) == []
    tamper(scene.store.database, "UPDATE milepost_snapshots SET version=?, state=?", version, state(job))

    found = only(scene)

    assert (found.job_id, found.kind, found.table, found.row) == (str(job.id), kind, "milepost_snapshots", str(version))
    assert found.message == f"milepost_snapshots: what is kept of job {job.id} {said}"
