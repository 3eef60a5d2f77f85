"""Failed partitions whose time has come are tried again: each by a `recover-partition` job, which anybody can see.

So is a partition whose replay was given up in the middle: it would wait for ever.
"""

import logging
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import cached_property
from typing import Final, NamedTuple

import sqlalchemy as sa

from milepost.domain.envelope import Origin
from milepost.domain.observers.state import PartitionStatus
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.clock import Surroundings
from milepost.infrastructure.event_store.database import CannotOpenDatabase, Database, DatabaseUnavailable
from milepost.infrastructure.event_store.schema import jobs, observer_partitions, observers
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.observers.holding import Holding, StillHandled
from milepost.infrastructure.observers.owning import LIVE_WAITS_SECONDS, Key

log = logging.getLogger("milepost.observers")

RECOVER: Final = "recover-partition"
REPLAY: Final = "replay-observer-partition"
LOOK_SECONDS: Final = 0.25
STARTED_AT_ONCE: Final = 100  # in one look; the others' time comes with the next
AGAIN_SECONDS: Final = 30.0  # a job that ended without a word, as a cancelled one does, is not started anew at once


class _Due(NamedTuple):
    """A partition that something is to be done for."""

    namespace: str
    observer: str
    partition: str


class Retries:
    """Looks which partitions are due. Safe to be asked by several processes: a partition has one live job."""

    def __init__(self, database: Database, job_types: JobTypes, surroundings: Surroundings, origin: Origin) -> None:
        self._database = database
        self._job_types = job_types
        self._surroundings = surroundings
        self._origin = origin
        self._looked_at = float("-inf")
        self._left: dict[_Due, float] = {}  # those that nothing could be done for, and until when they are left alone

    @cached_property
    def _store(self) -> JobStore:
        """Opened in a turn, where a database that does not answer is waited for."""
        return JobStore(self._database, self._surroundings)

    def turn(self, ready: Collection[Key]) -> bool:
        """Whether it looked, and nothing was due. `ready`: the observers that may go on."""
        tick = self._surroundings.monotonic()
        if tick < self._looked_at + LOOK_SECONDS:
            return False
        self._looked_at = tick
        self._left = {due: until for due, until in self._left.items() if until > tick}
        if not ready:
            return True
        given_up, due = self._look(ready)
        return not sum([self._each(given_up, self._give_back), self._each(due, self._start)])

    def _look(self, ready: Collection[Key]) -> tuple[list[_Due], list[_Due]]:
        """Those that no job replays any more, and those whose time has come."""
        now = self._surroundings.now()
        table = observer_partitions
        chosen = (
            sa.select(table.c.namespace, table.c.observer, table.c.partition)
            .select_from(observers.join(table, _of_its_generation()))
            .where(sa.tuple_(observers.c.namespace, observers.c.name).in_(sorted(ready)))
            .order_by(table.c.retry_at)
            .limit(STARTED_AT_ONCE + len(self._left))
        )
        given_up = chosen.where(
            table.c.status == PartitionStatus.REPLAYING,
            ~_job_of(REPLAY, jobs.c.live),
            ~_job_of(REPLAY, ~jobs.c.live, jobs.c.status == JobStatus.STOPPED),
        )
        lately = (now - timedelta(seconds=AGAIN_SECONDS)).isoformat()
        # A job that was begun for this retry and ended without saying how that went, as a cancelled one does.
        without_a_word = sa.and_(jobs.c.created_at > table.c.retry_at, jobs.c.ended_at > lately)
        due = chosen.where(
            table.c.status == PartitionStatus.FAILED,
            table.c.retry_at <= now.isoformat(),
            ~_job_of(RECOVER, jobs.c.live),
            ~_job_of(RECOVER, ~jobs.c.live, without_a_word),
        )
        with self._database.read() as connection:
            return [_Due(*row) for row in connection.execute(given_up)], [_Due(*row) for row in connection.execute(due)]

    def _each(self, found: Collection[_Due], act: Callable[[_Due], None]) -> int:
        """For how many it was done. One that it cannot be done for is told, and does not stop the others."""
        done = 0
        for each in found:
            if each in self._left:
                continue
            try:
                act(each)
                done += 1
            except Exception as error:
                if isinstance(error, (DatabaseUnavailable, CannotOpenDatabase)) and not isinstance(error, StillHandled):
                    raise  # any other is the partition's own
                self._left[each] = self._surroundings.monotonic() + AGAIN_SECONDS
                said = f"{type(error).__name__}: {error}"
                log.warning("observer %s: partition %r cannot be tried again: %s", each.observer, each.partition, said)
        return done

    def _give_back(self, due: _Due) -> None:
        holding = Holding(self._database, due.namespace, self._surroundings, self._origin, LIVE_WAITS_SECONDS)
        holding.give_back(due.observer, due.partition)

    def _start(self, due: _Due) -> None:
        request = {"observer": due.observer, "partition": due.partition}
        command = self._job_types.start_command(RECOVER, request, namespace=due.namespace)
        self._store.start(command, self._origin)  # another process may have been faster, or an operator


def _of_its_generation() -> sa.ColumnElement[bool]:
    table = observer_partitions
    return sa.and_(
        table.c.namespace == observers.c.namespace,
        table.c.observer == observers.c.name,
        table.c.generation == observers.c.generation,
    )


def _job_of(job_type: str, *which: sa.ColumnElement[bool]) -> sa.Exists:
    """A job for the partition: the key is that of `PartitionJob`."""
    key = observers.c.name.concat("/").concat(observer_partitions.c.partition)
    mine = (jobs.c.namespace == observers.c.namespace, jobs.c.type == job_type, jobs.c.key == key)
    return sa.exists().where(*mine, *which)
