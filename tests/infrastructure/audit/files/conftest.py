"""Event stores of each kind, and fresh ones beside, to bring histories into."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.audit.files.archive import Archive
from tests.infrastructure.event_store.scene import Scene, Surroundings
from tests.stores import url_of

Fresh = Callable[[], Archive]


@pytest.fixture(params=["memory", "file", "server"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fresh]:
    """Makes event stores of one kind."""
    opened: list[Database] = []

    def made() -> Archive:
        folder = tmp_path / f"store-{len(opened)}"
        database = open_database(url_of(request.param, folder))
        opened.append(database)
        surroundings = Surroundings()
        return Archive(Scene(JobStore(database, surroundings), surroundings))

    yield made
    for database in opened:
        database.close()


@pytest.fixture
def archive(fresh: Fresh) -> Archive:
    return fresh()


@pytest.fixture
def other(fresh: Fresh, archive: Archive) -> Archive:
    """Another event store, with nothing in it."""
    return fresh()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "histories.jsonl"
