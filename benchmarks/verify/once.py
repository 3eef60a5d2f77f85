"""Verifies one event store, and prints one JSON line: what was found, how long it took, and how much memory.

usage: python -m benchmarks.verify.once DATABASE_URL
`cpu_s` is this process alone: on a server, the database reads beside it.
"""

import json
import resource
import sys
import time

from milepost.infrastructure.audit.verifying import Verifier
from milepost.infrastructure.event_store.database import open_database


def memory_mb() -> float:
    """The most that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    database = open_database(sys.argv[1])
    at_first: list[float] = []
    verifier = Verifier(database, lambda _: at_first.append(memory_mb()))
    began, computed = time.perf_counter(), time.process_time()
    differences = list(verifier.all())
    seconds, cpu = time.perf_counter() - began, time.process_time() - computed
    figures = {
        "db": database.engine.dialect.name,
        "jobs": verifier.tally.jobs,
        "events": verifier.tally.events,
        "different": len(differences),
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu, 1),
        "events_per_s": round(verifier.tally.events / seconds),
        "events_per_cpu_s": round(verifier.tally.events / cpu),
        "memory_mb_after_one_read": round(at_first[0]),
        "memory_mb_at_most": round(memory_mb()),
    }
    database.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
