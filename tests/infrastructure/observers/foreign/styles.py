"""Applications in other styles that the library documents: functional, pydantic, texts as ids, upcast events."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar, cast
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, DomainEventProtocol, event
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder
from eventsourcing.utils import get_topic, resolve_topic
from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class Lent:
    """A functional aggregate's event: a fact, and nothing else."""

    originator_id: UUID
    originator_version: int
    reader: str


class Library(Application[UUID]):
    def lend(self, *readers: str) -> UUID:
        book = uuid4()
        self.save(*(Lent(book, number, reader) for number, reader in enumerate(readers, 1)))
        return book


@dataclass(frozen=True)
class Stamped:
    originator_id: str
    originator_version: int
    country: str


class Passports(Application[str]):
    env: ClassVar[dict[str, str]] = {"ORIGINATOR_ID_TYPE": "text"}

    def stamp(self, passport: str, *countries: str) -> str:
        self.save(*(Stamped(passport, number, country) for number, country in enumerate(countries, 1)))
        return passport


class Place(BaseModel):
    model_config = ConfigDict(frozen=True)

    town: str
    street: str


class Moved(BaseModel):
    """An event of an immutable pydantic aggregate, with a value object in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    originator_id: UUID
    originator_version: int
    to: Place


class PydanticMapper(Mapper[UUID]):
    """Leaves it to pydantic what is written and whether what is read is valid."""

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        happened = cast(BaseModel, domain_event)
        state = happened.model_dump_json(exclude={"originator_id", "originator_version"}).encode()
        compressed = self.compressor.compress(state) if self.compressor else state
        topic = get_topic(type(domain_event))
        return StoredEvent(domain_event.originator_id, domain_event.originator_version, topic, compressed)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        declared: type[BaseModel] = resolve_topic(stored_event.topic)
        state = self.compressor.decompress(stored_event.state) if self.compressor else stored_event.state
        origin = {
            "originator_id": stored_event.originator_id,
            "originator_version": stored_event.originator_version,
        }
        return declared.model_validate({**json.loads(state), **origin})


class NoTranscoder(Transcoder):
    def encode(self, obj: Any) -> bytes:
        raise NotImplementedError

    def decode(self, data: bytes) -> Any:
        raise NotImplementedError


class Register(Application[UUID]):
    env: ClassVar[dict[str, str]] = {
        "MAPPER_TOPIC": get_topic(PydanticMapper),
        "TRANSCODER_TOPIC": get_topic(NoTranscoder),
    }

    def move(self, *places: tuple[str, str]) -> UUID:
        person = uuid4()
        moves = [Place(town=town, street=street) for town, street in places]
        self.save(
            *(Moved(originator_id=person, originator_version=number, to=to) for number, to in enumerate(moves, 1))
        )
        return person


class Ship(Aggregate):
    class Named(Aggregate.Created):
        """Its second version says under which flag; the first one was recorded before anybody asked."""

        class_version: ClassVar[int] = 2
        name: str
        flag: str

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["flag"] = "unknown"

    @event(Named)
    def __init__(self, name: str, flag: str) -> None:
        self.name = name
        self.flag = flag


class Harbour(Application[UUID]):
    def arrive(self, name: str, flag: str) -> UUID:
        ship = Ship(name, flag)
        self.save(ship)
        return ship.id
