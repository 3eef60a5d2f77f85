"""The stores that everything here must hold on: one in a file, one on a server."""

from pathlib import Path

import pytest

from tests.infrastructure.event_store.conftest import database as database
from tests.infrastructure.event_store.conftest import scene as scene
from tests.stores import url_of


@pytest.fixture(params=["file", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)
