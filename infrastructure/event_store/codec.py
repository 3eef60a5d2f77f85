"""Events to stored bytes and back: JSON, lifted from old class versions to the new when read."""

import json
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, get_args
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.events import DomainEvent, JobEvent

EVENT_CLASSES: Final[dict[str, type[DomainEvent]]] = {cls.topic: cls for cls in get_args(JobEvent)}


class UnreadableEvent(Exception):
    """A stored event that this version of Milepost cannot read."""

    def __init__(self, stored: StoredEvent, cause: str) -> None:
        self.job_id, self.version, self.topic = (
            stored.originator_id, stored.originator_version, stored.topic,
        )  # fmt: skip
        super().__init__(f"Event {stored.originator_version} of job {stored.originator_id} ({stored.topic}): {cause}")


def encode(recorded: RecordedEvent) -> StoredEvent:
    """The event as it is stored: `{"meta": …, "event": …}`; `class_version` only when above 1."""
    cls = type(recorded.event)
    body: bytes = cls.__pydantic_serializer__.to_json(recorded.event, exclude_defaults=True)
    lifted = b'"class_version":%d,' % cls.class_version if cls.class_version > 1 else b""
    state = b'{"meta":%s,%s"event":%s}' % (
        _meta(recorded.origin, recorded.recorded_at).replace(b"~", str(recorded.event_id).encode(), 1),
        lifted,
        body,
    )
    return StoredEvent(recorded.job_id, recorded.version, cls.topic, state)


@lru_cache(maxsize=64)  # the events of one commit share it
def _meta(origin: Origin, at: datetime) -> bytes:
    document = {"id": "~", "at": at.isoformat(), "actor": origin.actor, "source": origin.source}
    if origin.reason:
        document["reason"] = origin.reason
    if origin.correlation_id:
        document["correlation_id"] = origin.correlation_id
    return json.dumps(document, separators=(",", ":")).encode()


@lru_cache(maxsize=64)
def _origin(actor: str, source: str, reason: str, correlation_id: str) -> Origin:
    return Origin(actor, source, reason, correlation_id)


@lru_cache(maxsize=64)
def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def decode(stored: StoredEvent) -> RecordedEvent:
    """The recorded event. Raises UnreadableEvent when it is unknown, newer, or not what it should be."""
    cls = EVENT_CLASSES.get(stored.topic)
    if cls is None:
        raise UnreadableEvent(stored, "this event is unknown here; it was written by a newer Milepost")
    try:
        document: dict[str, Any] = json.loads(stored.state)
        body = upcast(cls, document["event"], document.get("class_version", 1))
        meta = document["meta"]
        assert isinstance(stored.originator_id, UUID)
        return RecordedEvent(
            stored.originator_id,
            stored.originator_version,
            UUID(meta["id"]),
            _at(meta["at"]),
            _origin(
                meta["actor"], meta["source"], meta.get("reason", ""),
                meta.get("correlation_id", ""),
            ),
            cls.model_validate(body),  # type: ignore[arg-type]  # EVENT_CLASSES holds JobEvent's members
        )  # fmt: skip
    except (ValueError, KeyError, AttributeError) as error:
        raise UnreadableEvent(stored, str(error)) from error


def upcast(cls: type[DomainEvent], body: dict[str, Any], version: int) -> dict[str, Any]:
    """The stored document in the shape of today's class, by `upcast_vN_vM` for each version between."""
    if version > cls.class_version:
        raise ValueError(f"its class version is {version}, this Milepost knows {cls.class_version}")
    while version < cls.class_version:
        getattr(cls, f"upcast_v{version}_v{version + 1}")(body)
        version += 1
    return body
