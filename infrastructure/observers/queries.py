"""What people ask of observers and their partitions: lists by name and by page, counted by index."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from milepost.domain.observers.errors import ObserverError
from milepost.domain.observers.state import PartitionStatus
from milepost.infrastructure.event_store.database import Database
from milepost.infrastructure.event_store.lease_time import lease_holds, observer_run
from milepost.infrastructure.event_store.schema import (
    jobs,
    leases,
    observer_events,
    observer_partitions,
    observer_slices,
    observer_waiting,
    observers,
)

Row = Mapping[str, Any]
WHOLE: Final = ("catch-up-observer", "replay-observer", "rebuild-index")  # job types that hold a whole observer
OF_PARTITION: Final = ("recover-partition", "replay-observer-partition")
MATCHES_SHOWN: Final = 10
_HELD: Final = observer_partitions.c.status.is_not(None)  # as the index says it
_BEHIND_ALL: Final = "\U0010ffff"


class PartitionUnknown(ObserverError):
    """The observer has met no event of such a partition."""

    def __init__(self, observer: str, partition: str) -> None:
        self.observer, self.partition = observer, partition
        super().__init__(f"Observer '{observer}' has handled no event of a partition {partition}.")


class AmbiguousPartition(ObserverError):
    """Several partitions begin so."""

    def __init__(self, observer: str, prefix: str, matches: tuple[str, ...]) -> None:
        self.observer, self.prefix, self.matches = observer, prefix, matches
        more = " and more" if len(matches) >= MATCHES_SHOWN else ""
        super().__init__(
            f"'{prefix}' is the beginning of several partitions of observer '{observer}': {', '.join(matches)}{more}."
        )


class ObserverQueries:
    """The read side of the observers of one namespace."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._database = database
        self._namespace = namespace

    def all(self, now: datetime) -> list[Row]:
        """By name: the rows, with how far each is, what it has met, and who works on it."""
        return self._rows(self._observers(now).order_by(observers.c.name))

    def one(self, name: str, now: datetime) -> Row | None:
        return next(iter(self._rows(self._observers(now).where(observers.c.name == name))), None)

    def failed(self, observer: str | None = None, *, limit: int, after: tuple[str, str] | None = None) -> list[Row]:
        """The partitions that are held, in the generation that is read, by observer and partition, behind `after`."""
        found: list[Row] = []
        for name, generation in self._generations():
            if (observer is not None and name != observer) or (after is not None and name < after[0]):
                continue
            chosen = self._failed(name, generation)
            if after is not None and name == after[0]:
                chosen = chosen.where(observer_partitions.c.partition > after[1])
            found += self._rows(chosen.limit(limit - len(found)))
            if len(found) >= limit:
                break
        return found

    def failed_one(self, observer: str, text: str) -> Row | None:
        """The held partition of that key, or the only one that begins so. Raises AmbiguousPartition."""
        generation = dict(self._generations()).get(observer, 0)
        for which in (observer_partitions.c.partition == text, _begins(text)):
            found = self._rows(self._failed(observer, generation).where(which).limit(MATCHES_SHOWN))
            if len(found) > 1:
                raise AmbiguousPartition(observer, text, tuple(row["partition"] for row in found))
            if found:
                return found[0]
        return None

    def met(self, observer: str, text: str) -> str:
        """The partition of that key, or the only one that begins so. Raises AmbiguousPartition, PartitionUnknown."""
        mine = self._of_generation(observer, dict(self._generations()).get(observer, 0))
        chosen = sa.select(observer_partitions.c.partition).where(*mine).order_by(observer_partitions.c.partition)
        for which in (observer_partitions.c.partition == text, _begins(text)):
            found = tuple(str(row["partition"]) for row in self._rows(chosen.where(which).limit(MATCHES_SHOWN)))
            if len(found) > 1:
                raise AmbiguousPartition(observer, text, found)
            if found:
                return found[0]
        raise PartitionUnknown(observer, text)

    def live_jobs(self, types: tuple[str, ...], key: str) -> list[Row]:
        """Jobs of these types that are not at rest and have that key, oldest first."""
        chosen = sa.select(jobs).where(
            jobs.c.live, jobs.c.namespace == self._namespace, jobs.c.type.in_(types), jobs.c.key == key
        )
        return self._rows(chosen.order_by(jobs.c.id))

    def job(self, job_id: str) -> Row | None:
        """The job with this whole id."""
        return next(iter(self._rows(sa.select(jobs).where(jobs.c.id == job_id))), None)

    def changed_at(self, name: str) -> str | None:
        """When something last happened to it."""
        table = observer_events
        mine = (table.c.namespace == self._namespace, table.c.observer == name)
        chosen = sa.select(table.c.recorded_at).where(*mine).order_by(table.c.version.desc()).limit(1)
        return next((row["recorded_at"] for row in self._rows(chosen)), None)

    def counts(self, name: str, generation: int) -> dict[str, int]:
        """How many of its partitions do not go on with the others, by status."""
        chosen = (
            sa.select(observer_partitions.c.status, sa.func.count().label("partitions"))
            .where(*self._of_generation(name, generation), _HELD)
            .group_by(observer_partitions.c.status)
        )
        return {row["status"]: row["partitions"] for row in self._rows(chosen)}

    def _observers(self, now: datetime) -> sa.Select[Any]:
        read, written = observers.c.generation, observers.c.target
        slices, partitions = observer_slices, observer_partitions
        stamp = now.timestamp()
        worked = sa.select(leases.c.worker).where(leases.c.job_id == observers.c.job, lease_holds(stamp))
        return sa.select(
            observers,
            observer_run(stamp).label("run"),
            _of(sa.func.min(slices.c.position), slices, read).label("position"),
            _of(sa.func.sum(slices.c.handled), slices, read).label("handled"),
            _of(sa.func.min(slices.c.position), slices, written).label("job_position"),
            _of(sa.func.count(), partitions, read).label("partitions"),
            _of(sa.func.count(), partitions, read, _HELD).label("failed"),
            _of(sa.func.count(), partitions, read, partitions.c.status == str(PartitionStatus.QUARANTINED)).label(
                "given_up"
            ),
            _of(sa.func.count(), observer_waiting, read).label("waiting"),
            sa.select(jobs.c.status).where(jobs.c.id == observers.c.job).scalar_subquery().label("job_status"),
            worked.scalar_subquery().label("job_worker"),
        ).where(observers.c.namespace == self._namespace)

    def _failed(self, observer: str, generation: int) -> sa.Select[Any]:
        table, waiting = observer_partitions, observer_waiting
        waits = sa.select(sa.func.count()).where(
            waiting.c.namespace == table.c.namespace,
            waiting.c.observer == table.c.observer,
            waiting.c.generation == table.c.generation,
            waiting.c.partition == table.c.partition,
        )
        job = sa.select(sa.func.min(jobs.c.id)).where(
            jobs.c.live,
            jobs.c.namespace == table.c.namespace,
            jobs.c.type.in_(OF_PARTITION),
            jobs.c.key == table.c.observer.concat("/").concat(table.c.partition),
        )
        chosen = sa.select(table, waits.scalar_subquery().label("waiting"), job.scalar_subquery().label("job"))
        return chosen.where(*self._of_generation(observer, generation), _HELD).order_by(table.c.partition)

    def _generations(self) -> list[tuple[str, int]]:
        """Of each observer, by name, the one that is read: literals, so that an index is followed to the page."""
        chosen = sa.select(observers.c.name, observers.c.generation).where(observers.c.namespace == self._namespace)
        return [(row["name"], row["generation"]) for row in self._rows(chosen.order_by(observers.c.name))]

    def _of_generation(self, observer: str, generation: int) -> tuple[sa.ColumnElement[bool], ...]:
        table = observer_partitions
        return (table.c.namespace == self._namespace, table.c.observer == observer, table.c.generation == generation)

    def _rows(self, chosen: sa.Executable) -> list[Row]:
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(chosen).mappings()]


def _of(
    what: sa.ColumnElement[Any], table: sa.Table, generation: sa.Column[Any], *where: sa.ColumnElement[bool]
) -> sa.ScalarSelect[Any]:
    """Of the rows of one generation of the observer at hand."""
    return (
        sa.select(what)
        .select_from(table)
        .where(
            table.c.namespace == observers.c.namespace,
            table.c.observer == observers.c.name,
            table.c.generation == generation,
            *where,
        )
        .scalar_subquery()
    )


def _begins(text: str) -> sa.ColumnElement[bool]:
    """A range rather than LIKE, so that an index answers."""
    return sa.and_(observer_partitions.c.partition >= text, observer_partitions.c.partition < text + _BEHIND_ALL)
