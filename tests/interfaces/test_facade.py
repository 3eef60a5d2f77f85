"""The names that a program imports from `milepost` itself."""

import ast
from pathlib import Path

import pytest

import milepost


@pytest.mark.parametrize("name", milepost.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(milepost, name) is getattr(milepost, name)


def test_type_checkers_see_the_very_same_names() -> None:
    source = ast.parse(Path(milepost.__file__).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(source) if isinstance(node, ast.ImportFrom) for alias in node.names} - {
        "TYPE_CHECKING",
        "version",
        "import_module",
    }

    assert imported | {"__version__"} == set(milepost.__all__)


def test_the_names_are_offered_when_exploring() -> None:
    assert set(milepost.__all__) <= set(dir(milepost))


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Jobb'"):
        getattr(milepost, "Jobb")  # noqa: B009 - a type checker would refuse the attribute
