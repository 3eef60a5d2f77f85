"""What holds for all tests."""

import os
import signal
from typing import Final

import coverage
import pytest

from tests.length import FULL, left_out_in_short

LONG: Final = ("tests/simulation", "tests/scenarios")

# A program that was started in the background, as a CI may be, ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The programs that tests start by the hundred would compile ours each time where the environment forbids to keep it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """How many `-n auto` means: one more than processors, for many tests wait for programs and leases."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ or not hasattr(os, "sched_getaffinity"):
        return None  # as xdist has it
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture
def measured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage, where it is measured, is that of programs that this test starts, too.

    Not of all that tests start: a program that is measured takes half as long again only to begin.
    """
    if coverage.Coverage.current() is not None:
        monkeypatch.setenv("COVERAGE_PROCESS_START", str(request.config.rootpath / "pyproject.toml"))
        monkeypatch.setenv("COVERAGE_FILE", str(request.config.rootpath / ".coverage"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long ones first: what several processes share out at the end is then short, and none works alone."""
    if not FULL and (left_out := left_out_in_short(items)):
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
