"""A partition that is replayed alone: begun once, with all its events, and nobody waits for the search for them."""

from typing import Any
from uuid import uuid4

import pytest

from milepost.domain.events import ErrorDetail
from milepost.domain.observers.events import (
    PartitionFailed,
    PartitionRecovered,
    PartitionReplayBegan,
    PartitionRetryAsked,
)
from milepost.infrastructure.observers import holding, rows
from milepost.infrastructure.observers.handling import Handling
from milepost.infrastructure.observers.observer import Place
from milepost.infrastructure.observers.rows import ObserverRows, effects_transaction
from tests.infrastructure.observers.accounts import Balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, OPERATOR, Theatre

MANY = 120


class Searching(Handling):
    """While it looks for a partition's events for the first time, others go on."""

    def __init__(self, theatre: Theatre, others: Any) -> None:
        super().__init__(Balances, Place(theatre.stage.database, NAMESPACE), theatre.stage.clock, OPERATOR)
        self.looked_through: list[tuple[int, int]] = []
        self._others = others

    def positions_of(self, partition: str, after: int, until: int) -> list[int]:
        self.looked_through.append((after, until))
        found = super().positions_of(partition, after, until)
        if len(self.looked_through) == 1:
            self._others()
        return found


def nothing() -> None:
    """Nobody else is there."""


def began(theatre: Theatre) -> int:
    return sum(isinstance(each.event, PartitionReplayBegan) for each in theatre.history())


@pytest.mark.parametrize("own", [True, False], ids=["the observer says what a partition is", "an aggregate each"])
def test_while_a_partitions_events_are_looked_for_others_go_on_until_little_is_left(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    monkeypatch.setattr(holding, "PAGE_EVENTS", 5)
    monkeypatch.setattr(rows, "WRITTEN_AT_ONCE", 4)
    ann, bob = open_accounts(theatre.bank, 2)
    if own:

        def owner(_: Balances, event: Any) -> str:
            return str(event.originator_id)

        monkeypatch.setattr(Balances, "partition", owner)
    deposit(theatre.bank, ann, *range(1, 10))
    theatre.go()

    def go_on() -> None:
        deposit(theatre.bank, bob, *range(1, 10))
        deposit(theatre.bank, ann, *range(20, 30))
        theatre.live.turn()

    handling = Searching(theatre, go_on)
    theatre.operator.replay_partition(handling, uuid4(), str(ann.id))

    first, *between, (after, until) = handling.looked_through
    assert between, "what came meanwhile is looked through before anybody has to wait"
    assert until - after <= 5
    assert first[0] == 0
    with effects_transaction(theatre.stage.database) as connection:
        waiting = ObserverRows(connection, NAMESPACE, "balances").count_waiting(1, str(ann.id))
    assert waiting == 9 + 10 + (not own)  # an aggregate's first event is none of the observer's business, and waits too
    theatre.settle()
    assert theatre.held(ann) is None
    assert theatre.read() == expected(theatre.bank)


def test_a_job_sets_a_partition_back_once_whatever_happened_to_it_since(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2)
    theatre.go()
    job_id, name = uuid4(), str(ann.id)
    theatre.operator.replay_partition(Searching(theatre, nothing), job_id, name)
    now = theatre.stage.clock.now()
    error = ErrorDetail(type="ValueError", message="no", traceback="")
    with effects_transaction(theatre.stage.database) as connection:
        kept = ObserverRows(connection, NAMESPACE, "balances")
        failed = PartitionFailed(partition=name, generation=1, position=2, attempt=1, error=error, retry_at=now)
        asked = [PartitionRetryAsked(partition=name, generation=1, retry_at=now)] * MANY
        kept.record(kept.observer(), [failed, *asked], OPERATOR, theatre.stage.clock)
    theatre.operator.replay_partition(Searching(theatre, nothing), job_id, name)

    assert began(theatre) == 1


def test_a_job_that_recovered_a_partition_has_not_set_it_back(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2)
    theatre.go()
    job_id, name = uuid4(), str(ann.id)
    with effects_transaction(theatre.stage.database) as connection:
        kept = ObserverRows(connection, NAMESPACE, "balances")
        recovered = PartitionRecovered(partition=name, generation=1, job=str(job_id))
        kept.record(kept.observer(), [recovered], OPERATOR, theatre.stage.clock)
    theatre.operator.replay_partition(Searching(theatre, nothing), job_id, name)

    assert began(theatre) == 1


@pytest.mark.parametrize("theatre", ["file", "server"], indirect=True)
def test_whoever_only_asks_for_an_observer_waits_for_no_writer(theatre: Theatre) -> None:
    theatre.register()
    job_id = theatre.start("catch-up-observer")
    handling = Searching(theatre, nothing)
    theatre.operator.take(handling, job_id, "catch-up")
    with effects_transaction(theatre.stage.database) as connection:
        _ = ObserverRows(connection, NAMESPACE, "balances").locked()

        assert theatre.operator.held_by("balances", job_id).job == str(job_id)
        theatre.operator.refuse(Balances, "replay")
