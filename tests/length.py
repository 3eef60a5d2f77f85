"""How long the tests are: short, as for each change, or with MILEPOST_PROOFS=full at full length: `make proofs`."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final
from zlib import crc32

import pytest

FULL: Final = os.environ.get("MILEPOST_PROOFS") == "full"
KINDS: Final = {"memory", "file", "server", "remote"}  # of event stores
KEEPERS: Final = "tests/infrastructure/event_store/"  # of all that is asked of a database


def kinds(*of_all: str, short: Sequence[str]) -> Sequence[str]:
    """What tests run on: all of these at full length, and in short those of whose rules nobody else is the keeper."""
    assert set(short) <= set(of_all)
    return of_all if FULL else short


def left_out_in_short(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """What need not run in short, of the tests that are there for several kinds of event stores.

    The keepers of what a database is asked run on a file and on a server. Each other test runs on one kind, drawn by
    its name and its other parameters: always on the same, and of many about as many on each.
    """
    alike: defaultdict[tuple[object, ...], dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        call = getattr(item, "callspec", None)
        if call is None:
            continue
        named = [name for name, value in call.params.items() if isinstance(value, str) and value in KINDS]
        if len(named) == 1:
            others = tuple(sorted((name, at) for name, at in call.indices.items() if name not in named))
            alike[item.nodeid.partition("[")[0], others][call.params[named[0]]] = item
    left_out: set[pytest.Item] = set()
    for test, on in alike.items():
        kept = sorted({*on} - {"memory"} or on)  # SQLite is the same in memory and in a file
        (some, *_) = on.values()
        if not (some.nodeid.startswith(KEEPERS) or "ON_BOTH_DATABASES" in vars(getattr(some, "module", some))):
            kept = [kept[crc32(repr(test).encode()) % len(kept)]]
        left_out |= {item for kind, item in on.items() if kind not in kept}
    return left_out
