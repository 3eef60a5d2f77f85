"""The simulation runs unmeasured: measuring makes it twice as slow, and other tests pass through all that it does."""

from collections.abc import Generator

import pytest
from coverage import Coverage


@pytest.fixture(autouse=True)
def unmeasured() -> Generator[None]:
    measured = Coverage.current()
    if measured is not None:
        measured.stop()
    yield
    if measured is not None:
        measured.start()
