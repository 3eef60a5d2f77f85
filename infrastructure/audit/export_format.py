"""The lines of an export, for ever: a manifest, a line for each event with its stored bytes, and a digest over all."""

import base64
import binascii
import json
from typing import Annotated, Final, Literal, NamedTuple
from uuid import UUID

from pydantic import Field

from milepost.infrastructure.audit.lines import Count, Digest, Line, dumped

FORMAT: Final = "milepost-export"
VERSION: Final = 1  # what it can read must grow only: tests/golden holds a file of each version


class ExportManifest(Line):
    """The first line of an export: what is in it. It says no time, so that the same histories are the same file."""

    format: Literal["milepost-export"] = FORMAT
    format_version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    event_store: str
    """The name of the event store that they were taken from."""
    namespace: str
    jobs: Count
    events: Count


class ExportedEvent(Line):
    """One event of a job as it is stored. Jobs come by their ids, the events of each by their versions."""

    job_id: UUID
    version: Annotated[int, Field(ge=1)]
    topic: str
    state: str | None = None
    """The stored bytes, where they are JSON in UTF-8: this text in UTF-8, to the byte."""
    state_base64: str | None = None
    """The stored bytes, where they are anything else."""
    chain: Digest
    """The event's link in the chain of its job."""


class ExportEnd(Line):
    """The last line of an export."""

    sha256: Digest
    """Of all bytes before this line."""


class StoredEvent(NamedTuple):
    """An event as it is kept, with its link in the chain of its job."""

    job_id: UUID
    version: int
    topic: str
    state: bytes
    chain: bytes


def event_line(event: StoredEvent) -> bytes:
    """The line of an event."""
    text = _json_text(event.state)
    state = {"stateBase64": base64.b64encode(event.state).decode()} if text is None else {"state": text}
    return dumped(
        {
            "jobId": str(event.job_id),
            "version": event.version,
            "topic": event.topic,
            **state,
            "chain": event.chain.hex(),
        }
    )


def event_of(line: ExportedEvent) -> StoredEvent:
    """The event of a line, to the byte. Raises ValueError where it has no bytes, or twice."""
    if (line.state is None) == (line.state_base64 is None):
        raise ValueError("it has to have either state or stateBase64")
    return StoredEvent(line.job_id, line.version, line.topic, _bytes(line), bytes.fromhex(line.chain))


def _bytes(line: ExportedEvent) -> bytes:
    if line.state is not None:
        return line.state.encode()
    try:
        return base64.b64decode(line.state_base64 or "", validate=True)
    except binascii.Error as error:
        raise ValueError(f"stateBase64: {error}") from error


def _json_text(state: bytes) -> str | None:
    try:
        text = state.decode()
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return text
