"""The jobs that verify and rebuild: what they tell, where they go on, and whose jobs they look at."""

from collections.abc import Generator
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.audit import walking
from milepost.infrastructure.audit.owning import bound
from milepost.infrastructure.audit.verifying import Verifier
from milepost.infrastructure.job_types.auditing.rebuild import RebuildReadModels
from milepost.infrastructure.job_types.auditing.verify import VerifyHistories
from milepost.infrastructure.job_types.self_test import SelfTest
from tests.infrastructure.audit.pruned import forge_tombstone
from tests.infrastructure.audit.stored import tamper
from tests.infrastructure.running.stage import Stage, turn_until
from tests.stores import url_of

S = JobStatus


@pytest.fixture(params=["file", "server"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Stage]:
    made = Stage(url_of(request.param, tmp_path), SelfTest, VerifyHistories, RebuildReadModels)
    yield made
    made.close()


@pytest.fixture
def done(stage: Stage) -> list[UUID]:
    """Five jobs that have ended."""
    worker, ids = stage.worker(), [stage.start("self-test", {"steps": 2, "items": 1}) for _ in range(5)]
    for each in ids:
        stage.finish(each, worker)
    return ids


def errors(stage: Stage, job_id: UUID) -> list[str]:
    return [step.errors[-1][1].message for step in stage.job(job_id).steps.values() if step.errors]


def messages(stage: Stage, job_id: UUID) -> list[str]:
    return [step.progress.message for step in stage.job(job_id).steps.values() if step.progress]


def counts_wrong(stage: Stage, *ids: UUID) -> None:
    for each in ids:
        tamper(stage.database, "UPDATE milepost_jobs SET succeeded = 7 WHERE id=?", str(each))


def test_where_nothing_differs_it_says_what_was_looked_at(stage: Stage, done: list[UUID]) -> None:
    job_id = stage.start("verify-histories")
    events = sum(stage.job(each).version for each in done)

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_SUCCESSFULLY
    (said,) = messages(stage, job_id)
    assert said == "6 jobs: nothing differs"
    job = stage.job(job_id)
    assert (job.unit, job.items > events) == ("events", True)


def test_what_differs_fails_its_step_once_and_is_named(stage: Stage, done: list[UUID]) -> None:
    counts_wrong(stage, done[1], done[3])
    job_id = stage.start("verify-histories", {"ranges": 3})

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_WITH_FAILURES
    told = "\n".join(errors(stage, job_id))
    for each in (done[1], done[3]):
        assert f"milepost_jobs: the row of job {each} says succeeded = 7, and the events say 2" in told
    assert done[0] not in told.split()
    assert all(step.tries <= 1 for step in stage.job(job_id).steps.values())


def test_a_resume_looks_anew_at_what_differed(stage: Stage, done: list[UUID]) -> None:
    counts_wrong(stage, done[1])
    job_id, worker = stage.start("verify-histories"), stage.worker()
    stage.finish(job_id, worker)
    tamper(stage.database, "UPDATE milepost_jobs SET succeeded = 2 WHERE id=?", str(done[1]))

    stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert messages(stage, job_id) == ["6 jobs: nothing differs"]


def test_the_steps_cover_all_ids(stage: Stage, done: list[UUID]) -> None:
    job_id = stage.start("verify-histories", {"ranges": 4})
    stage.finish(job_id, stage.worker())

    spans = [(step.arguments["after"], step.arguments["until"]) for step in stage.job(job_id).steps.values()]
    assert len(spans) == 4
    assert (spans[0][0], spans[-1][1]) == ("", None)
    assert all(before[1] == after[0] for before, after in pairwise(spans))


def test_a_job_that_was_stopped_goes_on_behind_the_last_one_and_counts_none_twice(
    stage: Stage, done: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts_wrong(stage, done[0], done[4])
    monkeypatch.setattr(walking, "JOBS_OF_A_READ", 1)
    job_id, worker = stage.start("verify-histories"), stage.worker()
    seen = list[str]()

    def stop_at_the_third(cursors: object, namespace: str, **which: str | None) -> object:
        seen.append(which["after"] or "")
        if len(seen) == 3:
            stage.stop(job_id)
        return bound(cursors, namespace, **which)  # type: ignore[arg-type]

    monkeypatch.setattr(walking, "bound", stop_at_the_third)
    monkeypatch.setattr(walking, "JOBS_OF_A_RUN", 1)
    assert stage.finish(job_id, worker) is S.STOPPED
    monkeypatch.setattr(walking, "bound", bound)

    stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    assert messages(stage, job_id) == ["6 jobs: 2 differ"]
    (told,) = errors(stage, job_id)
    assert [str(each) in told for each in done] == [True, False, False, False, True]


def test_a_step_whose_worker_died_goes_on_from_its_checkpoint(
    stage: Stage, done: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "JOBS_OF_A_READ", 1)
    monkeypatch.setattr(walking, "JOBS_OF_A_RUN", 1)
    job_id, worker = stage.start("verify-histories"), stage.worker()
    turn_until(lambda: stage.job(job_id).count(StepStatus.RUNNING) == 1, worker)
    stage.clock.pass_time(1_000)

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_SUCCESSFULLY
    assert messages(stage, job_id) == ["6 jobs: nothing differs"]


def test_of_another_namespace_nothing_is_told(stage: Stage, done: list[UUID]) -> None:
    worker = stage.worker()
    ours = stage.start("self-test", {"steps": 1, "items": 1}, namespace="ours")
    stage.finish(ours, worker)
    counts_wrong(stage, *done)
    tamper(stage.database, "UPDATE milepost_jobs SET namespace = 'Default' WHERE id=?", str(ours))
    job_id = stage.start("verify-histories", namespace="ours")

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    (told,) = errors(stage, job_id)
    assert f"the row of job {ours} says another namespace" in told
    assert "1 of 2 jobs differ" in told
    assert not any(str(each) in told for each in done)
    assert "Default" not in told


def test_only_the_jobs_that_are_named_are_verified_and_one_of_another_namespace_is_not_there(
    stage: Stage, done: list[UUID]
) -> None:
    worker, theirs = stage.worker(), stage.start("self-test", {"steps": 0}, namespace="theirs")
    stage.finish(theirs, worker)
    counts_wrong(stage, done[0], theirs)
    job_id = stage.start("verify-histories", {"jobs": [str(done[1]), str(theirs)]})

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    (told,) = errors(stage, job_id)
    assert f"Nothing is stored of job {theirs} in this namespace" in told
    assert str(done[0]) not in told


def test_read_models_are_rebuilt_by_a_worker_and_nothing_differs_then(stage: Stage, done: list[UUID]) -> None:
    counts_wrong(stage, done[1])
    tamper(stage.database, "DELETE FROM milepost_steps WHERE job_id=?", str(done[2]))
    tamper(stage.database, "DELETE FROM milepost_jobs WHERE id=?", str(done[3]))
    tamper(stage.database, "UPDATE milepost_status_changes SET actor='eve' WHERE job_id=?", str(done[4]))
    job_id = stage.start("rebuild-read-models", {"ranges": 2})

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_SUCCESSFULLY
    assert list(Verifier(stage.database).all()) == []
    assert sum("rebuilt" in message for message in messages(stage, job_id)) >= 1


def test_a_job_whose_history_was_changed_is_left_and_named_and_the_others_are_rebuilt(
    stage: Stage, done: list[UUID]
) -> None:
    counts_wrong(stage, *done)
    where = "originator_id=? AND originator_version=2"
    tamper(stage.database, f"UPDATE milepost_events SET state=? WHERE {where}", b"{}", done[2].hex)
    job_id = stage.start("rebuild-read-models")

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_WITH_FAILURES
    (told,) = errors(stage, job_id)
    assert f"Event 2 of job {done[2]} is not what was recorded" in told
    assert [each.job_id for each in Verifier(stage.database).all()] == [str(done[2])]


def test_a_tombstone_hides_no_job(stage: Stage, done: list[UUID]) -> None:
    forge_tombstone(stage.database, stage.job(done[1]), remaining=1)
    job_id = stage.start("verify-histories")

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_WITH_FAILURES
    (told,) = errors(stage, job_id)
    assert f"milepost_tombstones: the row of job {done[1]} says that it was pruned" in told
