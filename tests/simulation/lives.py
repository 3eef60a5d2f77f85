"""Lives through worlds, one for each seed, as a program: `python -m tests.simulation.lives FIRST [HOW MANY]`."""

import json
import sys
from collections import Counter

from tests.simulation.world import World


def live_through(seeds: range) -> Counter[str]:
    """What was seen in the worlds of these seeds; the first in which something is wrong ends it, and says its seed."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        world = World(seed)
        try:
            world.live_through()
        except BaseException as error:
            error.add_note(f"seed {seed}: run it alone with `python -m tests.simulation.lives {seed}`")
            raise
        finally:
            world.database.close()
        seen += world.seen
    return seen


if __name__ == "__main__":
    first, *how_many = map(int, sys.argv[1:])
    sys.stdout.write(json.dumps(live_through(range(first, first + (how_many or [1])[0]))))
