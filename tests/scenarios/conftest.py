"""A workshop per test; whatever process still runs at its end is ended."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios import noted
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
