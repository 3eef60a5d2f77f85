"""What a body may be: so long, sent so fast, and JSON that every database can keep."""

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from starlette.types import Receive

from milepost.interfaces.asked_texts import DEEPEST_REQUEST

MOST_BODY: Final = 1_000_000  # bytes
LONG_BODY: Final = 20_000
SECONDS: Final = 20.0  # that a body may take to arrive
DEEPEST: Final = 1 + DEEPEST_REQUEST  # levels of lists and objects: a request is inside


class ClientGone(Exception):
    """Nobody is there any more to be answered."""


class BodyRefused(Exception):
    """It is not read any further."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


async def whole(receive: Receive) -> bytes:
    """The body, however it is cut into pieces. Raises BodyRefused; ClientGone where nobody is there any more."""
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                if len(body) > MOST_BODY:
                    raise too_long()
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise BodyRefused(408, f"The body did not arrive within {SECONDS:.0f} seconds") from None


def too_long() -> BodyRefused:
    return BodyRefused(413, f"The body has more than {MOST_BODY:,} bytes")


async def refuse_what_cannot_be_kept(body: bytes) -> None:
    """Raises BodyRefused. What takes long is looked at in a thread."""
    if len(body) > LONG_BODY:
        await asyncio.to_thread(_refuse, body)
    else:
        _refuse(body)


def _refuse(body: bytes) -> None:
    """Raises BodyRefused for what is no JSON by RFC 8259, or has texts or numbers that no event store can hold."""
    try:
        value = json.loads(body.decode(), parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError:
        raise BodyRefused(400, "The body is not UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise BodyRefused(400, f"The body is no JSON: {error}") from None
    for text in _texts(value):
        if "\0" in text:
            raise BodyRefused(400, "The body has a NUL character, which cannot be stored")
        if any("\ud800" <= each <= "\udfff" for each in text):
            raise BodyRefused(400, "The body has half of a surrogate pair, which is no character")


def _texts(value: Any, levels: int = DEEPEST) -> Iterator[str]:
    """All texts in it, the names of members too. Raises BodyRefused."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        if not levels:
            raise _too_deep()
        node: dict[str, Any] | list[Any] = value  # pyright: ignore[reportUnknownVariableType]  # JSON
        if isinstance(node, dict):
            yield from node
            node = list(node.values())
        for each in node:
            yield from _texts(each, levels - 1)


def _too_deep() -> BodyRefused:
    return BodyRefused(400, f"The body is nested more than {DEEPEST} levels deep")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number
