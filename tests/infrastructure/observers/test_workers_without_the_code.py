"""A worker whose program does not declare an observer leaves its jobs to others, and says so."""

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.job_types.registry import JobTypes
from tests.infrastructure.observers.accounts import Balances, deposit, expected, open_accounts
from tests.infrastructure.observers.stage import NAMESPACE, Theatre


def test_a_job_waits_for_a_worker_that_declares_its_observer(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    deposit(theatre.bank, ann, 1, 2)
    theatre.go(2)
    job_id = theatre.start("replay-observer")
    theatre.stage.types, declaring = JobTypes.load(), theatre.stage.types
    without = theatre.stage.worker(name="without")
    for _ in range(3):
        without.turn()

    queries = JobQueries(theatre.stage.database)
    waiting = queries.waiting([queries.job(NAMESPACE, str(job_id))], theatre.stage.clock.now())
    assert theatre.stage.status(job_id) is JobStatus.PENDING
    assert "worker without does not declare observer 'balances'" in waiting[str(job_id)]

    theatre.stage.types = declaring
    assert theatre.stage.finish(job_id, theatre.worker) is JobStatus.COMPLETED_SUCCESSFULLY
    assert theatre.read() == expected(theatre.bank)


def test_a_retry_that_no_worker_can_do_is_not_an_attempt(theatre: Theatre) -> None:
    (ann,) = open_accounts(theatre.bank, 1)
    Balances.poison = {13}
    deposit(theatre.bank, ann, 13)
    theatre.go(3)
    theatre.stage.types = JobTypes.load()
    without = theatre.stage.worker(name="without")
    for _ in range(3):
        theatre.stage.clock.pass_time(31.0)
        theatre.live.turn()
        without.turn()

    held = theatre.held(ann)
    assert held is not None
    assert held.attempts == 1
    retries = JobQueries(theatre.stage.database).page(NAMESPACE, JobFilter(types=("recover-partition",)), limit=9)
    (retry,) = retries.rows
    assert retry["status"] == JobStatus.PENDING
