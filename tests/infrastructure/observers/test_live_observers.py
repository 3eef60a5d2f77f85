"""Live events: in order, exactly once, each partition for itself."""

from milepost.domain.observers.state import ObserverStatus, PartitionStatus
from milepost.domain.state_machine import JobStatus
from tests.infrastructure.observers.accounts import Balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import Theatre


def test_live_events_reach_the_read_model(theatre: Theatre) -> None:
    ann, bob = open_accounts(theatre.bank, 2)
    deposit(theatre.bank, ann, 1, 2, 3)
    deposit(theatre.bank, bob, 4)
    theatre.go()
    deposit(theatre.bank, ann, 5)
    theatre.go(2)

    assert theatre.read() == expected(theatre.bank)
    assert theatre.read()[str(ann.id)] == (11, "1,2,3,5,")
    assert sum(each.handled for each in theatre.slices()) == 5


def test_a_handler_that_fails_holds_its_partition_and_no_other(theatre: Theatre) -> None:
    ann, bob = open_accounts(theatre.bank, 2)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 1, 13, 2)
    deposit(theatre.bank, bob, 4, 5)
    theatre.go(2)

    held = theatre.held(ann)
    assert held is not None
    assert (held.status, held.attempts) == (PartitionStatus.FAILED, 1)
    assert held.error is not None
    assert held.error.type.endswith("Poisoned")
    assert theatre.read()[str(ann.id)] == (1, "1,")
    assert theatre.read()[str(bob.id)] == (9, "4,5,")


def test_a_failed_partition_is_tried_again_and_quarantined_in_the_end(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 13)
    theatre.settle()

    held = theatre.held(ann)
    assert held is not None
    assert (held.status, held.attempts) == (PartitionStatus.QUARANTINED, 3)


def test_a_retry_after_a_fix_brings_a_partition_to_its_end(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 1, 13, 2)
    theatre.settle()
    Balances.poison = set()
    deposit(theatre.bank, ann, 3)
    theatre.operator.retry("balances", str(ann.id))
    theatre.settle()

    assert theatre.held(ann) is None
    assert theatre.read() == expected(theatre.bank)


def test_a_skipped_event_is_never_handled(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 1, 13, 2)
    theatre.settle()
    theatre.operator.skip("balances", str(ann.id))
    theatre.settle()

    assert theatre.held(ann) is None
    assert theatre.read()[str(ann.id)] == (3, "1,2,")


def test_a_replay_in_place_builds_everything_anew(theatre: Theatre) -> None:
    accounts = open_accounts(theatre.bank, 5)
    for index, account in enumerate(accounts):
        deposit(theatre.bank, account, *range(index, 20))
    theatre.go(3)

    assert theatre.run("replay-observer", parallel=3) is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.read() == expected(theatre.bank)
    assert theatre.observer.status is ObserverStatus.ACTIVE


def test_a_replay_beside_swaps_in_a_generation_that_is_as_far_as_the_one_that_served(theatre: Theatre) -> None:
    accounts = open_accounts(theatre.bank, 5)
    for index, account in enumerate(accounts):
        deposit(theatre.bank, account, *range(index, 20))
    theatre.go(3)
    job_id = theatre.start("replay-observer", beside=True)
    for _ in range(4):
        theatre.worker.turn()
        deposit(theatre.bank, accounts[0], 7)
        theatre.go()
    assert theatre.stage.finish(job_id, theatre.worker) is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.read() == expected(theatre.bank)
    assert theatre.observer.generation == 2
    deposit(theatre.bank, accounts[0], 8)
    theatre.go(2)
    assert theatre.read() == expected(theatre.bank)


def test_a_partition_is_replayed_alone(theatre: Theatre) -> None:
    ann, bob = open_accounts(theatre.bank, 2)
    deposit(theatre.bank, ann, 1, 2, 3)
    deposit(theatre.bank, bob, 4)
    theatre.go()

    assert theatre.run("replay-observer-partition", partition=str(ann.id)) is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.held(ann) is None
    assert theatre.read() == expected(theatre.bank)


def test_a_catch_up_hands_over_what_is_behind(theatre: Theatre) -> None:
    theatre.go()
    accounts = open_accounts(theatre.bank, 5)
    for index, account in enumerate(accounts):
        deposit(theatre.bank, account, *range(index, 20))
    theatre.operator.pause("balances")

    assert theatre.run("catch-up-observer", parallel=2) is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.read() == expected(theatre.bank)
    assert theatre.observer.status is ObserverStatus.PAUSED


def test_a_catch_up_makes_the_tables_of_an_observer_that_was_never_run(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2)
    theatre.register()

    assert theatre.run("catch-up-observer") is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.held(ann) is None
    assert theatre.read() == expected(theatre.bank)
