"""A held partition goes on from its first waiting event, whatever happens while it is held."""

from uuid import uuid4

import pytest

from milepost.domain.observers.errors import PartitionBusy, PartitionWentOn
from milepost.domain.observers.policy import PartitionPolicy
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.observers.handling import Handling
from milepost.infrastructure.observers.observer import Place
from milepost.infrastructure.observers.rows import effects_transaction
from tests.infrastructure.observers.accounts import Balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, OPERATOR, Theatre


def handling_of(theatre: Theatre) -> Handling:
    return Handling(Balances, Place(theatre.stage.database, NAMESPACE), theatre.stage.clock, OPERATOR)


def held_in(partition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(_: Balances, event: object) -> str:
        return partition

    monkeypatch.setattr(Balances, "partition", told)


def test_what_waits_is_handled_under_the_key_it_waits_under(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    held_in("old", monkeypatch)
    Balances.poison = {13}
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 13, 4)
    theatre.go()
    held_in("new", monkeypatch)
    theatre.settle()
    still = theatre.held_name("old")
    Balances.poison = set()
    theatre.operator.retry("balances", "old")
    theatre.settle()

    assert still is not None
    assert still.attempts == Balances.policy.attempts
    assert theatre.held_name("old") is None
    assert theatre.read() == {"old": (17, "13,4,")}


def test_a_recovery_that_comes_half_way_leaves_the_partition_at_its_next_event(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13, 99}
    deposit(theatre.bank, ann, 13, 2, 3, 99)  # at 2, 3, 4 and 5
    theatre.live.turn()
    Balances.poison = {99}
    recover(theatre, str(ann.id), most=2)
    half = theatre.held(ann)
    assert half is not None
    with pytest.raises(PartitionWentOn):
        theatre.operator.skip("balances", str(ann.id), if_position=2)
    with pytest.raises(PartitionBusy):
        theatre.operator.skip("balances", str(ann.id))
    recover(theatre, str(ann.id), most=2)
    failed = theatre.held(ann)
    assert failed is not None

    assert (half.position, half.attempts, half.error) == (4, 0, None)
    assert (failed.position, failed.attempts) == (5, 1)
    assert theatre.operator.skip("balances", str(ann.id)) == 5
    theatre.settle()
    assert theatre.held(ann) is None
    assert theatre.read() == {str(ann.id): (18, "13,2,3,")}


def test_a_partition_whose_event_was_skipped_is_at_the_one_behind_it(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 13, 2)  # at 2 and 3
    theatre.live.turn()

    assert theatre.operator.skip("balances", str(ann.id)) == 2
    held = theatre.held(ann)
    assert held is not None
    assert (held.position, held.error) == (3, None)
    theatre.settle()
    assert theatre.read() == {str(ann.id): (2, "2,")}


def test_partitions_that_are_replayed_have_not_failed(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Balances, "policy", PartitionPolicy(max_failed=1))
    Balances.poison = {13}
    accounts = open_accounts(theatre.bank, 5)
    for account in accounts[:3]:
        deposit(theatre.bank, account, 1)
    theatre.go()
    for account in accounts[:3]:
        theatre.operator.replay_partition(handling_of(theatre), uuid4(), str(account.id))
    deposit(theatre.bank, accounts[3], 13)
    theatre.live.turn()
    after_one = theatre.observer.quarantined
    deposit(theatre.bank, accounts[4], 13)
    theatre.live.turn()

    assert after_one is None
    assert theatre.observer.quarantined == "2 partitions have failed, and at most 1 may"


def test_an_observer_that_stands_still_does_so_for_its_held_partitions_too(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 1, 13, 4)
    theatre.live.turn()
    Balances.poison = set()
    theatre.operator.quarantine("balances", "it wrote nonsense")
    job_id = theatre.start("recover-partition", partition=str(ann.id))

    assert theatre.stage.finish(job_id, theatre.worker) is JobStatus.COMPLETED_WITH_FAILURES
    assert "it wrote nonsense" in theatre.job(job_id).steps[0].errors[0][1].message
    assert theatre.read() == {str(ann.id): (1, "1,")}
    theatre.operator.unpause("balances")
    theatre.settle()
    assert theatre.read() == expected(theatre.bank)


def recover(theatre: Theatre, partition: str, most: int) -> None:
    """As a job does in one transaction, after which its worker dies."""
    with effects_transaction(theatre.stage.database) as connection:
        _ = handling_of(theatre).recover(connection, partition, 1, "job 1", most)
