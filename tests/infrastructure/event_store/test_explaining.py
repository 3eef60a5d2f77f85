"""What explains a job is found from the end of its history, in few looks, however long that is."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import pytest
from sqlalchemy import event

from milepost.domain import commands as c
from milepost.domain import events as e
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus
from milepost.domain.why.chain import chain
from milepost.domain.why.explain import Because, explain
from milepost.domain.why.seen import Seen
from milepost.domain.why.waits import WaitsFor
from milepost.infrastructure.event_store.explaining import Explaining
from milepost.infrastructure.event_store.newest_events import MOST_CHANGES, TAIL
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.event_store.store import WorkerRecord
from tests.infrastructure.event_store.scene import LEASE_SECONDS, OPERATOR, Scene

MOST_LOOKS: Final = 80  # at the database, for a failure in a history of any length: each is by a key
BOOM: Final = e.ErrorDetail(type="ValueError", message="boom")
REACHED: Final = e.Progress(done=4, total=9, unit="rows", checkpoint=4)


def seen(scene: Scene, job: Job) -> Seen:
    queries = JobQueries(scene.store.database)
    now = scene.surroundings.now()
    return Explaining(scene.store.database, queries).seen(queries.job("Default", str(job.id)), now, "")


def wait(scene: Scene, seconds: float) -> None:
    scene.surroundings.at += timedelta(seconds=seconds)


def there(scene: Scene, name: str, *types: str) -> None:
    """A worker says that it lives."""
    scene.store.register_worker(WorkerRecord(name, types or ("import",), 2, scene.surroundings.now()), LEASE_SECONDS)


@contextmanager
def looks(scene: Scene) -> Generator[list[str]]:
    """The statements that are executed meanwhile."""
    executed: list[str] = []

    def heard(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        executed.append(statement)

    engine = scene.store.database.engine
    event.listen(engine, "before_cursor_execute", heard)
    yield executed
    event.remove(engine, "before_cursor_execute", heard)


def test_a_takeover_is_seen_with_the_worker_that_was_lost_and_the_steps_it_was_at(scene: Scene) -> None:
    job = scene.running(worker="w1")
    job = scene.do(job, c.StartStep(1, 1), c.ReportProgress(1, 1, 1, REACHED))
    wait(scene, LEASE_SECONDS + 1)
    taken = scene.claimed("w2")
    scene.do(taken, c.PrepareJob(2))

    [root, takeover] = chain(seen(scene, job)).links
    assert root.recorded is not None
    assert isinstance(root.recorded.event, e.JobStarted)
    assert takeover.lost_by == "w1"
    assert [getattr(each.event, "step", None) for each in takeover.interrupted] == [1]
    assert seen(scene, job).names == {1: "step-1"}


def test_a_takeover_that_changes_no_status_is_seen_too(scene: Scene) -> None:
    job = scene.running(worker="w1")
    scene.do(job, c.StartStep(1, 1))
    scene.stop(job.id)
    wait(scene, LEASE_SECONDS + 1)
    scene.claimed("w2")

    links = chain(seen(scene, job)).links
    assert [each.lost_by for each in links] == ["", "w1"]
    planning = scene.claimed("w3", only=scene.start().id)
    wait(scene, LEASE_SECONDS + 1)
    scene.claimed("w4", only=planning.id)
    assert [each.lost_by for each in chain(seen(scene, planning)).links] == ["", "w3"]


@pytest.mark.parametrize("which", [0, 3, 77, 199])
def test_a_failed_step_is_found_in_a_long_history_with_its_version_attempt_and_worker(scene: Scene, which: int) -> None:
    job = scene.running(steps=200)
    for first in range(0, 200, 10):
        job = scene.do(job, *(c.StartStep(1, step) for step in range(first, first + 10)))
        job = scene.do(
            job,
            *(
                c.ReportFailure(1, step, 1, 0.5, BOOM) if step == which else c.ReportSuccess(1, step, 1, 0.5)
                for step in range(first, first + 10)
            ),
        )
    scene.do(job, c.CompleteJob(1))

    with looks(scene) as executed:
        found = seen(scene, job)
    [failure] = found.failures
    told = next(each for each in scene.store.history(job.id) if isinstance(each.event, e.StepFailed))
    assert (failure.version, failure.at, failure.worker) == (told.version, told.recorded_at, told.origin.actor)
    assert (failure.name, failure.attempt, failure.error) == (f"step-{which}", 1, BOOM)
    assert len(executed) < MOST_LOOKS


def test_a_failure_that_a_clock_hides_is_told_without_its_place(scene: Scene) -> None:
    job = scene.running()
    job = scene.do(job, c.StartStep(1, 0), c.ReportFailure(1, 0, 1, 0.5, BOOM))
    wait(scene, -3600)  # the clock is set back, so that no order of times leads to the event
    for attempt in range(1, 20):
        job = scene.do(job, c.StartStep(1, 1), c.InterruptStep(1, 1, attempt, "a look"))
    job = scene.do(scene.succeed(job, 1, 2), c.CompleteJob(1))

    [failure] = seen(scene, job).failures
    assert (failure.version, failure.worker) == (None, "")
    assert (failure.name, failure.attempt, failure.error) == ("step-0", 1, BOOM)


def test_few_events_are_read_of_a_history_of_thousands(scene: Scene) -> None:
    job = scene.running(steps=2_000)
    for first in range(0, 2_000, 500):
        steps = range(first, first + 500)
        job = scene.do(job, *(c.StartStep(1, step) for step in steps))
        job = scene.do(job, *(c.ReportSuccess(1, step, 1, 0.1) for step in steps if step < 1_999))

    with looks(scene) as executed:
        found = seen(scene, job)
    assert (len(found.tail), len(found.story)) == (TAIL, 3)
    assert len(executed) < MOST_LOOKS
    assert found.tail[-1].version == scene.store.load(job.id).version


def test_who_set_a_job_going_is_known_after_hundreds_of_changes_of_status(scene: Scene) -> None:
    job = scene.start()
    for _ in range(MOST_CHANGES // 3 + 1):  # each asks for the stop, stops and resumes
        scene.stop(job.id)
        scene.store.execute("Default", job.id, lambda _: c.ResumeJob(), OPERATOR)

    [root] = chain(seen(scene, job)).links
    assert root.recorded is not None
    assert isinstance(root.recorded.event, e.JobResumed)


def test_a_worker_that_gives_no_sign_of_life_is_seen_with_its_last_one(scene: Scene) -> None:
    there(scene, "w1")
    job = scene.running(worker="w1")
    answered = scene.surroundings.now()
    scene.store.renew("w1", LEASE_SECONDS)
    wait(scene, LEASE_SECONDS + 5)
    there(scene, "w2")

    found = seen(scene, job)
    assert found.lease is not None
    assert (found.lease.worker, found.lease.holds, found.lease.answered_at) == ("w1", False, answered)
    assert found.waits is not None
    assert found.waits.what is WaitsFor.TAKEOVER
    assert explain(found).because is Because.WORKER_LOST


def test_what_jobs_of_the_type_did_before_is_known(scene: Scene) -> None:
    scene.completed()
    scene.completed()
    scene.running()
    job = scene.running()

    found = seen(scene, job)
    assert (found.status, len(found.peers)) == (JobStatus.RUNNING, 2)
    assert all(each.steps > 0 for each in found.peers)


def test_what_it_waits_for_is_known(scene: Scene) -> None:
    job = scene.start()

    found: list[WaitsFor | None] = []
    for worker, job_type in (("", ""), ("w1", "other"), ("w2", "import")):
        if worker:
            there(scene, worker, job_type)
        waits = seen(scene, job).waits
        found.append(waits.what if waits else None)
    assert found == [WaitsFor.ANY_WORKER, WaitsFor.TYPE, WaitsFor.WORKER]
