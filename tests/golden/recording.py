"""Histories as they are stored, and what they fold to: made from stories, kept in files, read again."""

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic_core import to_jsonable_python

from milepost.domain.decide import decide
from milepost.domain.envelope import RecordedEvent
from milepost.domain.job import Job, Step, evolve
from milepost.infrastructure.event_store.codec import encode
from tests.golden.stories import STORIES, Told

HISTORIES: Final = Path(__file__).parent / "histories"
JOB_ID: Final = UUID("0199b4de-0000-7000-8000-000000000001")
BEGINNING: Final = datetime.fromisoformat("2026-01-02T03:04:05.000678+00:00")


class Line(NamedTuple):
    """An event as it is stored, and the job's status after it."""

    topic: str
    state: str
    status: str


class Golden(NamedTuple):
    job_id: UUID
    lines: list[Line]
    fold: dict[str, Any]


def recorded(story: tuple[Told, ...]) -> Iterator[tuple[RecordedEvent, Job]]:
    """Each event of a story, one a second, and the job after it."""
    job = Job(JOB_ID)
    for origin, command in story:
        for event in decide(job, command):
            version = job.version + 1
            at, event_id = BEGINNING + timedelta(seconds=version), UUID(int=JOB_ID.int + version)
            each = RecordedEvent(JOB_ID, version, event_id, at, origin, event)
            job = evolve(job, each)
            yield each, job


def folded(job: Job) -> dict[str, Any]:
    """All that the job's events say of it, as JSON."""
    told = {field.name: getattr(job, field.name) for field in fields(job)}
    told["steps"] = [
        {name: getattr(job.steps[index], name) for name in sorted(Step.__slots__)} for index in sorted(job.steps)
    ]
    told["counts"] = {status: count for status, count in sorted(job.counts.items()) if count}
    document: dict[str, Any] = json.loads(canonical(to_jsonable_python(told)))
    return document


def canonical(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def told_alike(expected: Any, fold: Any) -> bool:
    """Whether the fold says all that was expected: what a later Milepost folds beside that is no difference."""
    if type(expected) is not type(fold):
        return False
    if isinstance(expected, dict):
        known: dict[str, Any] = expected  # pyright: ignore[reportUnknownVariableType]  # JSON
        return all(name in fold and told_alike(told, fold[name]) for name, told in known.items())
    if isinstance(expected, list):
        parts: list[Any] = expected  # pyright: ignore[reportUnknownVariableType]  # JSON
        return len(parts) == len(fold) and all(map(told_alike, parts, fold))
    return bool(expected == fold)


def text_of(story: tuple[Told, ...]) -> str:
    """The golden file of a story: a line for its job, one for each event as it is stored now, one for the fold."""
    job = Job(JOB_ID)
    lines: list[dict[str, Any]] = [{"job": str(JOB_ID)}]
    for each, job in recorded(story):
        ((_, _, topic, state),) = encode(JOB_ID, [each])
        lines.append({"topic": topic, "state": state.decode(), "status": str(job.status)})
    lines.append({"fold": folded(job)})
    return "".join(f"{canonical(line)}\n" for line in lines)


def read(path: Path) -> Golden:
    head, *events, last = map(json.loads, path.read_text(encoding="utf-8").removesuffix("\n").split("\n"))
    return Golden(UUID(head["job"]), [Line(**event) for event in events], last["fold"])


def write_new(folder: Path = HISTORIES) -> list[Path]:
    """A file for each story that has none. One that is there stays as it is, for ever."""
    missing = {name: folder / f"{name}.jsonl" for name in STORIES if not (folder / f"{name}.jsonl").exists()}
    for name, path in missing.items():
        path.write_text(text_of(STORIES[name]), encoding="utf-8", newline="\n")
    return list(missing.values())
