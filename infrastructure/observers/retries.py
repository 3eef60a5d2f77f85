"""Failed partitions whose time has come are tried again: each by a `recover-partition` job, which anybody can see.

So is a partition whose replay was given up in the middle: it would wait for ever.
"""

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from milepost.domain.envelope import Origin
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.observers.state import PartitionStatus
from milepost.domain.state_machine import AT_REST, JobStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import jobs, observer_partitions
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.observers.holding import Holding

log = logging.getLogger("milepost.observers")

RECOVER: Final = "recover-partition"
REPLAY: Final = "replay-observer-partition"
LOOK_SECONDS: Final = 0.25
STARTED_AT_ONCE: Final = 100  # in one look; the others' time comes with the next
_OVER: Final = (*AT_REST - {JobStatus.STOPPED},)
AGAIN_SECONDS: Final = 30.0  # a job that ended without a word, as a cancelled one does, is not started anew at once


class Retries:
    """Looks which partitions are due. Safe to be asked by several processes: a partition has one live job."""

    def __init__(self, database: Database, job_types: JobTypes, surroundings: Surroundings, origin: Origin) -> None:
        self._store = JobStore(database, surroundings)
        self._database = database
        self._job_types = job_types
        self._surroundings = surroundings
        self._origin = origin
        self._looked_at = float("-inf")

    def turn(self, observers: Collection[ObserverState]) -> bool:
        """Whether it looked, and nothing was due."""
        tick = self._surroundings.monotonic()
        if tick < self._looked_at + LOOK_SECONDS:
            return False
        self._looked_at = tick
        ready = [observer for observer in observers if not observer.paused and observer.quarantined is None]
        return not sum([self._give_back(observer) + self._start_due(observer) for observer in ready])

    def _give_back(self, observer: ObserverState) -> int:
        """Those that no job replays any more: how many."""
        table = observer_partitions
        given_up = sa.select(table.c.partition).where(
            *_of(observer),
            table.c.status == PartitionStatus.REPLAYING,
            ~sa.exists().where(*_jobs_of(observer, REPLAY), jobs.c.status.not_in(_OVER)),
        )
        with self._database.read() as connection:
            partitions = list(connection.scalars(given_up.limit(STARTED_AT_ONCE)))
        holding = Holding(self._database, observer.namespace, self._surroundings, self._origin)
        for partition in partitions:
            holding.give_back(observer.name, partition)
        return len(partitions)

    def _start_due(self, observer: ObserverState) -> int:
        """How many were due."""
        now = self._surroundings.now()
        table = observer_partitions
        lately = (now - timedelta(seconds=AGAIN_SECONDS)).isoformat()
        # A job that was begun for this retry and ended without saying how that went, as a cancelled one does.
        without_a_word = sa.and_(jobs.c.created_at > table.c.retry_at, jobs.c.ended_at > lately)
        due = (
            sa.select(table.c.partition)
            .where(*_of(observer), table.c.status == PartitionStatus.FAILED, table.c.retry_at <= now.isoformat())
            .where(~sa.exists().where(*_jobs_of(observer, RECOVER), jobs.c.live))
            .where(~sa.exists().where(*_jobs_of(observer, RECOVER), ~jobs.c.live, without_a_word))
            .order_by(table.c.retry_at)
            .limit(STARTED_AT_ONCE)
        )
        with self._database.read() as connection:
            partitions = list(connection.scalars(due))
        for partition in partitions:
            request = {"observer": observer.name, "partition": partition}
            command = self._job_types.start_command(RECOVER, request, namespace=observer.namespace)
            self._store.start(command, self._origin)  # another process may have been faster, or an operator
        return len(partitions)


def _of(observer: ObserverState) -> tuple[sa.ColumnElement[bool], ...]:
    table = observer_partitions
    return (
        table.c.namespace == observer.namespace,
        table.c.observer == observer.name,
        table.c.generation == observer.generation,
    )


def _jobs_of(observer: ObserverState, job_type: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Of a partition: the key is that of `PartitionJob`."""
    key = sa.literal(f"{observer.name}/").concat(observer_partitions.c.partition)
    return (jobs.c.namespace == observer.namespace, jobs.c.type == job_type, jobs.c.key == key)
