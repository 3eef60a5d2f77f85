"""One question to a server, as data: method, path, parameters, body, and how its answer is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

from milepost.interfaces.asked_texts import COMMAND_ID
from milepost.interfaces.client.errors import InvalidInput
from milepost.interfaces.documents import Json, from_json

T = TypeVar("T")

PAGE: Final = 1_000  # jobs, steps or events at once: of jobs and events, a server gives no more
KEY: Final = "Idempotency-Key"

Parameters = tuple[tuple[str, str], ...]
Cursor = str | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One question. `read` raises LookupError, TypeError or ValueError for what is no answer to it."""

    path: str
    read: Callable[[Json], T]
    method: str = "GET"
    params: Parameters = ()
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    own_key: bool = False  # it was made for this call, so nobody else has used it

    @property
    def repeatable(self) -> bool:
        """Whether asking twice does no more than asking once, so that a lost answer may be asked for again."""
        return self.method == "GET" or KEY in self.headers


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of many; `next` is where those behind begin, None after the last."""

    items: list[T]
    next: Cursor


Paged = Callable[[Cursor], Call[Page[T]]]


def part(text: str) -> str:
    """As one part of a path; `..` would be taken for the one above. Raises InvalidInput."""
    quoted = quote(_text(text), safe="")
    return quoted.replace(".", "%2E") if set(text) == {"."} else quoted


def _text(text: str) -> str:
    """Raises InvalidInput."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput("What was given holds half a character, which is no text", "Give it as Unicode text")
    return text


def key_for(text: str | None) -> str:
    """As a header can carry it, a fresh one where none is given. Raises InvalidInput."""
    if text is None:
        return str(uuid4())
    if not COMMAND_ID.fullmatch(text):
        raise InvalidInput(
            "A command id for a server is of at most 200 letters, digits and signs",
            "Leave out spaces and what is no ASCII",
        )
    return text


def given(**params: str | int | tuple[str, ...] | None) -> Parameters:
    """Those that say anything."""
    found: list[tuple[str, str]] = []
    for name, value in params.items():
        if isinstance(value, tuple):
            found += [(name, _text(each)) for each in value]
        elif isinstance(value, str):
            found.append((name, _text(value)))
        elif value is True:
            found.append((name, "true"))
        elif value is not None and value is not False:
            found.append((name, str(value)))
    return tuple(found)


def reader(cls: type[Any]) -> Callable[[Json], Any]:
    return lambda told: from_json(cls, told)


def page_of(what: str, read: Callable[[Json], T]) -> Callable[[Json], Page[T]]:
    return lambda told: Page([read(each) for each in told[what]], told["next"])
