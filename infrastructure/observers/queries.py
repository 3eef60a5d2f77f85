"""What people ask of observers and their partitions: lists by name and by page, counted by index."""

from collections.abc import Collection, Mapping
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
        """By name: the rows, with how far each is, what has failed, and who works on it.

        How many partitions each has met is not among it: to count a million of them takes a while.
        """
        return self._rows(self._observers(now).order_by(observers.c.name))

    def one(self, name: str, now: datetime) -> Row | None:
        """The same of one, and how many partitions it has met."""
        partitions = _of(sa.func.count(), observer_partitions, observers.c.generation).label("partitions")
        chosen = self._observers(now).add_columns(partitions).where(observers.c.name == name)
        return next(iter(self._rows(chosen)), None)

    def failed(
        self, observer: str | None, now: datetime, *, limit: int, after: tuple[str, str] | None = None
    ) -> list[Row]:
        """The partitions that are held, in the generation that is read, by observer and partition, behind `after`."""
        table = observer_partitions
        found: list[Row] = []
        with self._database.read() as connection:
            for each in self._standing(connection, now, observer):
                if after is not None and each["name"] < after[0]:
                    continue
                chosen = self._held(each["name"], each["generation"])
                if after is not None and each["name"] == after[0]:
                    chosen = chosen.where(table.c.partition > after[1])
                found += self._told(connection, each, chosen.limit(limit - len(found)))
                if len(found) >= limit:
                    break
        return found

    def failed_one(self, observer: str, text: str, now: datetime) -> Row | None:
        """The held partition of that key, or the only one that begins so. Raises AmbiguousPartition."""
        with self._database.read() as connection:
            for each in self._standing(connection, now, observer):
                for which in _meant(text):
                    chosen = self._held(observer, each["generation"]).where(which).limit(MATCHES_SHOWN)
                    found = self._told(connection, each, chosen)
                    if len(found) > 1:
                        raise AmbiguousPartition(observer, text, tuple(row["partition"] for row in found))
                    if found:
                        return found[0]
        return None

    def met(self, observer: str, text: str) -> str:
        """The partition of that key, or the only one that begins so. Raises AmbiguousPartition, PartitionUnknown."""
        read = sa.select(observers.c.generation).where(
            observers.c.namespace == self._namespace, observers.c.name == observer
        )
        generation = next((row["generation"] for row in self._rows(read)), 0)
        mine = self._of_generation(observer_partitions, observer, generation)
        chosen = sa.select(observer_partitions.c.partition).where(*mine).order_by(observer_partitions.c.partition)
        for which in _meant(text):
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

    def jobs(self, ids: Collection[str]) -> dict[str, Row]:
        """The jobs with these whole ids that are there."""
        found = self._rows(sa.select(jobs).where(jobs.c.id.in_(sorted(ids)))) if ids else []
        return {row["id"]: row for row in found}

    def changed(self) -> dict[str, str]:
        """When something last happened to each observer, by its name."""
        table = observer_events
        newest = sa.and_(
            table.c.namespace == observers.c.namespace,
            table.c.observer == observers.c.name,
            table.c.version == observers.c.version,
        )
        chosen = sa.select(observers.c.name, table.c.recorded_at).join(table, newest)
        rows = self._rows(chosen.where(observers.c.namespace == self._namespace))
        return {row["name"]: row["recorded_at"] for row in rows}

    def counts(self) -> dict[str, dict[PartitionStatus, int]]:
        """By observer: how many of its partitions do not go on with the others, by status."""
        table = observer_partitions
        read = sa.and_(
            table.c.namespace == observers.c.namespace,
            table.c.observer == observers.c.name,
            table.c.generation == observers.c.generation,
        )
        chosen = (
            sa.select(observers.c.name, table.c.status, sa.func.count().label("partitions"))
            .join(table, read)
            .where(observers.c.namespace == self._namespace, _HELD)
            .group_by(observers.c.name, table.c.status)
        )
        found: dict[str, dict[PartitionStatus, int]] = {}
        for row in self._rows(chosen):
            found.setdefault(row["name"], {})[PartitionStatus(row["status"])] = row["partitions"]
        return found

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
            _of(sa.func.count(), partitions, read, _HELD).label("failed"),
            _of(sa.func.count(), partitions, read, partitions.c.status == str(PartitionStatus.QUARANTINED)).label(
                "given_up"
            ),
            _of(sa.func.count(), observer_waiting, read).label("waiting"),
            sa.select(jobs.c.status).where(jobs.c.id == observers.c.job).scalar_subquery().label("job_status"),
            worked.scalar_subquery().label("job_worker"),
        ).where(observers.c.namespace == self._namespace)

    def _standing(self, connection: sa.Connection, now: datetime, name: str | None) -> list[Row]:
        """By name: those that hold any partition, with the generation that is read, and whether they go on.

        Their partitions are asked for by literals, so that an index is followed to the page.
        """
        table = observer_partitions
        any_held = sa.exists().where(
            table.c.namespace == observers.c.namespace,
            table.c.observer == observers.c.name,
            table.c.generation == observers.c.generation,
            _HELD,
        )
        columns = (observers.c.name, observers.c.generation, observers.c.paused, observers.c.quarantined)
        chosen = sa.select(*columns, observer_run(now.timestamp()).label("run")).where(
            observers.c.namespace == self._namespace, any_held
        )
        if name is not None:
            chosen = chosen.where(observers.c.name == name)
        return _fetched(connection, chosen.order_by(observers.c.name))

    def _held(self, observer: str, generation: int) -> sa.Select[Any]:
        table = observer_partitions
        mine = self._of_generation(table, observer, generation)
        return sa.select(table).where(*mine, _HELD).order_by(table.c.partition)

    def _told(self, connection: sa.Connection, observer: Row, chosen: sa.Select[Any]) -> list[Row]:
        """The held partitions of one observer that were chosen, each with what waits, its job, and its observer."""
        rows = _fetched(connection, chosen)
        if not rows:
            return []
        name, generation = observer["name"], observer["generation"]
        keys = [row["partition"] for row in rows]
        table = observer_waiting
        counted = sa.select(table.c.partition, sa.func.count().label("waiting")).where(
            *self._of_generation(table, name, generation), table.c.partition.in_(keys)
        )
        waiting = {
            row["partition"]: row["waiting"] for row in _fetched(connection, counted.group_by(table.c.partition))
        }
        working = sa.select(jobs.c.key, jobs.c.id).where(
            jobs.c.live,
            jobs.c.namespace == self._namespace,
            jobs.c.type.in_(OF_PARTITION),
            jobs.c.key.in_([f"{name}/{key}" for key in keys]),
        )
        # Unordered: for the order of ids SQLite would read all jobs of these types, by an index that has it.
        at_work = dict(sorted(((row["key"], row["id"]) for row in _fetched(connection, working)), reverse=True))
        standing = {"run": observer["run"], "paused": observer["paused"], "quarantined": observer["quarantined"]}
        return [
            {
                **row,
                **standing,
                "waiting": waiting.get(row["partition"], 0),
                "job": at_work.get(f"{name}/{row['partition']}"),
            }
            for row in rows
        ]

    def _of_generation(self, table: sa.Table, observer: str, generation: int) -> tuple[sa.ColumnElement[bool], ...]:
        return (table.c.namespace == self._namespace, table.c.observer == observer, table.c.generation == generation)

    def _rows(self, chosen: sa.Executable) -> list[Row]:
        with self._database.read() as connection:
            return _fetched(connection, chosen)


def _fetched(connection: sa.Connection, chosen: sa.Executable) -> list[Row]:
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


def _meant(text: str) -> tuple[sa.ColumnElement[bool], ...]:
    """The partition of that key; if there is none, those that begin so: a range, so that an index answers."""
    key = observer_partitions.c.partition
    return (key == text, sa.and_(key >= text, key < text + _BEHIND_ALL))
