"""The stores that everything here must hold on: one in a file, one on a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.store import JobStore
from tests.infrastructure.event_store.scene import Scene, Surroundings
from tests.stores import url_of


@pytest.fixture(params=["file", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = open_database(url)
    yield database
    database.close()


@pytest.fixture
def scene(database: Database) -> Scene:
    surroundings = Surroundings()
    return Scene(JobStore(database, surroundings), surroundings)
