"""The theatre of each test, cleared away after it."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.infrastructure.observers.stage import Theatre, bank_beside
from tests.length import kinds
from tests.stores import url_of


@pytest.fixture(params=kinds("memory", "file", "server", short=["file", "server"]))  # a machine is in memory
def theatre(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Theatre]:
    url = url_of(request.param, tmp_path)
    bank = bank_beside(url)
    made = Theatre(url, bank)
    yield made
    made.close()
    bank.close()
