"""One import name over three folders: the links, the build table and the wheel must agree."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
FACADE: Final = ROOT / "src" / "milepost"
LAYERS: Final = ("domain", "infrastructure", "interfaces")
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL_TABLE: Final = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run_python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an sdist has no links, nor needs any")
@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_is_linked_into_the_import_package(layer: str) -> None:
    assert (FACADE / layer).readlink() == Path("..", "..", layer)


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_has_its_row_in_the_build_table(layer: str) -> None:
    assert layer in WHEEL_TABLE["only-include"]
    assert WHEEL_TABLE["sources"][layer] == f"milepost/{layer}"


def test_the_build_table_names_the_facade_and_the_layers_and_nothing_else() -> None:
    assert WHEEL_TABLE["sources"].keys() == {"src", *LAYERS}


def test_the_wheel_holds_every_file_of_the_tree_under_one_name(wheel: Path) -> None:
    in_layers = {f"milepost/{file}" for layer in LAYERS for file in files_under(layer)}

    assert packaged(wheel) == in_layers | {f"milepost/{name}" for name in ("__init__.py", "client.py", "py.typed")}


def test_the_wheel_puts_nothing_but_milepost_on_the_import_path(unpacked: Path) -> None:
    version = PROJECT["project"]["version"]

    assert {entry.name for entry in unpacked.iterdir()} == {
        "milepost",
        f"milepost-{version}.dist-info",
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_is_imported_from_the_wheel_without_the_checkout(layer: str, unpacked: Path, tmp_path: Path) -> None:
    program = f"import milepost.{layer} as layer; print(layer.__file__)"

    imported = run_python("-c", program, cwd=tmp_path, path=unpacked)

    assert Path(imported) == unpacked / "milepost" / layer / "__init__.py"


def test_the_wheel_knows_its_version(unpacked: Path, tmp_path: Path) -> None:
    program = "import milepost; print(milepost.__version__)"

    assert run_python("-c", program, cwd=tmp_path, path=unpacked) == PROJECT["project"]["version"]


def test_importing_milepost_loads_no_dependency_before_it_is_needed(tmp_path: Path) -> None:
    heavy = {"eventsourcing", "pydantic", "rich", "sqlalchemy", "typer"}
    program = f"import sys, milepost; print(*sorted({heavy} & sys.modules.keys()))"

    assert run_python("-c", program, cwd=tmp_path) == ""


def files_under(layer: str) -> set[str]:
    found = (path for path in (ROOT / layer).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if path.parent.name != "__pycache__"}


def packaged(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.startswith("milepost/")}


def run_python(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """What Python printed, run unmeasured: a copy of the source is not what coverage counts."""
    unmeasured = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    search = {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=unmeasured | search,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
