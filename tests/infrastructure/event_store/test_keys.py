"""At most one live job per key, whichever way a job comes to life, and one that supersedes waits for its turn."""

from datetime import timedelta

import pytest

from milepost.domain.commands import Advance, CancelJob, OperatorCommand, ResumeJob, StopJob
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.event_store.store import ClaimOffer, CommandReused, KeyTaken, Situation
from tests.infrastructure.event_store.scene import LEASE_SECONDS, OPERATOR, Scene

WITH_CLEANUP = {"import": ClaimOffer(has_cleanup=True)}


def resume(situation: Situation) -> OperatorCommand:
    return ResumeJob()


def stop(situation: Situation) -> OperatorCommand:
    return StopJob(situation.worker_alive, situation.reached)


def cancel(situation: Situation) -> OperatorCommand:
    return CancelJob(situation.worker_alive, situation.reached)


def cancel_without_cleanup(situation: Situation) -> OperatorCommand:
    return CancelJob(situation.worker_alive, situation.reached, skip_cleanup=True)


def test_a_job_cannot_be_resumed_while_another_one_with_its_key_is_live(scene: Scene) -> None:
    stopped = scene.start(key="2013")
    scene.stop(stopped.id)
    holder = scene.start(key="2013")

    with pytest.raises(KeyTaken, match=f"job {holder.id}, which has the same key '2013', is live") as refused:
        scene.store.execute("Default", stopped.id, resume, OPERATOR)

    assert refused.value.holder == holder.id
    assert scene.store.load(stopped.id).status is JobStatus.STOPPED


def test_a_job_can_be_resumed_when_the_other_one_with_its_key_is_at_rest(scene: Scene) -> None:
    stopped, other = scene.start(key="2013"), None
    scene.stop(stopped.id)
    other = scene.start(key="2013")
    scene.stop(other.id)

    assert scene.store.execute("Default", stopped.id, resume, OPERATOR).job.status is JobStatus.PENDING


def test_a_job_that_supersedes_has_the_live_one_cancelled_and_the_history_says_by_whom(scene: Scene) -> None:
    old = scene.start(key="2013")

    new = scene.start(key="2013", supersedes=True)

    assert new.id != old.id
    assert scene.store.load(old.id).status is JobStatus.CANCELLED
    *_, last = scene.store.history(old.id)
    assert last.origin.reason == f"superseded by job {new.id}"
    assert scene.claimed().id == new.id


def test_a_job_that_supersedes_runs_when_the_other_one_has_ended_and_says_so_until_then(scene: Scene) -> None:
    scene.start(key="2013")
    old = scene.claim("w1", WITH_CLEANUP)
    assert old is not None

    new = scene.start(key="2013", supersedes=True)

    assert scene.claim("w2") is None
    queries, now = JobQueries(scene.store.database), scene.surroundings.now() + timedelta(seconds=1)
    row = queries.job("Default", str(new.id))
    assert queries.waiting([row], now) == {str(new.id): f"job {old.id}, whose place it takes, has not ended yet"}
    scene.do(scene.store.catch_up(old), Advance(old.claim))
    assert scene.claimed("w2").id == new.id


@pytest.mark.parametrize("supersedes", [False, True])
def test_a_job_that_is_given_up_is_not_returned_for_its_key_and_the_new_one_waits_for_its_end(
    scene: Scene, supersedes: bool
) -> None:
    scene.start(key="2013")
    old = scene.claim("w1", WITH_CLEANUP)
    assert old is not None
    scene.store.execute("Default", old.id, cancel, OPERATOR)

    new = scene.start(key="2013", supersedes=supersedes)

    assert new.id != old.id
    assert scene.start(key="2013").id == new.id
    assert scene.claim("w2") is None
    scene.do(scene.store.catch_up(old), Advance(old.claim))
    assert scene.claimed("w2").id == new.id


def test_a_job_whose_cleanup_no_worker_can_run_ends_when_an_operator_skips_it_and_frees_its_key(scene: Scene) -> None:
    scene.start(key="2013")
    old = scene.claim("w1", WITH_CLEANUP)
    assert old is not None
    scene.surroundings.wait(LEASE_SECONDS + 1)
    scene.store.execute("Default", old.id, cancel, OPERATOR, command_id="c-1")
    new = scene.start(key="2013")
    assert not scene.store.execute("Default", old.id, cancel, OPERATOR).changed
    with pytest.raises(CommandReused, match="CancelJob"):
        scene.store.execute("Default", old.id, cancel_without_cleanup, OPERATOR, command_id="c-1")

    ended = scene.store.execute("Default", old.id, cancel_without_cleanup, OPERATOR, command_id="c-2")

    assert ended.job.status is JobStatus.CANCELLED
    assert ended.job.error is not None
    assert ended.job.error.type == "CleanupSkipped"
    assert scene.claimed("w2").id == new.id


def test_a_job_without_a_rival_supersedes_nobody(scene: Scene) -> None:
    other = scene.start(key="2012")

    scene.start(key="2013", supersedes=True)

    assert scene.store.load(other.id).status is JobStatus.PENDING


def stopped_with_cleanup(scene: Scene) -> Job:
    """At rest, and with something to clean up when it is given up."""
    scene.start(key="2013")
    job = scene.claim("w1", WITH_CLEANUP)
    assert job is not None
    scene.store.execute("Default", job.id, stop, OPERATOR)
    scene.do(scene.store.catch_up(job), Advance(job.claim))
    assert scene.store.load(job.id).status is JobStatus.STOPPED
    return job


def test_a_cleanup_waits_for_the_job_that_has_begun_under_its_key_meanwhile_and_says_so(scene: Scene) -> None:
    """It might tear down what the other one builds."""
    stopped = stopped_with_cleanup(scene)
    scene.start(key="2013")
    running = scene.claimed("w1")

    scene.store.execute("Default", stopped.id, cancel, OPERATOR)

    assert scene.claim("w2", WITH_CLEANUP) is None
    queries, now = JobQueries(scene.store.database), scene.surroundings.now()
    row = queries.job("Default", str(stopped.id))
    assert f"waits for the end of job {running.id}" in queries.waiting([row], now)[str(stopped.id)]
    scene.store.execute("Default", running.id, stop, OPERATOR)
    scene.do(scene.store.catch_up(running), Advance(running.claim))
    assert scene.claimed("w2").id == stopped.id


def test_cleanups_under_one_key_are_done_one_after_the_other_the_oldest_first(scene: Scene) -> None:
    first, second = stopped_with_cleanup(scene), stopped_with_cleanup(scene)
    for job in (second, first):
        scene.store.execute("Default", job.id, cancel, OPERATOR)

    held = scene.claim("w1", WITH_CLEANUP)

    assert held is not None
    assert held.id == first.id
    assert scene.claim("w2", WITH_CLEANUP) is None
    scene.do(scene.store.catch_up(held), Advance(held.claim))
    assert scene.claimed("w2").id == second.id


def test_a_cleanup_whose_worker_died_goes_on_although_another_one_waits_for_it(scene: Scene) -> None:
    first, second = stopped_with_cleanup(scene), stopped_with_cleanup(scene)
    scene.store.execute("Default", second.id, cancel, OPERATOR)
    assert scene.claimed("w1").id == second.id
    scene.store.execute("Default", first.id, cancel, OPERATOR)
    assert scene.claim("w2", WITH_CLEANUP) is None

    scene.surroundings.wait(LEASE_SECONDS + 1)

    assert scene.claimed("w2").id == second.id
    assert scene.claim("w3", WITH_CLEANUP) is None
