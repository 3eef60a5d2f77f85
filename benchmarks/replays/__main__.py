"""`python -m benchmarks.replays`: replays by Milepost and by the library, taking turns in one run, on both databases.

Needs the extra `dev`. All programs replay the same events, recorded once; a run whose read model differs ends it.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from benchmarks.measuring import measured
from benchmarks.replays.bank import record
from tests.postgres import drop_database, fresh_database

OURS: Final = {f"milepost, by {kind}": ("-m", "benchmarks.replays.milepost", kind) for kind in ("batches", "events")}
THEIRS: Final = {
    f"library, {kind} view": ("-m", "benchmarks.replays.library", kind) for kind in ("sqlalchemy", "native")
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument(
        "--one-by-one", type=int, help="how many of them, from the first, for programs that take one by one; else all"
    )
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3, help="of all programs in turn; medians are compared")
    parser.add_argument("--database", choices=("SQLite", "PostgreSQL"), help="that one alone")
    chosen = parser.parse_args()
    for name, prepare in (("SQLite", in_a_file), ("PostgreSQL", on_a_server)):
        if chosen.database in (None, name):
            slow = chosen.one_by_one or chosen.events
            compare(name, prepare(chosen.accounts, chosen.events), chosen.events, slow, chosen.rounds)


def compare(name: str, copy: "Copies", events: int, one_by_one: int, rounds: int) -> None:
    rates: dict[str, list[float]] = {}
    models: dict[int, set[str]] = {}  # by how many events they tell of
    for number in range(rounds):
        for peer, (flag, module, kind) in {**OURS, **THEIRS}.items():
            count = events if kind == "batches" else one_by_one
            url, drop = copy()
            figures = measured(flag, module, url, str(count), kind)
            drop()
            rates.setdefault(peer, []).append(float(str(figures["events_per_s"])))
            models.setdefault(count, set()).add(str(figures["rows"]))
        print(f"round {number + 1} of {rounds} done", flush=True)
    if any(len(found) > 1 for found in models.values()):
        sys.exit(f"the read models differ: {models}")
    report({peer: statistics.median(found) for peer, found in rates.items()}, events, name)


Copies = Callable[[], tuple[str, Callable[[], None]]]  # the URL of a fresh copy, and what drops it


def in_a_file(accounts: int, events: int) -> Copies:
    folder = Path(tempfile.mkdtemp())
    recorded, copied = folder / "recorded.sqlite", folder / "copy" / "events.sqlite"
    record(f"sqlite:///{recorded}", accounts, events)

    def copy() -> tuple[str, Callable[[], None]]:
        copied.parent.mkdir()
        shutil.copy(recorded, copied)
        return f"sqlite:///{copied}", lambda: shutil.rmtree(copied.parent)

    return copy


def on_a_server(accounts: int, events: int) -> Copies:
    recorded = fresh_database()
    record(recorded, accounts, events)

    def copy() -> tuple[str, Callable[[], None]]:
        url = fresh_database(template=make_url(recorded).database or "")
        return url, lambda: drop_database(url)

    return copy


def report(medians: dict[str, float], events: int, database: str) -> None:
    print(f"\na replay of {events:,} events on {database}, median events per second:")
    for name, rate in medians.items():
        print(f"  {name:<26} {rate:>10,.0f}")
    for ours in OURS:
        for theirs in THEIRS:
            print(f"  {ours} / {theirs}: {medians[ours] / medians[theirs]:.1f}")
    print()


if __name__ == "__main__":
    main()
