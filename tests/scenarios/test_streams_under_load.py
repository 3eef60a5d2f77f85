"""Many listen while many command: everybody hears everything once, the server's memory is bounded."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from milepost.infrastructure.event_store.all_streams import AllStreams
from tests.postgres import fresh_url
from tests.scenarios.serving import JOBS, Commanders, ServerProcess, serving
from tests.scenarios.workshop import FULL, PATIENCE_SECONDS, Workshop, tell

READERS: Final = 500 if FULL else 50
COMMANDS_A_SECOND: Final = 100 if FULL else 50
SECONDS: Final = 60 if FULL else 4
MOST_MEGABYTES_MORE: Final = 100  # than once all streams are open: what is heard must not be kept
ROOT: Final = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["file", "server"])
def test_every_listener_hears_every_event_once_while_many_command(tmp_path: Path, kind: str) -> None:
    with closing(Workshop(tmp_path, url=fresh_url() if kind == "server" else None)) as workshop:
        assert workshop.milepost("event-stores", "create").code == 0
        with serving(workshop) as server:
            found, commanders, memory = under_load(workshop, server)
    assert not commanders.errors
    assert not found["wrong"]
    assert found["heard"] >= READERS * len(commanders.latencies) > 0
    assert max(memory) - memory[0] <= MOST_MEGABYTES_MORE


def under_load(workshop: Workshop, server: ServerProcess) -> tuple[dict[str, Any], Commanders, list[float]]:
    """What the readers found, what commands met, and the server's memory from second to second."""
    readers = subprocess.Popen(
        [sys.executable, "-m", "tests.scenarios.listeners", str(server.port), f"{JOBS}/stream", str(READERS)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert readers.stdout is not None
        assert readers.stdout.readline() == "open\n"
        commanders = Commanders(server.port, COMMANDS_A_SECOND, SECONDS)
        memory, over, computed = [server.resident], threading.Event(), server.cpu
        watch = threading.Thread(target=_watch, args=(server, memory, over))
        watch.start()
        begun = time.monotonic()
        commanders.run()
        seconds = time.monotonic() - begun
        over.set()
        watch.join()
        out, _ = readers.communicate(json.dumps(versions(workshop)), PATIENCE_SECONDS)
    finally:
        readers.kill()
    found: dict[str, Any] = json.loads(out)
    events = found["heard"] / READERS
    tell(
        f"{READERS} readers, {len(commanders.latencies) / seconds:.1f} commands and {events / seconds:.1f} events a"
        f" second for {seconds:.1f} s: {found['heard']:,} heard in {found['pieces']:,} pieces"
    )
    tell(f"commands, from when they were due: {_spread(commanders.latencies)}")
    tell(f"events, from when they were recorded to each reader: {_spread(found['latencies'])}")
    tell(f"the server's memory: {memory[0]:.0f} MB, at the end {memory[-1]:.0f}, at most {max(memory):.0f}")
    tell(f"seconds computed: the server {server.cpu - computed:.1f}, the readers {found['cpu']:.1f}")
    tell(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return found, commanders, memory


def versions(workshop: Workshop) -> dict[str, int]:
    """How far the stream of each job has gone, by its events themselves."""
    events = AllStreams(workshop.store.database).after(None, 1_000_000).events
    return Counter(str(event.job_id) for event in events)


def _watch(server: ServerProcess, memory: list[float], over: threading.Event) -> None:
    while not over.wait(1.0):
        memory.append(server.resident)


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, at most {ordered[-1] * 1000:.0f} ms"
