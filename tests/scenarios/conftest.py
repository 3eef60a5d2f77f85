"""A workshop per test; whatever process still runs at its end is ended. Flights are imported once for all of them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios import noted
from tests.scenarios.imported_flights import ImportedFlights
from tests.scenarios.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    shutil.copy(noted.__file__, tmp_path / "noted.py")
    (tmp_path / "milepost.toml").write_text('job_types = ["noted"]\n')
    made = Workshop(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def imported_flights(tmp_path_factory: pytest.TempPathFactory) -> ImportedFlights:
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own  # each of its processes has a folder in one
    return ImportedFlights(shared / "imported-flights", tmp_path_factory.mktemp("imported-flights"))
