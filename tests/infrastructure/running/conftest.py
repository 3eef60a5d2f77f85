"""The stage of each test, cleared away after it."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from milepost.infrastructure.job_types.job_type import JobType
from tests.infrastructure.running.stage import Stage
from tests.postgres import fresh_url

MakeStage = Callable[..., Stage]


@pytest.fixture(params=["file", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh_url() if request.param == "server" else f"sqlite:///{tmp_path / 'events.sqlite'}"


@pytest.fixture
def stage_of(url: str) -> Generator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(*types: type[JobType[Any]]) -> Stage:
        made.append(Stage(url, *types))
        return made[-1]

    yield make
    for stage in made:
        stage.close()
