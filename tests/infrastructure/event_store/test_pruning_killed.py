"""A prune with an archive is killed wherever it may be; between files and event store nothing is ever lost."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from milepost.infrastructure.audit.export_file import ExportFile
from milepost.infrastructure.audit.exporting import export
from milepost.infrastructure.audit.importing import Importer, check
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.job_filter import ALL_JOBS
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.event_store.scene import Scene, Surroundings
from tests.length import FULL
from tests.stores import url_of

JOBS: Final = 4
# It is killed at the n-th of these moments, whichever those are; where there is no n-th one it ends by itself.
PROGRAM: Final = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from milepost.domain.envelope import Origin
from milepost.infrastructure.audit import archiving, exporting, new_file
from milepost.infrastructure.event_store import pruning
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.clock import RealSurroundings

url, folder, left = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def moment(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def watched(module, name):
    real = getattr(module, name)
    def call(*args, **more):
        moment()
        found = real(*args, **more)
        moment()
        return found
    setattr(module, name, call)

watched(exporting, "event_line")
watched(new_file, "_put")
watched(archiving, "check")
watched(pruning, "_delete_events")
watched(pruning, "_delete_part")
pruning.ARCHIVED_AT_ONCE, pruning.JOBS_AT_ONCE, pruning.EVENTS_AT_ONCE = 2, 1, 7
database, surroundings = open_database(url), RealSurroundings()
archive = archiving.Archive(database, surroundings, folder, "default", moment)
rule = pruning.PruneRule("Default", surroundings.now())
pruning.Pruning(database, surroundings, moment).prune(rule, Origin("ada", "cli"), limit=100, archive=archive)
"""


@pytest.fixture(params=["file", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)


def prune(url: str, folder: Path, killed_at: int) -> int:
    words = [sys.executable, "-c", PROGRAM, url, str(folder), str(killed_at)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def moments() -> Iterator[int]:
    """Near each other at first, where a file is written, then further apart."""
    yield from range(1, 200, 9 if FULL else 20)


def test_killed_at_any_moment_every_history_is_in_the_event_store_or_in_a_whole_file(url: str, tmp_path: Path) -> None:
    folder, whole = tmp_path / "archive", tmp_path / "whole.jsonl"
    folder.mkdir()
    database = open_database(url)
    scene = Scene(JobStore(database, Surroundings()), Surroundings())
    jobs = {job.id for job in (scene.completed() for _ in range(JOBS))}
    export(database, whole, event_store="default", namespace="Default", meant=ALL_JOBS)

    kills = 0
    for killed_at in moments():  # each goes on with what the one before has left
        if prune(url, folder, killed_at) == 0:
            break
        kills += 1
        with_events = {job_id for job_id in jobs if _is_whole(scene, job_id)}
        assert with_events | archived(folder) == jobs
    prune(url, folder, 0)

    assert kills > 3
    assert archived(folder) == jobs
    elsewhere = open_database(f"sqlite:///{tmp_path / 'elsewhere.sqlite'}")
    JobStore(elsewhere, Surroundings())
    for path in sorted(folder.glob("*.jsonl")):
        fates = {each.fate for each in Importer(elsewhere, Surroundings(), live=False).run(ExportFile(path))}
        assert fates <= {"imported", "there"}
    again = tmp_path / "again.jsonl"
    export(elsewhere, again, event_store="default", namespace="Default", meant=ALL_JOBS)
    assert again.read_bytes() == whole.read_bytes()
    database.close()
    elsewhere.close()


def _is_whole(scene: Scene, job_id: object) -> bool:
    with scene.store.database.read() as connection:
        found = connection.exec_driver_sql("SELECT id FROM milepost_jobs").scalars().all()
    return str(job_id) in found


def archived(folder: Path) -> set[object]:
    """The jobs in files that are taken for whole ones, which they must be."""
    found: set[object] = set()
    for path in folder.glob("*.jsonl"):
        check(ExportFile(path))
        found |= {job_id for job_id, _ in ExportFile(path).histories()}
    return found
