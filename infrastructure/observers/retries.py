"""Failed partitions whose time has come are tried again: each by a `recover-partition` job, which anybody can see."""

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from milepost.domain.envelope import Origin
from milepost.domain.observers.state import Observer as ObserverState
from milepost.domain.observers.state import PartitionStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.schema import jobs, observer_partitions
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.job_types.registry import JobTypes

log = logging.getLogger("milepost.observers")

RECOVER: Final = "recover-partition"
LOOK_SECONDS: Final = 0.25
STARTED_AT_ONCE: Final = 100  # in one look; the others' time comes with the next
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

    def turn(self, observers: Collection[ObserverState]) -> None:
        tick = self._surroundings.monotonic()
        if tick < self._looked_at + LOOK_SECONDS:
            return
        self._looked_at = tick
        for observer in observers:
            if not observer.paused and observer.quarantined is None:
                self._start_due(observer)

    def _start_due(self, observer: ObserverState) -> None:
        now = self._surroundings.now()
        table = observer_partitions
        mine = sa.and_(
            table.c.namespace == observer.namespace,
            table.c.observer == observer.name,
            table.c.generation == observer.generation,
        )
        due = (
            sa.select(table.c.partition)
            .where(mine, table.c.status == PartitionStatus.FAILED, table.c.retry_at <= now.isoformat())
            .where(~sa.exists().where(*_live_job_of(observer, table.c.partition)))
            .order_by(table.c.retry_at)
            .limit(STARTED_AT_ONCE)
        )
        with self._database.read() as connection:
            partitions = list(connection.scalars(due))
        for partition in partitions:
            request = {"observer": observer.name, "partition": partition}
            command = self._job_types.start_command(RECOVER, request, namespace=observer.namespace)
            _, new = self._store.start(command, self._origin)
            if not new:
                continue  # another process was faster, or an operator
            later = (now + timedelta(seconds=AGAIN_SECONDS)).isoformat()
            put_off = table.update().where(mine, table.c.partition == partition, table.c.retry_at <= now.isoformat())
            with self._database.write() as connection:
                connection.execute(put_off.values(retry_at=later))


def _live_job_of(observer: ObserverState, partition: sa.ColumnElement[str]) -> tuple[sa.ColumnElement[bool], ...]:
    """The key is that of `RecoverPartition`."""
    key = sa.literal(f"{observer.name}/").concat(partition)
    return (jobs.c.live, jobs.c.namespace == observer.namespace, jobs.c.type == RECOVER, jobs.c.key == key)
