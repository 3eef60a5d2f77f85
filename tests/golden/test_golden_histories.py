"""What was stored once is read and folded the same for ever: recorded histories of each shape that was ever written.

A file is a history as a version of Milepost stored it, and the fold that it had then. Those named after a time were
written by the code of that time. None is ever edited. A new event, field or `class_version` needs a history that has
it: tell a story with it in `stories.py` (`observer_stories.py`), under a new name, and run `python -m tests.golden`,
which writes a file for each story that has none.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from milepost.domain import events as e
from milepost.domain.envelope import RecordedEvent
from milepost.domain.events import EVENT_CLASSES
from milepost.domain.job import Job, evolve
from milepost.domain.observers import events as o
from milepost.domain.observers.events import OBSERVER_EVENTS
from milepost.infrastructure.event_store import snapshots
from milepost.infrastructure.event_store.codec import decode
from tests.golden.observer_recording import OBSERVER_HISTORIES, folded_observer, read_observer, write_new_observers
from tests.golden.observer_stories import OBSERVER_STORIES
from tests.golden.recording import HISTORIES, canonical, folded, read, told_alike, write_new
from tests.golden.stories import STORIES

FILES: Final = sorted(HISTORIES.glob("*.jsonl"))
HOW: Final = "see the docstring of tests/golden/test_golden_histories.py"
OBSERVER_FILES: Final = sorted(OBSERVER_HISTORIES.glob("*.jsonl"))
of_each_history = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
of_each_observer = pytest.mark.parametrize("path", OBSERVER_FILES, ids=lambda path: path.stem)


def decoded(path: Path) -> Iterator[RecordedEvent]:
    job_id, lines, _ = read(path)
    for version, line in enumerate(lines, start=1):
        yield decode(job_id, version, line.topic, line.state.encode())


def decoded_observer(path: Path) -> list[tuple[datetime, Any]]:
    return [
        (datetime.fromisoformat(line.recorded_at), OBSERVER_EVENTS[line.topic].model_validate_json(line.state))
        for line in read_observer(path).lines
    ]


@of_each_history
def test_a_recorded_history_folds_to_what_it_folded_to_when_it_was_recorded(path: Path) -> None:
    job_id, lines, fold = read(path)
    job = Job(job_id)

    for line, recorded in zip(lines, decoded(path), strict=True):
        job = evolve(job, recorded)
        assert job.status == line.status

    assert told_alike(fold, folded(job)), canonical(folded(job))


@of_each_history
def test_a_recorded_history_goes_through_a_snapshot_unchanged(path: Path) -> None:
    job = Job(read(path).job_id)
    for recorded in decoded(path):
        job = evolve(snapshots.unpacked(job.id, job.version, snapshots.packed(job)), recorded)

    assert told_alike(read(path).fold, folded(job))


@of_each_observer
def test_a_recorded_history_of_an_observer_folds_to_what_it_folded_to(path: Path) -> None:
    fold = folded_observer(decoded_observer(path))

    assert told_alike(read_observer(path).fold, fold), canonical(fold)


def test_every_version_of_every_event_is_in_a_recorded_history() -> None:
    there = {(line.topic, version_of(line.state)) for path in FILES for line in read(path).lines}
    needed = {(topic, version) for topic, cls in EVENT_CLASSES.items() for version in range(1, cls.class_version + 1)}

    assert needed <= there, f"no recorded history has {sorted(needed - there)}: {HOW}"


def test_every_field_of_every_event_is_in_a_recorded_history() -> None:
    there = {told for path in FILES for each in decoded(path) for told in told_in(each.event)}
    needed = {told for cls in EVENT_CLASSES.values() for told in fields_of(cls)}

    assert needed <= there, f"no recorded history has {sorted(needed - there)}: {HOW}"


def test_every_event_of_observers_and_each_of_its_fields_is_in_a_recorded_history() -> None:
    events = [event for path in OBSERVER_FILES for _, event in decoded_observer(path)]
    missing = set(get_args(o.ObserverEvent)) - {type(event) for event in events}
    assert not missing, f"no recorded history has {missing}: {HOW}"

    there = {told for event in events for told in told_in(event)}
    needed = {told for cls in OBSERVER_EVENTS.values() for told in fields_of(cls)}
    assert needed <= there, f"no recorded history has {sorted(needed - there)}: {HOW}"


def test_a_field_that_no_history_has_is_missed() -> None:
    class Later(e.StepStarted):
        machine: str = ""

    without = set(told_in(Later(step=0, attempt=1)))

    assert set(fields_of(Later)) - without == {"Later.machine"}
    assert "Later.machine" in set(told_in(Later(step=0, attempt=1, machine="m")))


def test_every_part_of_the_envelope_is_in_a_recorded_history() -> None:
    origins = [each.origin for path in FILES for each in decoded(path)]

    assert all(any(getattr(origin, name) for origin in origins) for name in ("reason", "correlation_id"))


def test_a_file_that_is_there_is_never_written_again(tmp_path: Path) -> None:
    written = write_new(tmp_path)
    before = {path: path.read_bytes() for path in written}
    written[0].write_text("as it was", encoding="utf-8")

    assert written
    assert write_new(tmp_path) == []
    assert written[0].read_text(encoding="utf-8") == "as it was"
    assert all(path.read_bytes() == before[path] for path in written[1:])
    assert write_new_observers(tmp_path)
    assert write_new_observers(tmp_path) == []


def test_every_story_has_its_file() -> None:
    assert {f"{name}.jsonl" for name in STORIES} <= {path.name for path in FILES}, HOW
    assert {f"{name}.jsonl" for name in OBSERVER_STORIES} <= {path.name for path in OBSERVER_FILES}, HOW


def version_of(state: str) -> int:
    version: int = json.loads(state).get("class_version", 1)
    return version


def fields_of(cls: type[BaseModel]) -> Iterator[str]:
    """Of the event and of the values in it, as `Class.field`."""
    for name, field in cls.model_fields.items():
        yield f"{cls.__name__}.{name}"
        for part in _values_in(field.annotation):
            yield from fields_of(part)


def told_in(value: Any) -> Iterator[str]:
    """The fields that say something: one that must be there, or one that is not what it is by default."""
    if isinstance(value, tuple):
        parts: tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
        for part in parts:
            yield from told_in(part)
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if _says_something(field, getattr(value, name)):
                yield f"{type(value).__name__}.{name}"
            yield from told_in(getattr(value, name))


def _says_something(field: FieldInfo, told: object) -> bool:
    return field.is_required() or told != field.default


def _values_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _values_in(part)
