"""How long and how deep what is asked may be: the same here and over HTTP, so that it means the same in both places."""

import re
from collections.abc import Sequence
from typing import Any, Final

from milepost.domain.lengths import LONGEST_JOB_TYPE
from milepost.interfaces.error_mapping import INVALID, Told

LONGEST_REASON: Final = 2_000
LONGEST_TAG: Final = 200
MOST_TAGS: Final = 50
DEEPEST_REQUEST: Final = 63  # levels of lists and objects
COMMAND_ID: Final = re.compile(r"[\x21-\x7e]{1,200}")


def refuse_bad_texts(reason: str, command_id: str | None) -> None:
    """Raises Told, which names the option."""
    if len(reason) > LONGEST_REASON:
        raise Told(INVALID, f"--reason has {len(reason):,} characters", f"It may have {LONGEST_REASON:,}")
    if command_id and not COMMAND_ID.fullmatch(command_id):
        told = "--command-id is of at most 200 letters, digits and signs"
        raise Told(INVALID, told, "Leave out spaces and what is no ASCII")


def refuse_bad_tags(tags: Sequence[str]) -> None:
    """Raises Told."""
    if len(tags) > MOST_TAGS:
        raise Told(INVALID, f"--tag was given {len(tags)} times", f"A job may have {MOST_TAGS} tags")
    for tag in tags:
        if len(tag) > LONGEST_TAG:
            raise Told(INVALID, "--tag is too long", f"A tag may have {LONGEST_TAG} characters")
        _refuse_nul("--tag", tag)


def refuse_bad_types(types: Sequence[str]) -> None:
    """Raises Told."""
    for name in types:
        if len(name) > LONGEST_JOB_TYPE:
            raise Told(INVALID, "The job type is too long", f"Its name may have {LONGEST_JOB_TYPE} characters")
        _refuse_nul("The job type", name)


def _refuse_nul(what: str, text: str) -> None:
    if "\0" in text:
        raise Told(INVALID, f"{what} has a NUL character, which cannot be stored", "Leave that character out")


def refuse_deep(request: Any) -> None:
    """Raises Told."""
    if _is_deeper(request, DEEPEST_REQUEST):
        raise Told(INVALID, f"The request is nested more than {DEEPEST_REQUEST} levels deep", "Give it fewer levels")


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner: Any = value.values() if isinstance(value, dict) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  # JSON
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)
