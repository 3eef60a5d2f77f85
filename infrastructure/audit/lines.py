"""Files of JSON Lines that say themselves what they are: a head, many lines, an end that seals what stands before."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from milepost.infrastructure.audit.new_file import FileUnreadable

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""32 bytes in hexadecimal."""
Count = Annotated[int, Field(ge=0)]
HEAD_MOST: Final = 64 * 1024  # bytes: whatever has a longer first line is something else


class Line(BaseModel):
    """One line: names in camelCase, and none beside those that are known."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


Kind = TypeVar("Kind", bound=Line)


class LinesInvalid(Exception):
    """A file that is not what it should be: damaged, cut off, altered, or another kind of file."""

    def __init__(self, path: Path, number: int | None, cause: str) -> None:
        self.path, self.number, self.cause = path, number, cause
        super().__init__(f"{path}, line {number}: {cause}" if number else f"{path}: {cause}")


class FormatUnknown(LinesInvalid):
    """A newer Milepost wrote it."""


def written(line: Line) -> bytes:
    """A line as it is written: in ASCII, so that nothing on its way takes a character for another."""
    return dumped(line.model_dump(mode="json", exclude_none=True))


def dumped(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


class LinesFile:
    """A file that is read from its beginning, as often as it is asked for; `digest`: of the lines read so far."""

    def __init__(self, path: Path, format: str, version: int) -> None:  # noqa: A002 - what the lines call it
        self.path, self._format, self._version = path, format, version
        self.number = 0
        self._hashed = hashlib.sha256()

    def head(self, kind: type[Kind]) -> Kind:
        """The first line. Raises LinesInvalid for another format, or that of a newer Milepost; FileUnreadable."""
        try:
            with self.path.open("rb") as opened:
                first = opened.readline(HEAD_MOST)
        except OSError as error:
            raise FileUnreadable(self.path, error) from error
        self._known(first)
        return self.parsed(kind, first, 1)

    def _known(self, first: bytes) -> None:
        try:
            found: Any = json.loads(first)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get("format") != self._format:  # pyright: ignore[reportUnknownMemberType]  # it was json
            raise LinesInvalid(self.path, None, f"it is no {self._format}")
        version: Any = found.get("formatVersion")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if isinstance(version, int) and version > self._version:
            cause = f"its format is {version}, this Milepost knows {self._version}; a newer one wrote it"
            raise FormatUnknown(self.path, None, cause)

    def lines(self) -> Iterator[bytes]:
        """All but the first; each is in the digest once the next one is asked for."""
        self.number, self._hashed = 1, hashlib.sha256()
        try:
            with self.path.open("rb") as opened:
                self._hashed.update(opened.readline())
                for line in opened:
                    self.number += 1
                    if not line.endswith(b"\n"):
                        raise self.invalid("it ends in the middle: the file was cut off")
                    yield line
                    self._hashed.update(line)
        except OSError as error:
            raise FileUnreadable(self.path, error) from error

    @property
    def digest(self) -> str:
        return self._hashed.hexdigest()

    def parsed(self, kind: type[Kind], line: bytes, number: int | None = None) -> Kind:
        """Raises LinesInvalid."""
        try:
            return kind.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise LinesInvalid(
                self.path, number or self.number, f"{where}: {first['msg']}".removeprefix(": ")
            ) from error

    def invalid(self, cause: str) -> LinesInvalid:
        """What is wrong with the line at hand."""
        return LinesInvalid(self.path, self.number, cause)
