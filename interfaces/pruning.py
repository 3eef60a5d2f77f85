"""A prune as it is asked for, and what is done for it here. See ADR/0021."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from milepost.interfaces.asked_texts import refuse_bad_texts, refuse_bad_types
from milepost.interfaces.error_mapping import INVALID, Told
from milepost.interfaces.prune_documents import PrunedDocument, PruneResult

if TYPE_CHECKING:
    from milepost.domain.envelope import Origin
    from milepost.infrastructure.audit.archiving import Archive
    from milepost.infrastructure.event_store.pruning import Prunable
    from milepost.interfaces.bootstrap import Application

MOST_AT_ONCE: Final = 1_000  # jobs
WITHIN_SECONDS: Final = 10.0  # then it is said that there is more
ENDED: Final = ("Cancelled", "CompletedSuccessfully", "CompletedWithFailures", "Failed", "Removed")


@dataclass(frozen=True, slots=True)
class PruneAsked:
    """Jobs of these statuses and types (none: of all) that ended before a time are to go. Raises Told.

    `keep`: so many of the newest of each type stay.
    """

    before: datetime
    statuses: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    keep: int = 0
    reason: str = ""
    dry_run: bool = True
    limit: int = MOST_AT_ONCE

    def __post_init__(self) -> None:
        refuse_bad_texts(self.reason, None)
        refuse_bad_types(self.types)
        for status in self.statuses:
            if status not in ENDED:
                raise Told(
                    INVALID,
                    f"What is {status} has not ended, and is not pruned",
                    f"Use {', '.join(ENDED)}; what is stopped can be cancelled or removed first",
                )


def prune(
    app: "Application", namespace: str, asked: PruneAsked, origin: "Origin", archive: "Archive | None" = None
) -> PruneResult:
    """Say what would go, or take it out; with an archive what is in a file there. Raises ArchiveFailed."""
    from milepost.domain.state_machine import JobStatus
    from milepost.infrastructure.event_store.pruning import PruneRule

    statuses = tuple(JobStatus(status) for status in asked.statuses or ENDED)
    before = asked.before.astimezone(UTC)
    rule = PruneRule(namespace, before, statuses, asked.types, asked.keep)
    pruning = app.pruning(app.reading)
    if asked.dry_run:
        return _result(asked, pruning.meant(rule), more=False)
    done = pruning.prune(rule, origin, limit=asked.limit, within_seconds=WITHIN_SECONDS, archive=archive)
    return _result(asked, done.found, more=done.more)


def together(results: Iterable[PruneResult]) -> PruneResult:
    """What several answers to the same question say as one."""
    answers = list(results)
    first, last = answers[0], answers[-1]
    found: dict[tuple[str, str], PrunedDocument] = {}
    for each in (document for result in answers for document in result.found):
        known = found.get((each.type, each.status), PrunedDocument(each.type, each.status, 0, 0))
        found[each.type, each.status] = PrunedDocument(
            each.type, each.status, known.jobs + each.jobs, known.events + each.events
        )
    return _summed(first.dry_run, first.before, [found[kind] for kind in sorted(found)], more=last.more)


def _result(asked: PruneAsked, found: Iterable["Prunable"], *, more: bool) -> PruneResult:
    documents = [PrunedDocument(each.job_type, each.status, each.jobs, each.events) for each in found]
    return _summed(asked.dry_run, asked.before.astimezone(UTC).isoformat(timespec="microseconds"), documents, more=more)


def _summed(dry_run: bool, before: str, found: list[PrunedDocument], *, more: bool) -> PruneResult:
    jobs, events = sum(each.jobs for each in found), sum(each.events for each in found)
    return PruneResult(dry_run, before, jobs, events, found, more)
