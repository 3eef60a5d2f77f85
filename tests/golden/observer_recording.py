"""Observers' histories as they are stored, and what they fold to: made from stories, kept in files, read again."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic_core import to_jsonable_python

from milepost.domain.observers import events as o
from milepost.domain.observers.state import Observer, Partition, evolve, partition_after
from tests.golden.observer_stories import BEGINNING, OBSERVER_STORIES
from tests.golden.recording import canonical

OBSERVER_HISTORIES: Final = Path(__file__).parent / "observer_histories"


class ObserverLine(NamedTuple):
    """An event as it is stored, and when it was recorded."""

    topic: str
    recorded_at: str
    state: str


class GoldenObserver(NamedTuple):
    lines: list[ObserverLine]
    fold: dict[str, Any]


def folded_observer(events: Iterable[tuple[datetime, o.ObserverEvent]]) -> dict[str, Any]:
    """The observer after its events, and its partitions that are held."""
    observer, partitions = Observer("Default", "balances"), dict[str, Partition]()
    for at, event in events:
        observer = evolve(observer, event)
        if isinstance(event, o.PartitionEvent):
            name = event.partition
            after = partition_after(partitions.pop(name, None), event, at)
            partitions |= {} if after is None else {name: after}
    told = {
        "observer": {**asdict(observer), "status": str(observer.status)},
        "partitions": {name: asdict(partition) for name, partition in partitions.items()},
    }
    document: dict[str, Any] = json.loads(canonical(to_jsonable_python(told)))
    return document


def observer_text_of(story: Iterable[o.ObserverEvent]) -> str:
    """The golden file of a story: a line for each event as it is stored now, one for the fold."""
    timed = [(BEGINNING + timedelta(seconds=second), event) for second, event in enumerate(story, start=1)]
    lines: list[dict[str, Any]] = [
        {"topic": event.topic, "recorded_at": at.isoformat(), "state": event.model_dump_json()} for at, event in timed
    ]
    lines.append({"fold": folded_observer(timed)})
    return "".join(f"{canonical(line)}\n" for line in lines)


def read_observer(path: Path) -> GoldenObserver:
    *events, last = map(json.loads, path.read_text(encoding="utf-8").removesuffix("\n").split("\n"))
    return GoldenObserver([ObserverLine(**event) for event in events], last["fold"])


def write_new_observers(folder: Path = OBSERVER_HISTORIES) -> list[Path]:
    """A file for each story that has none. One that is there stays as it is, for ever."""
    missing = {name: folder / f"{name}.jsonl" for name in OBSERVER_STORIES if not (folder / f"{name}.jsonl").exists()}
    for name, path in missing.items():
        path.write_text(observer_text_of(OBSERVER_STORIES[name]), encoding="utf-8", newline="\n")
    return list(missing.values())
