"""`python -m benchmarks`: no-op steps against DBOS, taking turns in one run, and latencies, on both databases.

Replays have a program of their own: `python -m benchmarks.replays`.
Needs the extras `dev` and `bench`. A peer with modes of its own is measured in each, and compared by its fastest.
"""

import argparse
import statistics
import tempfile

from benchmarks.measuring import HERE, measured
from tests.postgres import fresh_database

MODES = ("sequential", "threads")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=200, help="that are started and stopped for the latencies")
    parser.add_argument("--rounds", type=int, default=3, help="of all programs in turn; medians are compared")
    parser.add_argument("--peer", default=str(HERE / "peers" / "dbos_steps.py"))
    chosen = parser.parse_args()
    for name, url_of in (("SQLite", in_a_file), ("PostgreSQL", on_a_server)):
        rates: dict[str, list[float]] = {}
        for number in range(chosen.rounds):
            ours = measured("-m", "benchmarks.noop_steps", url_of("milepost"), str(chosen.steps))
            rates.setdefault("milepost", []).append(float(str(ours["steps_per_s"])))
            for mode in MODES:
                theirs = measured(chosen.peer, url_of(f"dbos-{mode}"), str(chosen.steps), mode)
                rates.setdefault(f"dbos {mode}", []).append(float(str(theirs["steps_per_s"])))
            print(f"round {number + 1} of {chosen.rounds} done", flush=True)
        report({peer: statistics.median(found) for peer, found in rates.items()}, chosen.steps, name)
        measured("-m", "benchmarks.latencies", url_of("latencies"), str(chosen.jobs))


def in_a_file(name: str) -> str:
    return f"sqlite:///{tempfile.mkdtemp()}/{name}.sqlite"


def on_a_server(_name: str) -> str:
    """A database of its own on the PostgreSQL that the tests use, too."""
    return fresh_database()


def report(medians: dict[str, float], steps: int, database: str) -> None:
    print(f"\n{steps:,} durable no-op steps on {database}, median steps per second:")
    for name, rate in medians.items():
        print(f"  {name:<16} {rate:>10,.0f}")
    fastest = max(rate for name, rate in medians.items() if name != "milepost")
    print(f"  ratio to the fastest DBOS mode: {medians['milepost'] / fastest:.1f}\n")


if __name__ == "__main__":
    main()
