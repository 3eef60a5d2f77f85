"""The request of a new job, from the options that give it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from milepost.interfaces.error_mapping import INVALID, Told

EXAMPLE: Final = """Write --request '{"steps": 3}'"""


def request_from(given: str | None, settings: Sequence[str]) -> dict[str, Any]:
    """What `--request` gives, with each `--set key=value` put in. Raises Told for what is no JSON object."""
    request = _parsed(given) if given is not None else {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise Told(INVALID, f"--set '{setting}' is not key=value", "Write --set steps=3")
        _put(request, key.split("."), _value(value), setting)
    return request


def _parsed(given: str) -> dict[str, Any]:
    source, text = _read(given)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Told(
            INVALID, f"The request in {source} is not JSON: {error}", "Write --request '{\"steps\": 3}'"
        ) from None
    if not isinstance(value, dict):
        raise Told(INVALID, f"The request in {source} is not a JSON object", "Write --request '{\"steps\": 3}'")
    return value  # pyright: ignore[reportUnknownVariableType]


def _read(given: str) -> tuple[str, str]:
    if given == "-":
        return "standard input", sys.stdin.read()
    if not given.startswith("@"):
        return "--request", given
    try:
        return given[1:], Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Told(INVALID, f"The request in {given[1:]} cannot be read: {error}", "Check the path") from None


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself: nobody wants to quote a name twice."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _put(request: dict[str, Any], path: Sequence[str], value: Any, setting: str) -> None:
    *outer, last = path
    at: dict[str, Any] = request
    for key in outer:
        inner: Any = at.setdefault(key, {})
        if not isinstance(inner, dict):
            raise Told(INVALID, f"--set '{setting}': {key} is not an object", "Set it as a whole")
        at = inner  # pyright: ignore[reportUnknownVariableType]
    at[last] = value
