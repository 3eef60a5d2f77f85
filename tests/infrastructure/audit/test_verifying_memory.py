"""A verification needs the memory of one read, however many it makes."""

import gc

import pytest

from milepost.infrastructure.audit import verifying
from milepost.infrastructure.audit.side_by_side import Stored
from milepost.infrastructure.audit.verifying import Verifier
from tests.infrastructure.event_store.scene import Scene


def test_what_a_read_fetched_is_let_go_when_it_ends(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "EVENTS_OF_A_READ", 1)
    for _ in range(3):
        scene.completed()
    gc.collect()
    before = stored()
    gc.disable()  # as it is while a read goes on: nothing may wait for a search for cyclic garbage
    try:
        assert list(Verifier(scene.store.database).all()) == []
        left = len(stored()) - len(before)
    finally:
        gc.enable()

    assert left == 0


def stored() -> list[Stored]:
    return [each for each in gc.get_objects() if isinstance(each, Stored)]
