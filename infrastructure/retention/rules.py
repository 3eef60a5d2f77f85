"""The rules by which workers prune, as `[[retention]]` tables of the settings file say them."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.durations import MINUTES, duration_of
from milepost.infrastructure.event_store.pruning import ENDED, PruneRule
from milepost.infrastructure.settings import Settings, SettingsInvalid

LONGEST: Final = timedelta(days=36_525)  # which is before anything there can be
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Which ended jobs go by themselves, and the folder that their histories are kept in (None: in none)."""

    name: str
    age: timedelta
    told: str
    """The rule in words, for tombstones and lines of the log."""
    statuses: tuple[JobStatus, ...] = ENDED
    types: tuple[str, ...] = ()
    keep: int = 0
    namespace: str | None = None
    archive: Path | None = None

    def at(self, now: datetime) -> PruneRule:
        """Which jobs it means at that time."""
        return PruneRule(self.namespace, now - self.age, self.statuses, self.types, self.keep)


def rules_of(settings: Settings) -> tuple[RetentionRule, ...]:
    """Those for the event store of these settings. Raises SettingsInvalid, which names the rule and the field."""
    assert settings.file is not None or not settings.retention, "they come from a file"
    path = settings.file or Path()
    tables = [_table(path, number, given) for number, given in enumerate(settings.retention, 1)]
    for name, times in Counter(each.name for each in tables).items():
        if times > 1:
            raise _wrong(path, f"'{name}'", "name", f"{times} rules have this name")
    meant = [each for each in tables if each.event_store in (None, settings.event_store.value)]
    return tuple(_rule(path.parent, each) for each in meant)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    older_than: str | None = None
    statuses: Annotated[list[str], Field(min_length=1)] = [str(status) for status in ENDED]
    types: list[str] = []
    keep: Annotated[int, Field(ge=0, le=2**31)] = 0
    namespace: str | None = None
    event_store: str | None = None
    archive: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("use 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first")
        return name

    @field_validator("older_than")
    @classmethod
    def _is_an_age(cls, text: str) -> str:
        if MINUTES.fullmatch(text.strip()):
            raise ValueError(f"'{text}' would be minutes; write 12h, 30d or 8w")
        if not timedelta(0) < (_age(text) or timedelta(0)) <= LONGEST:
            raise ValueError(f"'{text}' is no age; write 12h, 30d or 8w")
        return text

    @field_validator("statuses")
    @classmethod
    def _have_ended(cls, statuses: list[str]) -> list[str]:
        for status in statuses:
            if status not in ENDED:
                raise ValueError(f"'{status}' is none of a job that has ended; use {', '.join(sorted(ENDED))}")
        return statuses


def _folder(beside: Path, text: str) -> Path | None:
    """Where the archive is; None where that can be nowhere."""
    try:
        return None if "\0" in text else beside / Path(text).expanduser()
    except RuntimeError:  # ~nobody/kept, and there is no such user
        return None


def _table(path: Path, number: int, given: Mapping[str, Any]) -> _Table:
    name = given.get("name")
    called = f"'{name}'" if isinstance(name, str) and name else f"no. {number}"
    try:
        table = _Table.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(each) for each in first["loc"]) or "name"
        raise _wrong(path, called, field, first["msg"].removeprefix("Value error, ")) from error
    if table.older_than is None and "keep" in table.model_fields_set and not table.keep:
        raise _wrong(path, called, "keep", "0 says nothing; write older_than, or how many stay")
    for field, named in (("namespace", table.namespace), ("event_store", table.event_store)):
        if named is not None and not _NAME.fullmatch(named):
            raise _wrong(path, called, field, f"'{named}' cannot be the name of one")
    if table.archive is not None and _folder(path.parent, table.archive) is None:
        raise _wrong(path, called, "archive", f"'{table.archive}' is no folder that there can be")
    if table.older_than is None and not table.keep:
        raise _wrong(path, called, "older_than", "it is not said how old jobs must be, nor by `keep` how many stay")
    return table


def _rule(folder: Path, table: _Table) -> RetentionRule:
    said = {"older_than": table.older_than, "keep": table.keep or None}
    return RetentionRule(
        table.name,
        _age(table.older_than or "") or timedelta(0),
        f"rule {table.name} ({', '.join(f'{what} {value}' for what, value in said.items() if value is not None)})",
        tuple(JobStatus(status) for status in table.statuses),
        tuple(table.types),
        table.keep,
        table.namespace,
        None if table.archive is None else _folder(folder, table.archive),
    )


def _age(text: str) -> timedelta | None:
    try:
        return duration_of(text)
    except OverflowError:
        return None


def _wrong(path: Path, rule: str, field: str, problem: str) -> SettingsInvalid:
    return SettingsInvalid(f"{path}: retention rule {rule}: {field}: {problem}", f"Correct the rule in {path}")
