"""How observers are told of on a stream, and how a client says how much of their histories it has heard.

An `id` is a place in the histories of all observers of a namespace: `NAME:VERSION`, with commas between. They have no
order among each other, so the last version of one of them would not tell what was heard of the others.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

from milepost.infrastructure.observers.observer import NAME
from milepost.interfaces.documents import Document, to_json
from milepost.interfaces.http.sse import FIRST
from milepost.interfaces.observer_documents import ObserverDocument, ObserverEventDocument

SHOWN: Final = "observer"  # the name of the message that has an observer's document
LONGEST_ID: Final = 8_000  # characters; a header can carry no more
_PART: Final = re.compile(rf"({NAME.pattern}):([1-9][0-9]{{0,8}})")

Place = Mapping[str, int]  # the version that was heard last, by observer; others: nothing was


def id_of(place: Place) -> str:
    return ",".join(f"{name}:{version}" for name, version in sorted(place.items()) if version) or FIRST


def place_of(text: str) -> dict[str, int]:
    """The place that an id stands for. Raises ValueError where it is no id of ours."""
    if text == FIRST:
        return {}
    found = [_PART.fullmatch(part) for part in text.split(",")]
    if None in found:
        raise ValueError(text)
    return {each[1]: int(each[2]) for each in found if each is not None}


def place_line(place: Place) -> str:
    """Where the client is from now on; nothing where so many observers are more than a header can carry."""
    said = id_of(place)
    return f"id: {said}\n" if len(said) <= LONGEST_ID else ""


def at(place: Place) -> bytes:
    """The place alone, without data, so that it is no message."""
    return f"{place_line(place)}\n".encode()


def happened(event: ObserverEventDocument, place: Place) -> bytes:
    """An event of an observer's history; `place`: behind it."""
    return f"{place_line(place)}event: {event.event}\ndata: {_data(event)}\n\n".encode()


def shown(document: ObserverDocument) -> bytes:
    """An observer as it stands: only the newest counts, so it has no place."""
    return f"event: {SHOWN}\ndata: {_data(document)}\n\n".encode()


def _data(document: Document) -> str:
    return json.dumps(to_json(document), separators=(",", ":"))
