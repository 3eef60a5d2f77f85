"""A backup that was taken while workers wrote is a consistent event store, and its jobs go on."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from milepost.domain.state_machine import JobStatus, StepStatus
from tests.postgres import Postgres
from tests.scenarios.workshop import FULL, Workshop

STEPS: Final = 3  # of the job that is held in the middle: the first succeeds, the others wait before their last item
ITEMS: Final = 5
WRITES: Final = 1_000 if FULL else 100  # of the job beside it
HELD_ITEMS: Final = STEPS * ITEMS - (STEPS - 1)


def by_the_backup_api(file: Path, backup: Path) -> None:
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)


def by_vacuum_into(file: Path, backup: Path) -> None:
    with closing(sqlite3.connect(file)) as source:
        source.execute("VACUUM INTO ?", (str(backup),))


ways_to_copy: Final = pytest.mark.parametrize("copy", [by_the_backup_api, by_vacuum_into])


@pytest.fixture
def server() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.end()


@ways_to_copy
def test_a_backup_of_a_sqlite_file_goes_on_where_it_was_taken(
    workshop: Workshop, copy: Callable[[Path, Path], None]
) -> None:
    held, busy = under_way(workshop)
    with closing(Workshop(workshop.folder, "restored")) as restored:
        copy(workshop.file, restored.file)
        goes_on(workshop, restored, held, busy)


def test_a_dump_of_a_postgresql_schema_goes_on_where_it_was_taken(workshop: Workshop, server: Postgres) -> None:
    with closing(Workshop(workshop.folder, "original", url=server.url)) as original:
        held, busy = under_way(original)
        with closing(Workshop(workshop.folder, "restored", url=server.dumped_and_restored("milepost"))) as restored:
            goes_on(original, restored, held, busy)


@ways_to_copy
def test_what_steps_wrote_in_their_own_transactions_is_in_the_backup_and_is_written_once(
    workshop: Workshop, copy: Callable[[Path, Path], None]
) -> None:
    workshop.hold()
    job_id = workshop.note_down("ledger", steps=STEPS, items=ITEMS)
    worker = workshop.worker("--slots", str(STEPS))
    until_it_is_held(workshop, job_id, lambda: len(workshop.ledger(job_id)) == HELD_ITEMS)
    with closing(Workshop(workshop.folder, "restored")) as restored:
        copy(workshop.file, restored.file)
        workshop.let_go()
        workshop.until_status(job_id, "CompletedSuccessfully")
        worker.kill()
        assert len(workshop.ledger(job_id)) == STEPS * ITEMS
        assert len(restored.ledger(job_id)) == HELD_ITEMS

        restored.worker("--slots", str(STEPS))
        restored.until_status(job_id, "CompletedSuccessfully")
        written = Counter((row.step, row.item) for row in restored.ledger(job_id))
        assert written == {(step, item): 1 for step in range(STEPS) for item in range(1, ITEMS + 1)}


@ways_to_copy
def test_a_seal_that_is_newer_than_a_restored_sqlite_backup_names_every_event_that_is_missing(
    workshop: Workshop, copy: Callable[[Path, Path], None]
) -> None:
    before = begun(workshop)
    with closing(Workshop(workshop.folder, "restored")) as restored:
        copy(workshop.file, restored.file)
        names_what_is_missing(workshop, restored, before)


def test_a_seal_that_is_newer_than_a_restored_postgresql_dump_names_every_event_that_is_missing(
    workshop: Workshop, server: Postgres
) -> None:
    with closing(Workshop(workshop.folder, "original", url=server.url)) as original:
        before = begun(original)
        with closing(Workshop(workshop.folder, "restored", url=server.dumped_and_restored("milepost"))) as restored:
            names_what_is_missing(original, restored, before)


def begun(workshop: Workshop) -> tuple[UUID, UUID]:
    """A job that goes on after the backup, and one that does not."""
    return workshop.start("self-test"), workshop.start("self-test")


def names_what_is_missing(original: Workshop, restored: Workshop, before: tuple[UUID, UUID]) -> None:
    went_on, rested = before
    for verb in ("stop", "resume", "stop"):
        assert original.milepost("jobs", verb, str(went_on)).code == 0
    later = original.start("self-test")
    seal = str(original.folder / "seal.jsonl")
    assert original.milepost("audit", "seal", seal).code == 0
    assert original.milepost("audit", "verify", "--all", "--seal", seal).code == 0
    versions = {job_id: original.row(job_id).version for job_id in (went_on, rested, later)}
    assert (versions[went_on], versions[rested], restored.row(went_on).version) == (6, 1, 1)

    assert restored.milepost("audit", "verify", "--all").code == 0, "in itself a backup is whole"
    done = restored.milepost("audit", "verify", "--seal", seal)

    assert done.code == 3
    found = [(each["jobId"], each["kind"], each["version"], each["lastVersion"]) for each in done.json["differences"]]
    assert found == [
        (str(went_on), "events-missing", 2, versions[went_on]),
        (str(later), "job-missing", 1, versions[later]),
    ]


def under_way(workshop: Workshop) -> tuple[UUID, UUID]:
    """A job that is in the middle until it is let go, however long a backup takes; and one that writes meanwhile."""
    workshop.hold()
    held = workshop.note_down("noted", steps=STEPS, items=ITEMS)
    workshop.worker("--slots", str(STEPS + 2))
    until_it_is_held(workshop, held, lambda: noted(workshop, held) == HELD_ITEMS)
    busy = workshop.start("self-test", steps=WRITES, items=1, seconds=0.01)
    workshop.until(busy, lambda row: row.succeeded > 0, "it writes")
    return held, busy


def until_it_is_held(workshop: Workshop, job_id: UUID, has_written: Callable[[], bool]) -> None:
    workshop.until(job_id, lambda row: row.succeeded == 1 and has_written(), "one step has succeeded, the others wait")


def noted(workshop: Workshop, job_id: UUID) -> int:
    """How many items its steps have noted down."""
    return sum(note.what.isdecimal() for note in workshop.notes(job_id))


def goes_on(original: Workshop, restored: Workshop, held: UUID, busy: UUID) -> None:
    taken = restored.checked(held)
    assert taken.status is JobStatus.RUNNING
    shown_is_the_fold(restored, held, busy)

    original.let_go()
    for job_id in (held, busy):
        original.until_status(job_id, "CompletedSuccessfully")
    shown_is_the_fold(restored, held, busy)  # and nothing of the original's went there meanwhile
    assert restored.checked(held) == taken

    restored.worker("--slots", str(STEPS + 2))
    for job_id in (held, busy):
        restored.until_status(job_id, "CompletedSuccessfully")
        restored.checked(job_id)
    done = restored.checked(held)
    again = {index for index, step in done.steps.items() if step.attempt > taken.steps[index].attempt}
    begun = {index for index, step in taken.steps.items() if step.status is StepStatus.RUNNING}
    assert begun == again == {1, 2}, "what had begun runs again, and what had succeeded does not"


def shown_is_the_fold(workshop: Workshop, *job_ids: UUID) -> None:
    listed = {document["id"]: document for document in workshop.milepost("jobs", "list").json}
    assert set(listed) == {str(job_id) for job_id in job_ids}
    for job_id in job_ids:
        job, alone = workshop.checked(job_id), workshop.milepost("jobs", "get", str(job_id)).json
        succeeded = sum(step.status is StepStatus.SUCCEEDED for step in job.steps.values())
        for shown in (listed[str(job_id)], alone):
            assert (shown["status"], shown["version"]) == (job.status, job.version)
            assert shown["progress"]["successfulSteps"] == succeeded
