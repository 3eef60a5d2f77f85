"""The simulation is not measured: it switches between greenlets, which a tracer of threads would take for one."""

from collections.abc import Generator

import coverage
import pytest


@pytest.fixture(autouse=True)
def unmeasured() -> Generator[None]:
    measuring = coverage.Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    yield
    measuring.start()
