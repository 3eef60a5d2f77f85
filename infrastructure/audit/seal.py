"""A seal: the newest link of every job's chain and a Merkle root over them, to be kept elsewhere."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from milepost.infrastructure.audit.lines import Count, Digest, Line, LinesFile, written
from milepost.infrastructure.audit.linked_events import heads
from milepost.infrastructure.audit.merkle import MerkleTree
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

    @property
    def entry(self) -> bytes:
        """What the tree is made of: the id, the version as eight bytes, the link."""
        return _ENTRY.pack(self.job_id.bytes, self.version, bytes.fromhex(self.head))


class SealEnd(Line):
    """The last line of a seal."""

    jobs: Count
    root: Digest
    """The Merkle tree hash of RFC 6962 over the entries: 16 bytes of id, 8 of version (big-endian), 32 of link."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a seal says in short."""

    jobs: int
    root: str
    sealed_at: datetime


def seal(database: Database, file: BinaryIO, *, event_store: str, at: datetime) -> Sealed:
    """Write the heads of all chains, as they were at one moment."""
    file.write(written(SealManifest(event_store=event_store, sealed_at=at)))
    tree = MerkleTree()
    with database.read() as connection:
        for job_id, version, head in heads(connection):
            sealed = SealedHead(job_id=job_id, version=version, head=head.hex())
            tree.add(sealed.entry)
            file.write(written(sealed))
    root = tree.root.hex()
    file.write(written(SealEnd(jobs=tree.size, root=root)))
    return Sealed(tree.size, root, at)


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
        tree = MerkleTree()
        for head in self.heads():
            tree.add(head.entry)
        return Sealed(tree.size, tree.root.hex(), self.manifest.sealed_at)
