"""A seal: the newest link of every job's chain and a Merkle root over them, to be kept elsewhere."""

import heapq
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import AwareDatetime, Field

from milepost.infrastructure.audit.chain import GENESIS
from milepost.infrastructure.audit.lines import Count, Digest, Line, LinesFile, written
from milepost.infrastructure.audit.linked_events import heads
from milepost.infrastructure.audit.merkle import MerkleTree
from milepost.infrastructure.audit.side_by_side import is_id
from milepost.infrastructure.audit.tombstone_rows import TombstoneRow, tombstone_rows
from milepost.infrastructure.event_store.database import Database

FORMAT: Final = "milepost-seal"
VERSION: Final = 1
_ENTRY: Final = struct.Struct(">16sQ32s")


class SealManifest(Line):
    """The first line of a seal."""

    format: Literal["milepost-seal"] = FORMAT
    format_version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    event_store: str
    sealed_at: AwareDatetime
    """By the clock of the event store: only where the seal is kept says when it was there."""


class SealedHead(Line):
    """One job: how many events it had, and the link of the last of them. Jobs of all namespaces come by their ids."""

    job_id: UUID
    version: Annotated[int, Field(ge=1)]
    head: Digest
    pruned: Digest | None = None
    """Of a job that had been pruned: the digest of what its tombstone says."""

    @property
    def entry(self) -> bytes:
        """What the tree is made of: the id, the version as eight bytes, the link; behind it the tombstone's digest."""
        entry = _ENTRY.pack(self.job_id.bytes, self.version, bytes.fromhex(self.head))
        return entry + bytes.fromhex(self.pruned or "")


class SealEnd(Line):
    """The last line of a seal."""

    jobs: Count
    root: Digest
    """The Merkle tree hash of RFC 6962 over the entries: 16 bytes of id, 8 of version (big-endian), 32 of link, and of
    a pruned job the 32 of its tombstone's digest."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a seal says in short. `pruned`: of how many of the jobs there was only a tombstone."""

    jobs: int
    pruned: int
    root: str
    sealed_at: datetime


def seal(database: Database, file: BinaryIO, *, event_store: str, at: datetime) -> Sealed:
    """Write the heads of all chains, as they were at one moment."""
    file.write(written(SealManifest(event_store=event_store, sealed_at=at)))
    tree, pruned = MerkleTree(), 0
    with database.read() as connection:
        for sealed in _all_heads(connection):
            tree.add(sealed.entry)
            pruned += sealed.pruned is not None
            file.write(written(sealed))
    root = tree.root.hex()
    file.write(written(SealEnd(jobs=tree.size, root=root)))
    return Sealed(tree.size, pruned, root, at)


def _all_heads(connection: sa.Connection) -> Iterator[SealedHead]:
    """Of all jobs by their ids, also of those of which only a tombstone is there, or that and a beginning."""
    of_events = (
        SealedHead(job_id=job_id, version=version, head=head.hex()) for job_id, version, head in heads(connection)
    )
    of_tombstones = ((_pruned(row), row) for row in tombstone_rows(connection) if is_id(row.job_id))
    both = heapq.merge(((each, None) for each in of_events), of_tombstones, key=lambda each: each[0].job_id)
    for _, found in groupby(both, key=lambda each: each[0].job_id):
        (first, _), *more = found
        # A tombstone beside a whole history is no prune's; verifying tells of it, and the seal is of the history.
        yield next((head for head, row in more if row is not None and row.remaining), first)


def _pruned(row: TombstoneRow) -> SealedHead:
    """What cannot be is sealed as nothing; the digest is of what stands there."""
    faulty = row.fault is not None
    version, head = (1, GENESIS.hex()) if faulty else (row.versions, row.head)
    return SealedHead(job_id=UUID(row.job_id), version=version, head=head, pruned=row.digest)


class SealFile:
    """A seal as it is read. All raise LinesInvalid, also where its list is not the one that its root is of."""

    def __init__(self, path: Path) -> None:
        self._lines = LinesFile(path, FORMAT, VERSION)

    @cached_property
    def manifest(self) -> SealManifest:
        return self._lines.head(SealManifest)

    def heads(self) -> Iterator[SealedHead]:
        """All of them; whoever has got the last one knows that they are those of the root."""
        _, lines = self.manifest, self._lines
        tree, before = MerkleTree(), UUID(int=0)
        remaining = lines.lines()
        for line in remaining:
            if not line.startswith(b'{"jobId":'):
                break
            head = lines.parsed(SealedHead, line)
            if tree.size and head.job_id <= before:
                raise lines.invalid(f"job {head.job_id} stands behind job {before}, which has the greater id")
            before = head.job_id
            tree.add(head.entry)
            yield head
        else:
            raise lines.invalid("the last line, with the root, is not there: the file was cut off")
        end = lines.parsed(SealEnd, line)
        if (end.jobs, end.root) != (tree.size, tree.root.hex()):
            raise lines.invalid("the root of the list before is another one: the seal was altered")
        if next(remaining, None) is not None:
            raise lines.invalid("it stands behind the last line")

    def read(self) -> Sealed:
        """Read all of it, to know that it is whole."""
        tree, pruned = MerkleTree(), 0
        for head in self.heads():
            tree.add(head.entry)
            pruned += head.pruned is not None
        return Sealed(tree.size, pruned, tree.root.hex(), self.manifest.sealed_at)
