"""What errors mean to a caller."""

import importlib
import pkgutil
from typing import Final

import pytest

import milepost.domain
import milepost.infrastructure
from milepost.interfaces import error_mapping
from milepost.interfaces.error_mapping import OUTCOMES, WORDS, problem_of

PACKAGES: Final = (milepost.domain, milepost.infrastructure)


def errors_of_ours() -> set[str]:
    """The names of all exception classes in our modules."""
    found: set[str] = set()
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            members = vars(importlib.import_module(module.name)).values()
            found |= {each.__name__ for each in members if isinstance(each, type) and issubclass(each, Exception)}
    return found


def test_every_error_in_the_table_exists() -> None:
    assert set(error_mapping._KNOWN) - {"Told"} <= errors_of_ours()  # pyright: ignore[reportPrivateUsage]


def test_every_exit_code_has_its_word() -> None:
    assert {code for code, _ in error_mapping._KNOWN.values()} <= set(WORDS)  # pyright: ignore[reportPrivateUsage]


def test_the_end_of_a_job_cannot_be_mistaken_for_a_failed_command() -> None:
    assert not (set(OUTCOMES.values()) - {0, 1}) & set(WORDS)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x")])
def test_an_error_of_nobody_is_none_of_ours(error: Exception) -> None:
    assert problem_of(error) is None
