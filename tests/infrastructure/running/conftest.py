"""The stage of each test, cleared away after it."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from milepost.infrastructure.job_types.job_type import JobType
from tests.infrastructure.running.stage import Stage
from tests.length import kinds
from tests.stores import url_of

MakeStage = Callable[..., Stage]


@pytest.fixture(params=kinds("memory", "file", "server", short=["file", "server"]))  # the simulation is in memory
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)


@pytest.fixture
def stage_of(url: str) -> Generator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(*types: type[JobType[Any]]) -> Stage:
        made.append(Stage(url, *types))
        return made[-1]

    yield make
    for stage in made:
        stage.close()
