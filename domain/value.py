"""Values that nobody changes: the type checkers hold everybody to it, so that Python need not at run time."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True)
def value(cls: type[Class]) -> type[Class]:
    """A frozen dataclass to type checkers; to have Python freeze it, too, costs a third of the fold. It is no key."""
    return dataclass(slots=True)(cls)
