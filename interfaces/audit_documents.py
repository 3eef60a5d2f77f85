"""What `milepost audit` answers with, as documents."""

from dataclasses import dataclass, field

from milepost.interfaces.documents import Document
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.result_documents import EventDocument


@dataclass(frozen=True, slots=True)
class BrokenChain(Document):
    """A job whose chain does not hold."""

    id: str
    version: int
    """Of the first event that does not follow from the one before it."""


@dataclass(frozen=True, slots=True)
class ExportResult(Document):
    """What was exported."""

    file: str
    event_store: str
    namespace: str
    jobs: int
    events: int
    sha256: str
    """The digest in the file's last line: of all lines before."""
    broken: list[BrokenChain] = field(default_factory=list[BrokenChain])
    """Jobs that were exported as they are stored, and that nobody will import: their chains do not hold."""


@dataclass(frozen=True, slots=True)
class JobLeftOut(Document):
    """A job of a file that was not imported."""

    id: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportResult(Document):
    """What an import did."""

    file: str
    event_store: str
    namespace: str
    """Of the jobs: they keep the one they had."""
    imported: int
    """Jobs that are here now."""
    events: int
    """Of those."""
    there: int
    """Jobs that were here already, with the same events."""
    refused: list[JobLeftOut]


@dataclass(frozen=True, slots=True)
class ReplayedEvent(Document):
    """An event of an exported history, and the job as it was right after it."""

    event: EventDocument
    job: JobDocument
    """Without its steps."""


@dataclass(frozen=True, slots=True)
class SealResult(Document):
    """What was sealed."""

    file: str
    event_store: str
    jobs: int
    pruned: int
    """How many of them had been pruned: their tombstones are sealed."""
    root: str
    """The Merkle root of all chains; whoever keeps it can tell later whether a seal was altered."""
    sealed_at: str


@dataclass(frozen=True, slots=True)
class DifferenceDocument(Document):
    """The first difference of a job: where what is stored is not what was recorded, or does not follow from it."""

    job_id: str
    version: int
    """Of the event that it is in, or up to which the row was computed; 0 where there is no history."""
    last_version: int
    """Where several events are not as they were sealed: of the last of them; else the same as `version`."""
    kind: str
    """One of: event-changed, event-missing, event-moved, link-changed, event-unreadable, event-impossible, row-changed,
    row-missing, row-unfounded, id-invalid, tombstone-false. By a seal: job-missing, events-missing, event-changed,
    events-swapped, history-replaced, tombstone-missing, tombstone-changed, tombstone-false."""
    table: str
    row: str
    """Which of the job's rows in that table: the version of an event or of a change, the index of a step."""
    column: str
    found: str | int | float | bool | None
    """Of a long text the part where the two begin to differ. Of changed bytes the link that they would have."""
    expected: str | int | float | bool | None
    message: str


@dataclass(frozen=True, slots=True)
class SealCompared(Document):
    """A seal that the event store was held against. Its differences come behind those that need no seal."""

    file: str
    event_store: str
    """The name of the one that was sealed."""
    sealed_at: str
    root: str
    jobs: int
    """That were sealed."""
    pruned: int
    """Of these, how many are pruned, or being pruned, with tombstones that are of what was sealed."""


@dataclass(frozen=True, slots=True)
class VerificationDocument(Document):
    """What was verified, and the first difference of each job that has one."""

    verified: bool
    """Nothing differs."""
    jobs: int
    """Whose histories were read, for verifying or, where that was not asked for, for the seal."""
    events: int
    pruned: int
    """Jobs of which a tombstone is left, perhaps with the beginning that their prune has not come to yet."""
    different: int
    seconds: float
    differences: list[DifferenceDocument]
    seal: SealCompared | None = None
