"""What `milepost audit verify --seal` tells: how the event store differs from what was sealed."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from milepost.interfaces.audit_documents import DifferenceDocument, SealCompared
from milepost.interfaces.cli.session import Session
from milepost.interfaces.cli.text import local
from milepost.interfaces.quantities import counted, differing

if TYPE_CHECKING:
    from milepost.infrastructure.audit.comparing import Breach, Comparison

EVENTS: Final = "milepost_events"
TOMBSTONES: Final = "milepost_tombstones"
_COLUMN: Final = {"event-changed": "state", "history-replaced": "chain"}


def differences(comparison: "Comparison") -> Iterator[DifferenceDocument]:
    """The first one of each sealed job."""
    return map(_document, comparison.breaches())


def _document(breach: "Breach") -> DifferenceDocument:
    in_tombstone = breach.kind.startswith("tombstone-")
    job, missing = str(breach.job_id), breach.kind.endswith("-missing")
    return DifferenceDocument(
        job,
        breach.first,
        breach.last,
        breach.kind,
        TOMBSTONES if in_tombstone else EVENTS,
        job if in_tombstone else str(breach.first),
        "job_id" if in_tombstone else _COLUMN.get(breach.kind, "originator_version"),
        None,
        breach.first if missing and not in_tombstone else None,
        breach.message[0].upper() + breach.message[1:],
    )


def document(path: Path, comparison: "Comparison") -> SealCompared:
    """Which seal it was."""
    seal = comparison.summary
    at = seal.sealed_at.isoformat(timespec="microseconds")
    return SealCompared(str(path), comparison.event_store, at, seal.root, seal.jobs, comparison.tally.pruned)


def warn_of_another_event_store(session: Session, comparison: "Comparison") -> None:
    """It may be the same one under another name, as of a restored backup: so it is compared all the same."""
    here = session.app.settings.event_store.value
    if comparison.event_store != here:
        session.note(f"The seal is of event store {comparison.event_store}, and this one is {here}")


def told(comparison: "Comparison", different: int) -> str:
    """In a sentence."""
    tally = comparison.tally
    at = local(comparison.summary.sealed_at.isoformat())
    looked_at = f"Held {counted(tally.jobs, 'job')} with {counted(tally.events, 'event')} against the seal of {at}"
    pruned = f", {tally.pruned:,} of them pruned" if tally.pruned else ""
    return f"{looked_at}{pruned}: {'nothing sealed is missing or changed' if not different else differing(different)}"
