"""What is stored of each job, side by side: its events, and the rows that a list shows of it; streamed."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final

import sqlalchemy as sa

from milepost.infrastructure.event_store.schema import EVENTS_TABLE, jobs, snapshots, status_changes, steps, tombstones

Values = tuple[Any, ...]

_NAMES: Final = count()  # two reads may be in one transaction
FETCHED: Final = 1_000  # rows at once from a server
BARE_ID: Final = re.compile(r"[0-9a-f]{32}")
_TOMBSTONES: Final = f"SELECT job_id, versions, head, remaining FROM {tombstones.name}"
_EVENTS: Final = {
    "sqlite": f"SELECT originator_id, originator_version, topic, state, chain FROM {EVENTS_TABLE}",
    "postgresql": (
        "SELECT replace(originator_id::text, '-', ''), originator_version, topic, state, chain"
        f" FROM {EVENTS_TABLE} AS e"
    ),
}


class Cursors:
    """The driver's own cursors inside a read of the caller's: SQLAlchemy's work per row costs as much as reading it."""

    def __init__(self, connection: sa.Connection) -> None:
        if not connection.in_transaction():  # of the driver's own cursors SQLAlchemy knows nothing, and begins none
            connection.begin()
        self.connection = connection
        self.dialect = connection.dialect.name
        self._open: list[Any] = []

    def rows(self, asked: str, values: Values = ()) -> Iterator[Values]:
        """What a statement with question marks gives, fetched as it is read."""
        if self.dialect == "sqlite":
            cursor: Any = self.connection.connection.cursor()
        else:
            driver: Any = self.connection.connection.driver_connection
            cursor = driver.cursor(f"milepost_audit_{next(_NAMES)}", binary=True)
            cursor.itersize = FETCHED
            asked = asked.replace("?", "%s")
        self._open.append(cursor)
        cursor.execute(asked, values)
        rows: Iterator[Values] = iter(cursor)
        return rows

    def __enter__(self) -> "Cursors":
        return self

    def __exit__(self, *_: object) -> None:
        for cursor in self._open:
            cursor.close()


class Rows:
    """Rows in the order of their jobs, whose id comes first; the next one is known."""

    def __init__(self, rows: Iterable[Values]) -> None:
        self._rows = iter(rows)
        self.next: Values | None = next(self._rows, None)

    def of(self, key: str) -> Iterator[Values]:
        """Those of a job that have not been read yet."""
        while (row := self.next) is not None and row[0] == key:
            self.next = next(self._rows, None)
            yield row


class Stored:
    """The tables from the job behind `after` on, or from `first` to `until`, or of the job `only`."""

    def __init__(
        self,
        cursors: Cursors,
        *,
        after: str = "",
        first: str | None = None,
        until: str | None = None,
        only: str | None = None,
    ) -> None:
        events = _EVENTS[cursors.dialect]
        self.foreign: list[tuple[str, str]] = []  # tables, and ids in them that have no place in the order of the jobs
        which = {"after": after, "first": first, "until": until, "only": only}
        bare_ones = {name: value if value is None else bare(value) for name, value in which.items()}
        asked = _asked(events, "originator_id", "originator_version", bare_ones)
        # What is no id has no events, and a server would refuse to look for them.
        none = only is not None and not is_id(only)
        self.events = Rows(() if none else _of_jobs(cursors.rows(*asked), self.foreign))
        self.jobs, self.steps, self.status_changes, self.snapshots = (
            Rows(_of_texts(cursors.rows(*_asked(_select(table), *_keys(table), which)), table.name, self.foreign))
            for table in (jobs, steps, status_changes, snapshots)
        )
        of_pruned = cursors.rows(*_asked(_TOMBSTONES, "job_id", "job_id", which))
        self.tombstones = Rows(_of_texts(of_pruned, tombstones.name, self.foreign))
        self._of_rows = (self.jobs, self.steps, self.status_changes, self.snapshots, self.tombstones)

    def next_job(self) -> str | None:
        """The id of the next job of which anything is stored; None at the end."""
        heads = [rows.next[0] for rows in self._of_rows if rows.next is not None]
        if self.events.next is not None:
            heads.append(dashed(self.events.next[0]))
        return min(heads, default=None)

    def skip(self, job_id: str) -> None:
        """Leave the rest of a job out."""
        for rows, key in ((self.events, bare(job_id)), *((rows, job_id) for rows in self._of_rows)):
            for _ in rows.of(key):
                pass


def _of_jobs(rows: Iterable[Values], foreign: list[tuple[str, str]]) -> Iterator[Values]:
    """Events without those whose id is none, which go to `foreign`.

    No method: a generator that holds what holds it would keep all that was fetched until cyclic garbage is looked for.
    """
    known = ""
    for row in rows:
        if not known or row[0] != known:
            if not (isinstance(row[0], str) and BARE_ID.fullmatch(row[0])):
                foreign.append((EVENTS_TABLE, str(row[0])))
                continue
            known = row[0]
        yield row


def _of_texts(rows: Iterable[Values], table: str, foreign: list[tuple[str, str]]) -> Iterator[Values]:
    """Rows without those whose id is no text, as SQLite lets it be: they go to `foreign`."""
    for row in rows:
        if isinstance(row[0], str):
            yield row
        else:
            foreign.append((table, str(row[0])))


def is_id(text: object) -> bool:
    """Whether a row's id is one that a job can have."""
    return isinstance(text, str) and dashed(bare(text)) == text and BARE_ID.fullmatch(bare(text)) is not None


def dashed(bare: str) -> str:
    """An id as the rows have it."""
    return f"{bare[:8]}-{bare[8:12]}-{bare[12:16]}-{bare[16:20]}-{bare[20:]}"


def bare(job_id: str) -> str:
    """An id as the events have it on SQLite; what is no id as it is, so that it is not taken for one."""
    text = job_id.replace("-", "")
    return text if dashed(text) == job_id else job_id


def _select(table: sa.Table) -> str:
    columns = ", ".join(f'"{column.name}"' for column in table.c)
    return f"SELECT {columns} FROM {table.name}"


def _keys(table: sa.Table) -> tuple[str, str]:
    job, *others = (column.name for column in table.primary_key.columns)
    return job, others[0] if others else job


def _asked(selected: str, job: str, then: str, which: Mapping[str, str | None]) -> tuple[str, Values]:
    where, values = within(job, **which)
    return f"{selected}{where} ORDER BY {job}, {then}", values


def within(
    job: str,
    *,
    after: str | None = None,
    first: str | None = None,
    until: str | None = None,
    only: str | None = None,
) -> tuple[str, Values]:
    """The condition that a column's value is behind `after`, from `first`, up to `until`, or `only` this one."""
    given = {f"{job} > ?": after or None, f"{job} >= ?": first, f"{job} <= ?": until, f"{job} = ?": only}
    meant = {asked: value for asked, value in given.items() if value is not None}
    return f" WHERE {' AND '.join(meant)}" if meant else "", tuple(meant.values())
