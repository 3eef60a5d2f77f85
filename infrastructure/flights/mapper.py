"""Turns flight events into stored events: byte for byte what eventsourcing's own mapper writes, but faster."""

import json
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Final, get_args
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent
from eventsourcing.utils import get_topic

from milepost.infrastructure.flights.events import FlightEvent, FlightFacts

_NOT_IN_THE_STATE: Final = frozenset({"originator_id", "originator_version", "timestamp"})


class FlightsMapper(Mapper[UUID]):
    """Writes what the stock mapper writes (a test compares them), several times as fast; reads with the stock code."""

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        if isinstance(domain_event, FlightEvent) and not (self.compressor or self.cipher):
            return stored(domain_event)
        return super().to_stored_event(domain_event)


def plain_mapper() -> FlightsMapper:
    """The mapper of an application without compression and encryption."""
    transcoder = JSONTranscoder()
    transcoder.register(DatetimeAsISO())
    return FlightsMapper(transcoder)


def stored(event: FlightEvent) -> StoredEvent:
    """The event as it lies in the database."""
    topic, template, facts = _SHAPES[type(event)]
    state = template % (event.timestamp.isoformat(), *map(_json, facts(event)))
    return StoredEvent(event.originator_id, event.originator_version, topic, state.encode())


def _shape(
    event_type: type[FlightFacts],
) -> tuple[str, str, Callable[[FlightFacts], tuple[str | int | None, ...]]]:
    """Topic, JSON with a hole for each fact, and how to get the facts."""
    names = [field.name for field in fields(event_type) if field.name not in _NOT_IN_THE_STATE]
    holes = ",".join(f'"{name}":%s' for name in names)
    template = '{"timestamp":{"_type_":"datetime_iso","_data_":"%s"},' + holes + "}"
    return get_topic(event_type), template, attrgetter(*names)


_SHAPES: Final = {event_type: _shape(event_type) for event_type in get_args(FlightEvent)}


@lru_cache(maxsize=32_768)  # carriers, airports, aircraft, times of day: few values, met a million times
def _json(fact: str | int | None) -> str:
    return json.dumps(fact, ensure_ascii=False)
