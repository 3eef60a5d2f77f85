"""How long texts of commands may be: the same here and over HTTP, so that a command means the same in both places."""

import re
from collections.abc import Sequence
from typing import Final

from milepost.interfaces.error_mapping import INVALID, Told

LONGEST_REASON: Final = 2_000
LONGEST_TAG: Final = 200
MOST_TAGS: Final = 50
COMMAND_ID: Final = re.compile(r"[\x21-\x7e]{1,200}")


def refuse_bad_texts(reason: str, command_id: str | None, tags: Sequence[str] = ()) -> None:
    """Raises Told, which names the option."""
    if len(reason) > LONGEST_REASON:
        raise Told(INVALID, f"--reason has {len(reason):,} characters", f"It may have {LONGEST_REASON:,}")
    if command_id and not COMMAND_ID.fullmatch(command_id):
        told = "--command-id is of at most 200 letters, digits and signs"
        raise Told(INVALID, told, "Leave out spaces and what is no ASCII")
    if len(tags) > MOST_TAGS:
        raise Told(INVALID, f"--tag was given {len(tags)} times", f"A job may have {MOST_TAGS} tags")
    if any(len(tag) > LONGEST_TAG for tag in tags):
        raise Told(INVALID, "--tag is too long", f"A tag may have {LONGEST_TAG} characters")
