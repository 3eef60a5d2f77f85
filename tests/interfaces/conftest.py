"""The real executable, and the same program called in this process, each on a database of its own.

Where `store_kind` is 'remote' they ask a server, which has opened that database, by `--server`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import make_url

from milepost.infrastructure.settings import resolve
from milepost.interfaces.cli.app import run
from tests.interfaces.furniture import Furniture
from tests.interfaces.here_only import HERE_ONLY
from tests.length import FULL
from tests.postgres import drop_database, fresh_database

if TYPE_CHECKING:
    from tests.interfaces.savings_stage import Stage
    from tests.interfaces.server import Server

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
Words = Callable[..., list[str]]

ASKED_FOR: Final[Mapping[str, set[str]]] = {
    "jobs": {"run"},
    "observers": set(),
    "failed-partitions": set(),
    "diagnose": set(),
    "types": set(),
    "workers": set(),
    "event-stores": {"create"},
    "namespaces": set(),
}
"""The commands that a server can be asked for, by their first word, and which of them it cannot."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of a module that says ON_ALL_STORES run on a file, on a database server, and through our server."""
    if (
        "store_kind" in metafunc.fixturenames
        and hasattr(metafunc.function, "__globals__")
        and "ON_ALL_STORES" in metafunc.function.__globals__
    ):
        asks = "words" in metafunc.fixturenames and metafunc.function.__name__ not in HERE_ONLY
        how_shown = "HOW_IT_IS_SHOWN" in metafunc.function.__globals__  # which has nothing to do with the database
        kinds: Sequence[str] = ["file", *([] if how_shown else ["server"]), *(["remote"] if asks else [])]
        if not FULL:
            kinds = in_short(kinds, metafunc)
        metafunc.parametrize("store_kind", kinds, indirect=True)


def in_short(kinds: Sequence[str], metafunc: pytest.Metafunc) -> Sequence[str]:
    """Those without which a rule of these tests would have no keeper."""
    known = metafunc.function.__globals__
    if "milepost" in metafunc.fixturenames:
        return ["file"]  # a process of its own takes longest, and what it does those see that are called in this one
    if "HOW_IT_IS_SHOWN" in known:
        return ["file"]  # a server answers with the same documents, of which other tests are the keepers
    return kinds


@dataclass(frozen=True)
class Furnished:
    """A database with furniture, to be copied, and the ids of the jobs in it."""

    url: str
    ids: dict[str, str]


@pytest.fixture(scope="session")
def furnished_file(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    url = f"sqlite:///{tmp_path_factory.mktemp('furnished') / 'jobs.sqlite'}"
    return Furnished(url, Furniture(url).furnish())


@pytest.fixture(scope="session")
def furnished_database() -> Furnished:
    url = fresh_database()
    return Furnished(url, Furniture(url).furnish())


@pytest.fixture
def store_kind(request: pytest.FixtureRequest) -> str:
    """`file`, `server` or `remote`: where the event store is; the last is a file that is asked for through a server."""
    return getattr(request, "param", "file")


@pytest.fixture
def furnished(request: pytest.FixtureRequest, store_kind: str) -> Furnished:
    found: Furnished = request.getfixturevalue("furnished_database" if store_kind == "server" else "furnished_file")
    return found


@pytest.fixture
def ids(furnished: Furnished) -> dict[str, str]:
    return furnished.ids


@pytest.fixture
def environment(
    request: pytest.FixtureRequest, tmp_path: Path, store_kind: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mapping[str, str]]:
    """A user who has set nothing, in an empty folder, and whose event store is a fresh one; a copy where asked for."""
    template = furnished_template(request) if "jobs" in request.fixturenames else None
    for name in [name for name in os.environ if name.startswith("MILEPOST_")]:
        monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MILEPOST_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("MILEPOST_DATA_DIR", str(tmp_path / "data"))
    if store_kind != "server":
        url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
        for file in Path(make_url(template).database or "").parent.iterdir() if template else ():
            shutil.copy(file, tmp_path / file.name)
    else:
        url = fresh_database((make_url(template).database if template else None) or "template1")
    monkeypatch.setenv("MILEPOST_URL", url)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield os.environ
    if store_kind == "server":
        drop_database(url)


def furnished_template(request: pytest.FixtureRequest) -> str:
    found: Furnished = request.getfixturevalue("furnished")
    return found.url


@pytest.fixture
def jobs(environment: Mapping[str, str]) -> Iterator[Furniture]:
    """A copy of the furnished database, in use."""
    found = Furniture(environment["MILEPOST_URL"])
    yield found
    found.database.close()


@pytest.fixture
def stage(environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Stage]":
    """An application with observers, in the user's folder."""
    from tests.interfaces.savings_stage import savings

    yield from savings(environment, tmp_path / "here", monkeypatch)


@pytest.fixture(scope="session")
def a_server() -> Iterator["Server"]:
    from tests.interfaces.server import Server

    server = Server()
    yield server
    server.end()


@pytest.fixture
def words(request: pytest.FixtureRequest, environment: Mapping[str, str], store_kind: str) -> Iterator[Words]:
    """The words of a command line: as they are, or such that a server is asked, where that can be."""
    if store_kind != "remote":
        yield lambda *arguments: list(arguments)
        return
    server: Server = request.getfixturevalue("a_server")

    def through(*arguments: str) -> list[str]:
        if not can_be_asked(arguments):
            return list(arguments)
        server.serve(resolve())
        return ["--server", server.url, *arguments]

    yield through
    server.leave()


def can_be_asked(arguments: Sequence[str]) -> bool:
    """Whether it is not the event store itself that this command works on, nor none at all."""
    noun = next((word for word in arguments if word in ASKED_FOR), "")
    return bool(noun) and not ASKED_FOR[noun] & set(arguments)


@pytest.fixture
def call(words: Words, capsys: pytest.CaptureFixture[str]) -> Milepost:
    """The program in this process: as the executable does it, without waiting for a new interpreter."""

    def called(*arguments: str) -> Done:
        capsys.readouterr()
        code = run(words(*arguments))
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return called


@pytest.fixture
def milepost(environment: Mapping[str, str], words: Words) -> Milepost:
    """The real executable."""

    def executed(*arguments: str, input: str | None = None, **more: str) -> Done:  # noqa: A002
        done = subprocess.run(
            [EXECUTABLE, *words(*arguments)],
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
