"""What holds for all tests."""

import os
import signal
from typing import Final

import pytest

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: what several processes share out at the end is then short, and none works alone."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
