"""What the tombstones of pruned jobs say, and one digest of all of it that a seal can keep."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.audit.side_by_side import is_id
from milepost.infrastructure.event_store.schema import tombstones

PAGE: Final = 1_000
_LINK: Final = re.compile("[0-9a-f]{64}")
# What is in the digest, for ever, in this order. How many events are still to be deleted changes until there are none.
_KEPT: Final = (
    "job_id",
    "namespace",
    "type",
    "status",
    "versions",
    "head",
    "created_at",
    "ended_at",
    "pruned_at",
    "actor",
    "source",
    "reason",
    "places",
    "archive",
)


@dataclass(frozen=True, slots=True)
class TombstoneRow:
    """One, as it is stored. `head`: of its chain, in hexadecimal; `digest`: of all that it says for ever."""

    job_id: str
    versions: Any
    head: Any
    remaining: Any
    digest: str

    @property
    def fault(self) -> tuple[str, str] | None:
        """The column and the reason why no prune can have written it."""
        if not is_id(self.job_id):
            return "job_id", f"{self.job_id!r} is an id that no job can have"
        if not isinstance(self.versions, int) or self.versions < 1:
            return "versions", f"a job cannot have had {self.versions!r} events"
        if not isinstance(self.remaining, int) or not 0 <= self.remaining <= self.versions:
            return "remaining", f"of {self.versions} events {self.remaining!r} cannot be left"
        if not isinstance(self.head, str) or not _LINK.fullmatch(self.head):
            return "head", "it has no head, so nothing shows what the history was"
        return None


def tombstone_row(connection: sa.Connection, job_id: UUID) -> TombstoneRow | None:
    """That of a job; None where it was not pruned."""
    asked = sa.select(tombstones).where(tombstones.c.job_id == str(job_id))
    row = connection.execute(asked).mappings().one_or_none()
    return None if row is None else _of(row)


def tombstone_rows(connection: sa.Connection) -> Iterator[TombstoneRow]:
    """All, by their ids, page by page."""
    after = ""
    asked = sa.select(tombstones).order_by(tombstones.c.job_id).limit(PAGE)
    while rows := connection.execute(asked.where(tombstones.c.job_id > after)).mappings().all():
        yield from map(_of, rows)
        after = rows[-1]["job_id"]


def _of(row: sa.RowMapping) -> TombstoneRow:
    digest = _digest([row[column] for column in _KEPT])
    return TombstoneRow(row["job_id"], row["versions"], row["head"], row["remaining"], digest)


def _digest(values: Sequence[Any]) -> str:
    """SHA-256 of these columns as a JSON array in ASCII without spaces."""
    return hashlib.sha256(json.dumps(values, separators=(",", ":"), default=repr).encode()).hexdigest()
