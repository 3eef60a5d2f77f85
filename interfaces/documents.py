"""The documents that the command line prints as JSON and the HTTP API answers with.

Plain dataclasses, so that a listing does not wait for pydantic to be imported; their published JSON schema
(`milepost.interfaces.schemas`) is made from the very same classes. On the wire the names are in camelCase.
"""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar

Json = Any


def camel(name: str) -> str:
    """`total_steps` as it stands in a document: `totalSteps`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@dataclass(frozen=True, slots=True)
class Document:
    """Base of all documents."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "alias_generator": camel,
        "extra": "forbid",
        "use_attribute_docstrings": True,
    }


@dataclass(frozen=True, slots=True)
class Failure(Document):
    """Why a command did not do what it was asked; on standard error."""

    error: str
    """One of: not_found, connection_error, server_error, validation_error, refused, timeout, interrupted."""
    message: str
    suggestion: str


def to_json(value: Any) -> Json:
    """A document, or anything made of documents, as JSON values."""
    if is_dataclass(value):
        return {camel(each.name): to_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value
