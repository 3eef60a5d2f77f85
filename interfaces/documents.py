"""The documents that the command line prints as JSON and the HTTP API answers with.

Plain dataclasses, so that a listing does not wait for pydantic to be imported; their published JSON schema
(`milepost.interfaces.schemas`) is made from the very same classes. On the wire the names are in camelCase.
"""

import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

Json = Any
D = TypeVar("D", bound="Document")


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


def from_json(cls: type[D], value: Json) -> D:
    """The document that these JSON values are; a field of a newer version is passed over.

    Raises ValueError for what is no such document.
    """
    if not isinstance(value, dict):
        raise ValueError(f"not a {cls.__name__}")
    given: dict[str, Json] = {}
    for name, (on_the_wire, inner, optional) in _fields_of(cls).items():  # type: ignore[arg-type]  # a class is hashable
        if on_the_wire in value:
            given[name] = _read(inner, value[on_the_wire])
        elif not optional:
            raise ValueError(f"{cls.__name__} without {on_the_wire}")
    return cls(**given)


def _read(inner: "type[Document] | None", value: Json) -> Json:
    if inner is None or value is None:
        return value
    if isinstance(value, list):
        return [from_json(inner, each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return from_json(inner, value)


@cache
def _fields_of(cls: type[Document]) -> "dict[str, tuple[str, type[Document] | None, bool]]":
    """By field: its name on the wire, the document that it is or holds, and whether it may be left out."""
    hints = get_type_hints(cls)
    return {
        each.name: (
            camel(each.name),
            _document_in(hints[each.name]),
            each.default is not MISSING or each.default_factory is not MISSING,
        )
        for each in fields(cls)
    }


def _document_in(hint: Any) -> "type[Document] | None":
    """`StepDocument` of `list[StepDocument] | None`."""
    if get_origin(hint) in (Union, types.UnionType, list):
        return next((found for each in get_args(hint) if (found := _document_in(each))), None)
    return hint if isinstance(hint, type) and issubclass(hint, Document) else None
