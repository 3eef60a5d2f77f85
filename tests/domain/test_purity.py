"""The domain is pure: it imports nothing that does I/O, and asks nobody for the time, an id or a chance."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from milepost import domain

FILES: Final = sorted(Path(domain.__path__[0]).resolve().glob("*.py"))
ALLOWED: Final = {"pydantic", "immutables", "milepost"}  # beside the standard library
FROM_OUTSIDE: Final = {"now", "utcnow", "today", "uuid1", "uuid4", "open", "print", "getenv"}
of_each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@of_each_file
def test_a_domain_module_imports_only_values_and_other_domain_modules(file: Path) -> None:
    for name in imported(file):
        package = name.partition(".")[0]
        assert package in ALLOWED | sys.stdlib_module_names
        assert package != "milepost" or name.startswith("milepost.domain")
        assert package != "uuid" or name == "uuid.UUID"


@of_each_file
def test_a_domain_module_asks_nobody_for_the_time_an_id_or_a_file(file: Path) -> None:
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
    }

    assert not called & FROM_OUTSIDE


@of_each_file
def test_a_domain_module_says_in_one_sentence_what_it_is_for(file: Path) -> None:
    assert ast.get_docstring(tree(file))


@of_each_file
def test_a_domain_module_is_short_enough_to_be_read(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300
