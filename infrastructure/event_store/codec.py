"""Events to stored bytes and back: JSON, lifted from old class versions to the new when read."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from milepost.domain.envelope import Origin, RecordedEvent
from milepost.domain.events import EVENT_CLASSES, DomainEvent, JobStarted

# A default left out is a few bytes saved in each of many events. Not of the facts a job was started
# with: they must stay what they were when a later Milepost has other defaults.
_STORED_WHOLE: Final = frozenset({JobStarted.topic})
_META: Final = b'{"meta":{"id":"'
_HEAD_AT: Final = len(_META) + 36  # behind the id: the rest of the envelope
_BODY: Final = b'},"event":'

EventRow = tuple[str, int, str, bytes]  # as the library's recorder keeps it


class UnreadableEvent(Exception):
    """A stored event that this version of Milepost cannot read."""

    def __init__(self, job_id: UUID, version: int, topic: str, cause: str) -> None:
        self.job_id, self.version, self.topic, self.cause = job_id, version, topic, cause
        super().__init__(f"Event {version} of job {job_id} ({topic}) cannot be read: {cause}")


def encode(job_id: UUID, recorded: Iterable[RecordedEvent]) -> list[EventRow]:
    """The events as they are stored: `{"meta": …, "event": …}`; `class_version` only when above 1."""
    originator = job_id.hex
    rows: list[EventRow] = []
    for each in recorded:
        event = each.event
        topic, write = _writer(type(event))
        head = _head(each.origin, each.recorded_at)
        rows.append((originator, each.version, topic, write(head, str(each.event_id).encode(), event)))
    return rows


@cache
def _writer(cls: type[DomainEvent]) -> tuple[str, Callable[[bytes, bytes, DomainEvent], bytes]]:
    """How events of a class are written, worked out once: this is the hot path."""
    to_json = cls.__pydantic_serializer__.to_json
    short = cls.topic not in _STORED_WHOLE
    lifted = b'"class_version":%d,' % cls.class_version if cls.class_version > 1 else b""

    def write(head: bytes, event_id: bytes, event: DomainEvent) -> bytes:
        body: bytes = to_json(event, exclude_defaults=short)
        return b'{"meta":{"id":"%b",%b,%b"event":%b}' % (event_id, head, lifted, body)

    return cls.topic, write


@lru_cache(maxsize=64)  # the events of one commit share it
def _head(origin: Origin, at: datetime) -> bytes:
    """The rest of the envelope's document, after the id."""
    document = {"at": at.isoformat(), "actor": origin.actor, "source": origin.source}
    if origin.reason:
        document["reason"] = origin.reason
    if origin.correlation_id:
        document["correlation_id"] = origin.correlation_id
    return json.dumps(document, separators=(",", ":")).encode()[1:]


class _Meta(BaseModel):
    id: str
    at: str
    actor: str
    source: str
    reason: str = ""
    correlation_id: str = ""


Event = TypeVar("Event", bound=DomainEvent)


class _Document(BaseModel, Generic[Event], extra="forbid"):
    """What is stored of an event, parsed and validated in one pass."""

    meta: _Meta
    class_version: int = 1
    event: Event


class _Unvalidated(BaseModel, extra="forbid"):
    """The same, of an event that is yet to be lifted to its class's shape."""

    meta: _Meta
    class_version: int = 1
    event: dict[str, Any]


def decode(job_id: UUID, version: int, topic: str, state: bytes) -> RecordedEvent:
    """The recorded event. Raises UnreadableEvent when it is unknown, newer, or not what it should be."""
    cls = EVENT_CLASSES.get(topic)
    if cls is None:
        cause = "this Milepost does not know such events, a newer one wrote it. Upgrade Milepost."
        raise UnreadableEvent(job_id, version, topic, cause)
    try:
        return _quickly(cls, job_id, version, state) or _wholly(cls, job_id, version, state)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableEvent(job_id, version, topic, _cause(error)) from error


def _quickly(cls: type[DomainEvent], job_id: UUID, version: int, state: bytes) -> RecordedEvent | None:
    """An event as `encode` writes it, of the class's own version; None where it is another, or anything is amiss.

    The events of a commit share all of the envelope but its id, so that is parsed once for all of them. `},"event":`
    can stand in no text of the envelope, where each quote is escaped.
    """
    end = state.find(_BODY, _HEAD_AT)
    if end < 0 or cls.class_version != 1 or state[: len(_META)] != _META or state[-1:] != b"}":
        return None
    try:
        at, origin = _envelope(state[_HEAD_AT : end + 1])
        event = _body_reader(cls)(state[end + len(_BODY) : -1])
        event_id = UUID(state[len(_META) : _HEAD_AT].decode())
    except ValueError:
        return None
    return RecordedEvent(job_id, version, event_id, at, origin, event)


@lru_cache(maxsize=64)
def _envelope(rest: bytes) -> tuple[datetime, Origin]:
    """What the bytes behind the id say. Raises ValueError."""
    meta = _Meta.model_validate_json(b'{"id":"%b' % rest)
    if not rest.startswith(b'",') or meta.id:
        raise ValueError("the id does not end there, or is told again")
    return datetime.fromisoformat(meta.at), Origin(meta.actor, meta.source, meta.reason, meta.correlation_id)


@cache
def _body_reader(cls: type[DomainEvent]) -> Callable[[bytes], Any]:
    return cls.__pydantic_validator__.validate_json


def _wholly(cls: type[DomainEvent], job_id: UUID, version: int, state: bytes) -> RecordedEvent:
    """Any stored event that can be read. Raises ValueError, TypeError, KeyError or AttributeError."""
    document = _document(cls, state)
    meta = document.meta
    return RecordedEvent(
        job_id,
        version,
        UUID(meta.id),
        _at(meta.at),
        _origin(meta.actor, meta.source, meta.reason, meta.correlation_id),
        document.event,
    )


def _document(cls: type[DomainEvent], state: bytes) -> _Document[Any]:
    """Read in one pass where the stored version is the class's own; else lifted first."""
    try:
        document = _reader(cls)(state)
    except ValidationError:
        older = _Unvalidated.model_validate_json(state)
        if older.class_version == cls.class_version:
            raise
    else:
        if document.class_version == cls.class_version:
            return document
        older = _Unvalidated.model_validate_json(state)
    lifted = upcast(cls, older.event, older.class_version)
    return _model(cls)(meta=older.meta, class_version=cls.class_version, event=lifted)


@cache
def _model(cls: type[DomainEvent]) -> type[_Document[Any]]:
    return _Document[cls]  # type: ignore[valid-type]  # a class for each class of events


@cache
def _reader(cls: type[DomainEvent]) -> Callable[[bytes], _Document[Any]]:
    return _model(cls).__pydantic_validator__.validate_json


def upcast(cls: type[DomainEvent], body: dict[str, Any], version: int) -> dict[str, Any]:
    """The stored document in the shape of today's class, by `upcast_vN_vM` for each version between.

    Each is a static method of the event's class; it may change the document it is given, and returns it.
    """
    if version > cls.class_version:
        raise ValueError(
            f"it is of version {version}, this Milepost knows {cls.class_version}; a newer one wrote it."
            " Upgrade Milepost."
        )
    for older in range(version, cls.class_version):
        lift: Callable[[dict[str, Any]], dict[str, Any]] = getattr(cls, f"upcast_v{older}_v{older + 1}")
        body = lift(body)
    return body


def _cause(error: Exception) -> str:
    """In one line, and without the values, which may be secrets."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors(include_url=False))
    return str(error) or type(error).__name__


@lru_cache(maxsize=64)
def _origin(actor: str, source: str, reason: str, correlation_id: str) -> Origin:
    return Origin(actor, source, reason, correlation_id)


@lru_cache(maxsize=64)
def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
