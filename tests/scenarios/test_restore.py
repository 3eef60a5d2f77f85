"""A backup that was taken while workers wrote is a consistent event store, and its jobs go on."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from milepost.domain.state_machine import JobStatus
from tests.postgres import Postgres
from tests.scenarios.workshop import Workshop, eventually

STEPS = 40


@pytest.fixture
def server() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.end()


def test_a_backup_of_a_sqlite_file_goes_on_where_it_was_taken(workshop: Workshop, tmp_path: Path) -> None:
    job_id = under_way(workshop)
    with closing(Workshop(tmp_path, "restored")) as restored:
        with closing(sqlite3.connect(workshop.file)) as source, closing(sqlite3.connect(restored.file)) as backup:
            source.backup(backup)
        goes_on(workshop, restored, job_id)


def test_a_dump_of_a_postgresql_schema_goes_on_where_it_was_taken(server: Postgres, tmp_path: Path) -> None:
    with closing(Workshop(tmp_path, url=server.url)) as workshop:
        job_id = under_way(workshop)
        with closing(Workshop(tmp_path, "restored", url=server.dumped_and_restored("milepost"))) as restored:
            goes_on(workshop, restored, job_id)


def under_way(workshop: Workshop) -> UUID:
    job_id = workshop.start("self-test", steps=STEPS, items=5, seconds=0.02)
    workshop.worker("--slots", "2")
    workshop.until(job_id, lambda row: row.succeeded > 3, "some steps have succeeded")
    return job_id


def goes_on(original: Workshop, restored: Workshop, job_id: UUID) -> None:
    taken = restored.checked(job_id)
    assert taken.status is JobStatus.RUNNING, "the backup was not taken in the middle: nothing is shown"
    shown = restored.milepost("jobs", "get", str(job_id)).json
    assert (shown["status"], shown["version"]) == ("Running", taken.version)
    original.until_status(job_id, "CompletedSuccessfully")
    restored.worker("--slots", "2")
    eventually(lambda: restored.row(job_id).status == "CompletedSuccessfully", "the restored job has completed")

    done = restored.checked(job_id)
    kept = [step.index for step in taken.steps.values() if step.status == "Succeeded"]
    assert kept
    again = [index for index in kept if done.steps[index].attempt != taken.steps[index].attempt]
    assert not again, "what had succeeded ran again"
