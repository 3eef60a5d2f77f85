"""A program whose workers are asked to leave by a signal, one after the other, whatever they are doing just then."""

import signal
import sys
from collections.abc import Callable
from random import Random
from types import FrameType

from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.running.executors import ThreadExecutor
from milepost.infrastructure.running.perform import Environment
from milepost.infrastructure.running.worker import Worker

WORKERS = 200


def asking(leave: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    return lambda number, frame: leave()


def main() -> None:
    random, surroundings, types = Random(3), RealSurroundings(), JobTypes.load()
    database = open_database("sqlite://")
    store, executor = JobStore(database, surroundings), ThreadExecutor(1, Environment(types, database))
    for number in range(WORKERS):
        worker = Worker(store=store, job_types=types, executor=executor, surroundings=surroundings)
        signal.signal(signal.SIGALRM, asking(worker.abandon if number % 2 else worker.hand_back))
        # The first comes when it may, the others follow without a pause, some of them into the handler of another.
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.02), 0.001)
        worker.run()
        signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.write("all have left\n")


if __name__ == "__main__":
    main()
