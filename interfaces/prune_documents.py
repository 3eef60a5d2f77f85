"""What a prune answers with: what would go, or what went."""

from dataclasses import dataclass, field

from milepost.interfaces.documents import Document


@dataclass(frozen=True, slots=True)
class PrunedDocument(Document):
    """Jobs of one type and status."""

    type: str
    status: str
    jobs: int
    events: int


@dataclass(frozen=True, slots=True)
class PruneResult(Document):
    """What would go, or what went."""

    dry_run: bool
    before: str
    """Jobs that ended before this time are meant."""
    jobs: int
    events: int
    found: list[PrunedDocument] = field(default_factory=list[PrunedDocument])
    more: bool = False
    """Whether more jobs are meant than were taken out at once: ask again."""
