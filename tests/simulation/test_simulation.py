"""Hundreds of seeds, at full length a thousand, each a world in which all goes wrong at once in no real time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from milepost.domain.envelope import RecordedEvent
from tests.length import FULL
from tests.simulation.world import World

SEEDS = int(os.environ.get("MILEPOST_SIMULATION_SEEDS", "1000" if FULL else "200"))
FIRST = int(os.environ.get("MILEPOST_SIMULATION_FIRST_SEED", "0"))
SEEDS_A_TEST = 100


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, SEEDS_A_TEST))
def test_whatever_happens_no_job_is_stuck_and_no_history_or_list_is_wrong(first: int) -> None:
    how_many = min(SEEDS_A_TEST, FIRST + SEEDS - first)

    lived = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.simulation.lives", str(first), str(how_many)],
        cwd=Path(__file__).parents[2],
        # Unmeasured: measuring makes it more than twice as slow, and other tests pass through all that it does.
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        capture_output=True,
        text=True,
    )

    assert lived.returncode == 0, lived.stderr
    if how_many == SEEDS_A_TEST:  # the worlds are worth living in: all of this does happen
        seen = json.loads(lived.stdout).keys()
        assert {"killed", "handed back", "lease over", "got in between", "IllegalTransition"} <= seen
        ends = {"CompletedSuccessfully", "CompletedWithFailures", "Failed", "Stopped", "Cancelled"}
        assert {f"ended {end}" for end in ends} <= seen


def test_the_same_seed_lives_the_same_life() -> None:
    lives: list[list[list[RecordedEvent]]] = []
    for _ in range(2):
        world = World(4711)
        world.live_through()
        lives.append([list(world.store.history(job_id)) for job_id in world.jobs])
        world.database.close()

    assert lives[0] == lives[1]
    assert any(lives[0])
