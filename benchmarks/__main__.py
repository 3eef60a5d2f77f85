"""`python -m benchmarks`: no-op steps against DBOS, taking turns in one run; prints a table and the ratios.

Needs the extra `bench`. A peer with modes of its own is measured in each, and compared by its fastest.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MODES = ("sequential", "threads")


def measured(*command: str) -> dict[str, object]:
    """The JSON line that a program printed last."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, cwd=HERE.parent)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    figures: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    print(json.dumps(figures), flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3, help="of all programs in turn; medians are compared")
    parser.add_argument("--peer", default=str(HERE / "peers" / "dbos_steps.py"))
    chosen = parser.parse_args()
    rates: dict[str, list[float]] = {}
    for number in range(chosen.rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours = measured("-m", "benchmarks.noop_steps", f"sqlite:///{folder}/milepost.sqlite", str(chosen.steps))
            rates.setdefault("milepost", []).append(float(str(ours["steps_per_s"])))
            for mode in MODES:
                url = f"sqlite:///{folder}/dbos-{mode}.sqlite"
                theirs = measured(chosen.peer, url, str(chosen.steps), mode)
                rates.setdefault(f"dbos {mode}", []).append(float(str(theirs["steps_per_s"])))
        print(f"round {number + 1} of {chosen.rounds} done", flush=True)
    report({name: statistics.median(found) for name, found in rates.items()}, chosen.steps)


def report(medians: dict[str, float], steps: int) -> None:
    print(f"\n{steps:,} durable no-op steps on SQLite, median steps per second:")
    for name, rate in medians.items():
        print(f"  {name:<16} {rate:>10,.0f}")
    fastest = max(rate for name, rate in medians.items() if name != "milepost")
    print(f"  ratio to the fastest DBOS mode: {medians['milepost'] / fastest:.0f}")


if __name__ == "__main__":
    main()
