"""Exports of each version of the format, as they were once written: they must be read, folded and imported for ever.

Never write one of these files again. `export-N.txt` says what its jobs were after each event.
"""

from pathlib import Path
from typing import Final

import pytest

from milepost.domain.events import EVENT_CLASSES
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.audit.export_file import ExportFile
from milepost.infrastructure.audit.export_format import VERSION
from milepost.infrastructure.audit.importing import check
from milepost.infrastructure.audit.replaying import Moment, replayed
from milepost.infrastructure.event_store.job_filter import JobFilter
from tests.infrastructure.audit.files.archive import Archive

GOLDEN: Final = Path(__file__).parents[3] / "golden"
EXPORTS: Final = sorted(GOLDEN.glob("export-*.jsonl"))
STEPS: Final = tuple(StepStatus)

exports = pytest.mark.parametrize("export", EXPORTS, ids=lambda path: path.stem)


def told(moment: Moment) -> str:
    """What the event made of the job: its status, its steps by theirs, what was done."""
    job, recorded = moment.job, moment.recorded
    steps = ",".join(f"{job.count(status)} {status}" for status in STEPS if job.count(status))
    error = f"\t{job.error.type}" if job.error else ""
    who = f"{recorded.recorded_at.isoformat()} {recorded.origin.actor}"
    event = f"{type(recorded.event).__name__} -> {job.status}"
    return f"{job.id} {job.version}\t{who}\t{event}\t{steps}\t{job.items} {job.unit}{error}"


@exports
def test_an_old_export_replays_as_it_did(export: Path) -> None:
    replays = [told(moment) for moment in replayed(export)]

    assert replays == export.with_suffix(".txt").read_text(encoding="utf-8").splitlines()


@exports
def test_an_old_export_can_be_imported_and_comes_out_again_as_it_went_in(
    export: Path, archive: Archive, file: Path
) -> None:
    done = archive.import_(export, live=True)
    archive.export(file, JobFilter(statuses=tuple(JobStatus)))

    assert {each.fate for each in done} == {"imported"}
    assert file.read_bytes() == export.read_bytes()


def test_there_is_an_old_export_of_every_version_of_the_format() -> None:
    assert [path.stem for path in EXPORTS] == [f"export-{version}" for version in range(1, VERSION + 1)]


def test_the_old_export_has_events_of_every_kind_that_there_was_then() -> None:
    check(ExportFile(GOLDEN / "export-1.jsonl"))
    topics = {event.topic for event in ExportFile(GOLDEN / "export-1.jsonl").events()}

    assert len(topics) == 19
    assert topics <= set(EVENT_CLASSES)
