"""Compares an event store with a seal: which sealed jobs and events are not there now, or are not the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from milepost.infrastructure.audit.chain import GENESIS, link
from milepost.infrastructure.audit.export_format import StoredEvent
from milepost.infrastructure.audit.linked_events import linked_events
from milepost.infrastructure.audit.seal import SealedHead, SealFile
from milepost.infrastructure.event_store.database import Database

Kind = Literal["job-missing", "events-missing", "event-changed", "events-swapped", "history-replaced"]
_SAID: Final[dict[Kind, str]] = {
    "job-missing": "job {job} is not there any more: its {last} events were removed",
    "events-missing": "job {job}: {events} missing",
    "event-changed": "job {job}: event {first} is not the one that was sealed",
    "events-swapped": "job {job}: events {first} and {last} have changed places",
    "history-replaced": "job {job}: its first {last} events are not those that were sealed, their chain was made anew",
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


Tombstone = tuple[int, bytes]
"""What stays of a job that was pruned: how many events it had, and its head."""


def breaches(
    database: Database, sealed: SealFile, tombstone_of: Callable[[UUID], Tombstone | None] = lambda _: None
) -> Iterator[Breach]:
    """Of each job that was sealed, from its stored bytes. What happened after the seal, it says nothing of.

    Raises LinesInvalid before anything where the seal itself is not whole.
    """
    sealed.read()
    for head in sealed.heads():
        found = breach(head, linked_events(database, head.job_id, head.version))
        if found is not None and not _was_pruned(head, tombstone_of(head.job_id)):
            yield found


def _was_pruned(head: SealedHead, tombstone: Tombstone | None) -> bool:
    """Whether the tombstone is of what was sealed. Of a job that went on before it was pruned it cannot say more."""
    if tombstone is None:
        return False
    return tombstone[0] > head.version or tombstone == (head.version, bytes.fromhex(head.head))


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
