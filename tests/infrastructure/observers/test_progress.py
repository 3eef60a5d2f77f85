"""How far a job on a whole observer is, whatever it is divided into: its steps together count each event once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.job_types.observing.whole import share_of
from milepost.infrastructure.observers.rows import SLICES
from tests.infrastructure.observers.accounts import deposit, open_accounts
from tests.infrastructure.observers.stage import Theatre


@given(st.integers(0, 10_000_000), st.integers(1, SLICES))
def test_the_shares_of_all_steps_are_the_log(events: int, steps: int) -> None:
    shares = [share_of(range(index, SLICES, steps), events) for index in range(steps)]

    assert sum(shares) == events
    assert all(share >= 0 for share in shares)


@pytest.mark.parametrize("deposits", [1, 40])
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_a_job_has_done_as_many_events_as_there_were_when_it_began(theatre: Theatre, steps: int, deposits: int) -> None:
    for account in open_accounts(theatre.bank, 3):
        deposit(theatre.bank, account, *range(deposits))
    newest = theatre.bank.recorder.max_notification_id()
    job_id = theatre.start("catch-up-observer", parallel=steps)

    assert theatre.stage.finish(job_id, theatre.worker) is JobStatus.COMPLETED_SUCCESSFULLY
    progress = [step.progress for step in theatre.job(job_id).steps.values()]
    assert len(progress) == steps
    assert sum(each.done or 0 for each in progress if each) == newest
    assert sum(each.total or 0 for each in progress if each) == newest
