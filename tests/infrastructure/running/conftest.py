"""The stage of each test, cleared away after it."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from milepost.infrastructure.job_types.job_type import JobType
from tests.infrastructure.running.stage import Stage

MakeStage = Callable[..., Stage]


@pytest.fixture
def stage_of(tmp_path: Path) -> Generator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(*types: type[JobType[Any]]) -> Stage:
        made.append(Stage(tmp_path, *types))
        return made[-1]

    yield make
    for stage in made:
        stage.close()
