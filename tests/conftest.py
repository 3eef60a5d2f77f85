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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: what several processes share out at the end is then short, and none works alone."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
