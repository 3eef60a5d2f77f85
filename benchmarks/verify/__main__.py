"""`python -m benchmarks.verify`: an event store of a million events, verified by a process of its own.

Each job's steps start, report once and succeed. Half of the events are of jobs of ten steps, half of 10,000: many
small histories cost more per event than few large ones.
"""

import argparse
import tempfile

from benchmarks.measuring import measured
from benchmarks.verify.store import furnish
from tests.postgres import fresh_database


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--on", choices=("sqlite", "postgresql", "both"), default="both")
    chosen = parser.parse_args()
    urls: list[str] = []
    if chosen.on != "postgresql":
        urls.append(f"sqlite:///{tempfile.mkdtemp()}/jobs.sqlite")
    if chosen.on != "sqlite":
        urls.append(fresh_database())
    for url in urls:
        made = furnish(url, chosen.events)
        print(f"{made:,} events on {url.split(':')[0]}", flush=True)
        for _ in range(chosen.rounds):
            measured("-m", "benchmarks.verify.once", url)


if __name__ == "__main__":
    main()
