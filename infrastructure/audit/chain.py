"""The SHA-256 chain of a job's stream: a link covers an event's bytes, its place, and all before it. See ADR/0020."""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Final
from uuid import UUID

GENESIS: Final = bytes(32)  # what the first event of a stream is chained to


def link(previous: bytes, job_id: UUID, version: int, topic: str, state: bytes) -> bytes:
    """The link of an event that stands behind the one whose link is `previous`."""
    return _link(previous, job_id.bytes, version, topic, state)


def links(previous: bytes, job_id: UUID, events: Iterable[tuple[int, str, bytes]]) -> list[bytes]:
    """The links of events of one job that follow one another: versions, topics and states."""
    made: list[bytes] = []
    job = job_id.bytes  # once: this is the hot path of an append
    for version, topic, state in events:
        previous = _link(previous, job, version, topic, state)
        made.append(previous)
    return made


def _link(previous: bytes, job: bytes, version: int, topic: str, state: bytes) -> bytes:
    covered = b"%b%b%b%b%b" % (previous, job, version.to_bytes(8, "big"), _named(topic), state)
    return sha256(covered).digest()


@lru_cache(maxsize=64)
def _named(topic: str) -> bytes:
    """The length of a topic, and the topic."""
    name = topic.encode()
    return len(name).to_bytes(4, "big") + name
