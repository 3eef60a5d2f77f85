"""The stores that everything here must hold on: one in memory, one in a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.event_store.scene import Scene, Surroundings


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.sqlite"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def scene(database: Database) -> Scene:
    surroundings = Surroundings()
    return Scene(JobStore(database, surroundings), surroundings)
