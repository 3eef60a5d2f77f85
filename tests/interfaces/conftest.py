"""The real executable, and the same program called in this process, each on a database of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from milepost.interfaces.cli.app import run
from tests.interfaces.furniture import Furniture

EXECUTABLE: Final = Path(sys.executable).with_name("milepost")
TIME_OUT: Final = 60  # for a process that hangs: nothing is measured by it


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The last line of standard error, where it is JSON."""
        told: dict[str, str] = json.loads(self.err.strip().splitlines()[-1])
        return told


Milepost = Callable[..., Done]


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("furnished") / "jobs.sqlite"
    return path, Furniture(f"sqlite:///{path}").furnish()


@pytest.fixture
def ids(furnished: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return furnished[1]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A user who has set nothing, in an empty folder, and whose event store is a fresh file."""
    for name in [name for name in os.environ if name.startswith("MILEPOST_")]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MILEPOST_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("MILEPOST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MILEPOST_URL", f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return os.environ


@pytest.fixture
def jobs(furnished: tuple[Path, dict[str, str]], environment: Mapping[str, str], tmp_path: Path) -> Furniture:
    """A copy of the furnished database, in use."""
    for file in furnished[0].parent.iterdir():
        shutil.copy(file, tmp_path / file.name)
    return Furniture(environment["MILEPOST_URL"])


@pytest.fixture
def call(environment: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> Milepost:
    """The program in this process: as the executable does it, without waiting for a new interpreter."""

    def called(*arguments: str) -> Done:
        capsys.readouterr()
        code = run(arguments)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return called


@pytest.fixture
def milepost(environment: Mapping[str, str]) -> Milepost:
    """The real executable."""

    def executed(*arguments: str, input: str | None = None, **more: str) -> Done:  # noqa: A002
        done = subprocess.run(
            [EXECUTABLE, *arguments],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            env={**environment, **more},
            timeout=TIME_OUT,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return executed
