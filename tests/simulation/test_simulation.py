"""A thousand seeds, each a world in which everything goes wrong at once, and no real time passes."""

import os
from collections import Counter

import pytest

from milepost.domain.envelope import RecordedEvent
from tests.simulation.world import World

SEEDS = int(os.environ.get("MILEPOST_SIMULATION_SEEDS", "1000"))
FIRST = int(os.environ.get("MILEPOST_SIMULATION_FIRST_SEED", "0"))
SEEDS_A_TEST = 50


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, SEEDS_A_TEST))
def test_whatever_happens_no_job_is_stuck_and_no_history_or_list_is_wrong(first: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(first, min(first + SEEDS_A_TEST, FIRST + SEEDS)):
        world = World(seed)
        try:
            world.live_through()
        except BaseException as error:
            error.add_note(f"seed {seed}: run it alone with MILEPOST_SIMULATION_FIRST_SEED={seed} ..._SEEDS=1")
            raise
        finally:
            world.database.close()
        seen += world.seen

    if SEEDS >= SEEDS_A_TEST:  # the worlds are worth living in: all of this does happen
        assert {"killed", "handed back", "lease over", "got in between", "IllegalTransition"} <= seen.keys()
        ends = {"CompletedSuccessfully", "CompletedWithFailures", "Failed", "Stopped", "Cancelled"}
        assert {f"ended {end}" for end in ends} <= seen.keys()


def test_the_same_seed_lives_the_same_life() -> None:
    lives: list[list[list[RecordedEvent]]] = []
    for _ in range(2):
        world = World(4711)
        world.live_through()
        lives.append([list(world.store.history(job_id)) for job_id in world.jobs])
        world.database.close()

    assert lives[0] == lives[1]
    assert any(lives[0])
