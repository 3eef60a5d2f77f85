"""Nobody holds an observer or a partition for ever: who is over and has not let go is noticed."""

from collections.abc import Sequence
from uuid import UUID

import pytest
import sqlalchemy as sa

from milepost.domain.commands import CancelJob, RemoveJob
from milepost.domain.events import Json
from milepost.domain.observers.state import ObserverStatus, PartitionStatus
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.schema import jobs
from milepost.infrastructure.observers.handling import Handling
from milepost.infrastructure.observers.holding import JobOver
from milepost.infrastructure.observers.observer import Effects, Observed, Place
from milepost.infrastructure.observers.rows import ObserverMoved, at_home, effects_transaction
from tests.infrastructure.observers.accounts import Balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, OPERATOR, Theatre
from tests.infrastructure.running.stage import turn_until


def begun(theatre: Theatre, job_type: str, **request: Json) -> UUID:
    """A job that holds the observer, and was stopped in the middle."""
    accounts = open_accounts(theatre.bank, 3)
    for account in accounts:
        deposit(theatre.bank, account, *range(30))
    theatre.go(3)
    deposit(theatre.bank, accounts[0], 5)
    job_id = theatre.start(job_type, **request)
    turn_until(lambda: theatre.observer.job == str(job_id), theatre.worker)
    theatre.stage.stop(job_id)
    theatre.stage.finish(job_id, theatre.worker)
    return job_id


@pytest.mark.parametrize("beside", [False, True], ids=["in place", "beside"])
def test_a_replay_that_was_cancelled_without_its_cleanup_lets_live_events_go_on(theatre: Theatre, beside: bool) -> None:
    job_id = begun(theatre, "replay-observer", beside=beside)
    if theatre.observer.job is None:
        pytest.skip("it was done before the stop was heard")
    theatre.stage.store.execute(
        NAMESPACE, job_id, lambda now: CancelJob(now.worker_alive, now.reached, skip_cleanup=True), OPERATOR
    )
    theatre.go(8)

    assert theatre.observer.job is None
    assert theatre.observer.status is ObserverStatus.ACTIVE
    assert theatre.read() == expected(theatre.bank)


def test_a_replay_whose_job_is_gone_lets_live_events_go_on(theatre: Theatre) -> None:
    job_id = begun(theatre, "replay-observer")
    if theatre.observer.job is None:
        pytest.skip("it was done before the stop was heard")
    theatre.stage.store.execute(NAMESPACE, job_id, lambda _: RemoveJob(), OPERATOR)
    with theatre.stage.database.write() as connection:
        connection.execute(jobs.delete().where(jobs.c.id == str(job_id)))
    theatre.go(8)

    assert theatre.observer.status is ObserverStatus.ACTIVE
    assert theatre.read() == expected(theatre.bank)


def test_a_belated_hook_of_a_job_that_is_over_does_not_empty_the_read_model(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2)
    theatre.go(2)
    job_id = theatre.start("replay-observer")
    assert theatre.stage.finish(job_id, theatre.worker) is JobStatus.COMPLETED_SUCCESSFULLY
    handling = Handling(Balances, Place(theatre.stage.database, NAMESPACE), theatre.stage.clock, OPERATOR)

    with pytest.raises(JobOver):
        theatre.operator.take(handling, job_id, "replay")
    assert theatre.read() == expected(theatre.bank)
    assert theatre.observer.job is None


def test_a_belated_hook_of_a_job_that_is_over_undoes_no_effects_elsewhere(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere: list[int] = []

    def send(_: Balances, events: Sequence[Observed], effects: Effects) -> None:
        elsewhere.extend(each.event.amount for each in events)

    def take_back(_: Balances, effects: Effects) -> None:
        elsewhere.clear()

    monkeypatch.setattr(Balances, "tables", None)
    monkeypatch.setattr(Balances, "handle_batch", send)
    monkeypatch.setattr(Balances, "reset", take_back)
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2, 3)
    theatre.go(2)
    job_id = theatre.start("replay-observer")
    theatre.stage.cancel(job_id)
    handling = Handling(Balances, Place(theatre.stage.database, NAMESPACE), theatre.stage.clock, OPERATOR)

    with pytest.raises(JobOver):
        theatre.operator.take(handling, job_id, "replay")
    assert elsewhere == [1, 2, 3]


def test_a_partition_whose_replay_was_given_up_goes_on_by_itself(theatre: Theatre) -> None:
    ann, _ = open_accounts(theatre.bank, 2)
    deposit(theatre.bank, ann, 1, 2, 3)
    theatre.go()
    handling = Handling(Balances, Place(theatre.stage.database, NAMESPACE), theatre.stage.clock, OPERATOR)
    job_id = theatre.start("replay-observer-partition", partition=str(ann.id))
    theatre.operator.replay_partition(handling, job_id, str(ann.id))
    theatre.stage.cancel(job_id)
    held = theatre.held(ann)
    assert held is not None
    assert held.status is PartitionStatus.REPLAYING
    theatre.settle()

    assert theatre.held(ann) is None
    assert theatre.read() == expected(theatre.bank)


def test_a_page_that_was_read_before_a_replay_began_and_was_given_up_leaves_no_gap(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2, 3)
    theatre.go(2)
    seen = theatre.observer
    deposit(theatre.bank, ann, 4)
    handling = Handling(Balances, Place(theatre.stage.database, NAMESPACE), theatre.stage.clock, OPERATOR)
    after = min(each.position for each in theatre.slices())
    page = handling.page(handling.source.after(after))
    job_id = theatre.start("replay-observer")
    theatre.operator.take(handling, job_id, "replay")
    theatre.operator.release(handling, job_id)

    with pytest.raises(ObserverMoved), effects_transaction(theatre.stage.database) as connection:
        handling.handle(connection, page, seen, seen.generation, after=after)
    theatre.go(3)
    assert theatre.read() == expected(theatre.bank)


def test_an_observer_that_was_never_run_here_can_be_replayed(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2)

    assert theatre.run("replay-observer") is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.read() == expected(theatre.bank)


@pytest.mark.parametrize("job_type", ["catch-up-observer", "replay-observer"])
def test_without_any_event_there_is_nothing_to_do(theatre: Theatre, job_type: str) -> None:
    assert theatre.run(job_type) is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.read() == {}
    assert theatre.observer.status is ObserverStatus.ACTIVE


def test_a_recovery_that_was_cancelled_is_not_begun_anew_at_once(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 13)
    theatre.go(2)
    (job_id,) = live_jobs(theatre)
    theatre.stage.cancel(job_id)
    theatre.go(5)
    assert live_jobs(theatre) == []
    theatre.go(30)

    assert len(live_jobs(theatre)) == 1


def live_jobs(theatre: Theatre) -> list[UUID]:
    with theatre.stage.database.read() as connection:
        found = at_home(connection, theatre.stage.database).scalars(sa.select(jobs.c.id).where(jobs.c.live))
        return [UUID(each) for each in found]
