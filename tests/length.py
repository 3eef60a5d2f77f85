"""How long the tests are: short, as for each change, or with MILEPOST_PROOFS=full at full length: `make proofs`."""

import os
from collections.abc import Sequence
from typing import Final

FULL: Final = os.environ.get("MILEPOST_PROOFS") == "full"


def kinds(*of_all: str, short: Sequence[str]) -> Sequence[str]:
    """What tests run on: all of these at full length, and in short those of whose rules nobody else is the keeper."""
    assert set(short) <= set(of_all)
    return of_all if FULL else short
