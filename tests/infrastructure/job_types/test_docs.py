"""Everything that docs/job-types.md shows is run here as it stands there."""

import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.job_types.registry import JobTypes
from tests.infrastructure.running.stage import Stage, turn_until

PAGE: Final = (Path(__file__).parents[3] / "docs" / "job-types.md").read_text(encoding="utf-8")
PYTHON: Final = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
TOML: Final = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS: Final = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.split("\n")
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """The reader's folder: texts to count, and each block of Python in a module of its own."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("one two\nthree\n")
    (tmp_path / "wordcount.py").write_text(PYTHON[0])
    (tmp_path / "milepost.toml").write_text(TOML[0])
    for number, text in enumerate(PYTHON):
        (tmp_path / f"shown_{number}.py").write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    yield tmp_path
    for number in range(len(PYTHON)):
        sys.modules.pop(f"shown_{number}", None)


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_each_job_type_that_is_shown_completes(folder: Path, number: int) -> None:
    module = f"shown_{number}"
    types = JobTypes.load([module])
    (declared,) = [known for name in types.names() if (known := types.named(name)).__module__ == module]
    request: dict[str, Any] = {"folder": str(folder / "texts")} if number == 0 else {}
    stage = Stage(f"sqlite:///{folder}/events.sqlite", declared)
    stage.types = types
    job_id, worker = stage.start(declared.name, request), stage.worker()

    def time_passes() -> bool:
        stage.clock.pass_time(0.001)  # one of them is tried again
        return stage.at_rest(job_id)

    turn_until(time_passes, worker)
    assert stage.status(job_id) is JobStatus.COMPLETED_SUCCESSFULLY
    stage.close()


@pytest.mark.parametrize("command", [command for command in COMMANDS if command])
def test_each_command_that_is_shown_works(folder: Path, command: str) -> None:
    executable = Path(sys.executable).parent / command.split()[0]
    environment = os.environ | {"MILEPOST_URL": f"sqlite:///{folder}/store.sqlite", "HOME": str(folder)}
    done = subprocess.run(
        [str(executable), *command.split()[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_entry_point_that_is_shown_is_one_of_ours() -> None:
    points = tomllib.loads(TOML[1])["project"]["entry-points"]

    assert points == {"milepost.job_types": {"wordcount": "wordcount"}}


def test_every_block_that_is_shown_is_run_here() -> None:
    shown = re.findall(r"^```(\w+)$", PAGE, flags=re.MULTILINE)

    assert set(shown) == {"python", "toml", "sh"}
    assert (shown.count("python"), shown.count("toml"), shown.count("sh")) == (len(PYTHON), len(TOML), 2)
