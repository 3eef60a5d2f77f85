"""An export as it is read: every line, link and count is checked on the way, and the digest at the end."""

from collections.abc import Iterator
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final
from uuid import UUID

from milepost.domain.envelope import RecordedEvent
from milepost.infrastructure.audit.chain import GENESIS, link
from milepost.infrastructure.audit.export_format import (
    FORMAT,
    VERSION,
    ExportedEvent,
    ExportEnd,
    ExportManifest,
    StoredEvent,
    event_of,
)
from milepost.infrastructure.audit.lines import LinesFile
from milepost.infrastructure.event_store.codec import decode

_EVENT: Final = b'{"jobId":'
_job_of = attrgetter("job_id")


class ExportFile:
    """Reads events one by one, however many there are. All raise LinesInvalid and FileUnusable."""

    def __init__(self, path: Path) -> None:
        self._lines = LinesFile(path, FORMAT, VERSION)

    @cached_property
    def manifest(self) -> ExportManifest:
        return self._lines.head(ExportManifest)

    def events(self) -> Iterator[StoredEvent]:
        """All of them; whoever has got the last one knows that the file is whole, and nothing in it was altered."""
        manifest, lines = self.manifest, self._lines
        job_id, version, previous = UUID(int=0), 0, GENESIS
        jobs = events = 0
        remaining = lines.lines()
        for line in remaining:
            if not line.startswith(_EVENT):
                break
            event = self._event(line)
            if event.job_id != job_id:
                if event.job_id < job_id:
                    raise lines.invalid(f"job {event.job_id} stands behind job {job_id}, which has the greater id")
                job_id, version, previous = event.job_id, 0, GENESIS
                jobs += 1
            if event.version != version + 1:
                raise lines.invalid(f"event {event.version} of job {job_id} stands where {version + 1} should")
            if link(previous, *event[:4]) != event.chain:
                raise lines.invalid(f"event {event.version} of job {job_id} does not follow in the chain of its job")
            version, previous = event.version, event.chain
            events += 1
            yield event
        else:
            raise lines.invalid("the last line, with the digest, is not there: the file was cut off")
        if lines.parsed(ExportEnd, line).sha256 != lines.digest:
            raise lines.invalid("the digest of the lines before is another one: the file was altered")
        if (jobs, events) != (manifest.jobs, manifest.events):
            said = f"{manifest.jobs} jobs and {manifest.events} events"
            raise lines.invalid(f"the manifest says {said}, but there are {jobs} and {events}")
        if next(remaining, None) is not None:
            raise lines.invalid("it stands behind the last line")

    def histories(self) -> Iterator[tuple[UUID, Iterator[StoredEvent]]]:
        """Each job with its events, which can be read until the next job is asked for."""
        return groupby(self.events(), key=_job_of)

    def _event(self, line: bytes) -> StoredEvent:
        try:
            return event_of(self._lines.parsed(ExportedEvent, line))
        except ValueError as error:
            raise self._lines.invalid(str(error)) from error


def recorded(event: StoredEvent) -> RecordedEvent:
    """Raises UnreadableEvent."""
    return decode(event.job_id, event.version, event.topic, event.state)
