"""Compares an event store with a seal: which sealed jobs and events are not there now, or are not the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from milepost.infrastructure.audit.chain import GENESIS, link
from milepost.infrastructure.audit.export_format import StoredEvent
from milepost.infrastructure.audit.linked_events import linked_events
from milepost.infrastructure.audit.seal import SealedHead, SealFile
from milepost.infrastructure.audit.tombstone_rows import TombstoneRow, tombstone_row
from milepost.infrastructure.audit.verifying import Tally
from milepost.infrastructure.event_store.database import Database

Kind = Literal[
    "job-missing",
    "events-missing",
    "event-changed",
    "events-swapped",
    "history-replaced",
    "tombstone-missing",
    "tombstone-changed",
    "tombstone-false",
]
_SAID: Final[dict[Kind, str]] = {
    "job-missing": "job {job} is not there any more: {events} missing",
    "events-missing": "job {job}: {events} missing",
    "event-changed": "job {job}: event {first} is not the one that was sealed",
    "events-swapped": "job {job}: events {first} and {last} have changed places",
    "history-replaced": "job {job}: its first {last} events are not those that were sealed, their chain was made anew",
    "tombstone-missing": "job {job} had been pruned when it was sealed, and its tombstone is not there any more",
    "tombstone-changed": "job {job}: its tombstone does not say what was sealed (if it was imported and pruned again"
    " since, it has another one)",
    "tombstone-false": "job {job} is not there any more, and its tombstone is not of the {last} events that were"
    " sealed",
}


@dataclass(frozen=True, slots=True)
class Breach:
    """The first thing that is not as it was sealed in one job: events `first` to `last` of it."""

    job_id: UUID
    kind: Kind
    first: int
    last: int

    @property
    def message(self) -> str:
        one = self.first == self.last
        events = f"event {self.first} is" if one else f"events {self.first} to {self.last} are"
        return _SAID[self.kind].format(job=self.job_id, first=self.first, last=self.last, events=events)


class Comparison:
    """Of an event store with a seal. What happened after the seal, it says nothing of.

    Raises LinesInvalid and FileUnusable, before anything is compared, where the seal itself is not whole.
    """

    def __init__(
        self, database: Database, sealed: SealFile, progress: Callable[[Tally], None] = lambda _: None
    ) -> None:
        self._database, self._sealed, self._progress = database, sealed, progress
        self.summary, self.event_store = sealed.read(), sealed.manifest.event_store
        self.tally = Tally()

    def breaches(self) -> Iterator[Breach]:
        """The first one of each sealed job that has one, from its stored bytes. Raises DatabaseUnavailable."""
        for head in self._sealed.heads():
            found = self._breach(head)
            self.tally.jobs += 1
            self.tally.different += found is not None
            self._progress(self.tally)
            if found is not None:
                yield found

    def _breach(self, head: SealedHead) -> Breach | None:
        found = breach(head, self._counted(linked_events(self._database, head.job_id, head.version)))
        with self._database.read() as connection:  # behind its events: a prune meanwhile leaves this
            tombstone = tombstone_row(connection, head.job_id)
        if tombstone is None:
            gone = found is not None and found.kind == "job-missing"
            return _whole(head, "tombstone-missing") if head.pruned and gone else found
        if head.pruned and head.pruned != tombstone.digest:
            return _whole(head, "tombstone-changed")
        if found is None:
            return None
        if not head.pruned and not _is_of(tombstone, head):
            return _whole(head, "tombstone-false")
        if not _is_what_a_prune_takes(found, head, tombstone):
            return found
        self.tally.pruned += 1
        return None

    def _counted(self, events: Iterator[StoredEvent]) -> Iterator[StoredEvent]:
        for event in events:
            self.tally.events += 1
            yield event


def _whole(head: SealedHead, kind: Kind) -> Breach:
    return Breach(head.job_id, kind, 1, head.version)


def _is_of(tombstone: TombstoneRow, head: SealedHead) -> bool:
    """Whether it is of what was sealed. Of a job that went on before it was pruned it cannot say more."""
    if tombstone.fault is not None:
        return False
    went_on: bool = tombstone.versions > head.version
    return went_on or (tombstone.versions, tombstone.head) == (head.version, head.head)


def _is_what_a_prune_takes(found: Breach, head: SealedHead, tombstone: TombstoneRow) -> bool:
    """Whether only its end is gone, or all; and no more than the tombstone says."""
    missing = found.kind in ("job-missing", "events-missing")
    return missing and found.last == head.version and tombstone.fault is None and found.first > tombstone.remaining


def breach(head: SealedHead, events: Iterator[StoredEvent]) -> Breach | None:
    """The first one in a job, whose events up to the sealed version are given."""
    version, previous = 0, GENESIS
    for event in events:
        if event.version > version + 1:
            return Breach(head.job_id, "events-missing", version + 1, event.version - 1)
        computed = link(previous, *event[:4])
        if computed != event.chain:
            return _altered(event, next(events, None), previous)
        version, previous = event.version, computed
    if version == 0:
        return Breach(head.job_id, "job-missing", 1, head.version)
    if version < head.version:
        return Breach(head.job_id, "events-missing", version + 1, head.version)
    if previous.hex() != head.head:
        return Breach(head.job_id, "history-replaced", 1, head.version)
    return None


def _altered(event: StoredEvent, behind: StoredEvent | None, previous: bytes) -> Breach:
    """What was done to an event that does not follow: its own bytes, or those of the next one in its place."""
    version = event.version
    if behind is not None:
        in_its_place = link(previous, event.job_id, version, behind.topic, behind.state)
        if in_its_place in (event.chain, behind.chain):
            return Breach(event.job_id, "events-swapped", version, version + 1)
    return Breach(event.job_id, "event-changed", version, version)
