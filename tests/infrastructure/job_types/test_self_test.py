"""`self-test` does what each field of its request says."""

from collections.abc import Generator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.job_types.registry import RequestInvalid
from milepost.infrastructure.job_types.self_test import SelfTest
from tests.infrastructure.running.stage import Stage, turn_until

S = JobStatus


@pytest.fixture
def stage(tmp_path: Path) -> Generator[Stage]:
    made = Stage(f"sqlite:///{tmp_path}/events.sqlite", SelfTest)
    yield made
    made.close()


def test_it_counts_ten_items_in_ten_steps_where_nothing_is_asked(stage: Stage) -> None:
    job_id = stage.start("self-test")

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_SUCCESSFULLY
    job = stage.job(job_id)
    assert [step.name for step in job.steps.values()] == [f"step-{number}" for number in range(1, 11)]
    assert {(step.done, step.progress.unit) for step in job.steps.values() if step.progress} == {(10, "items")}
    assert job.facts.details == "10 steps of 10 items"


@pytest.mark.parametrize("request_", [{"steps": 0}, {"items": 0}, {"steps": 2, "seconds": 0.001}])
def test_it_may_have_little_to_do(stage: Stage, request_: dict[str, Any]) -> None:
    assert stage.finish(stage.start("self-test", request_), stage.worker()) is S.COMPLETED_SUCCESSFULLY


def waits_after(stage: Stage, job_id: UUID, tries: int) -> bool:
    steps = stage.job(job_id).steps.values()
    return any(step.status is StepStatus.WAITING and step.tries == tries for step in steps)


def test_the_steps_that_are_to_fail_fail_always(stage: Stage) -> None:
    job_id, worker = stage.start("self-test", {"steps": 3, "fail_steps": [2]}), stage.worker()
    for tries in (1, 2):
        turn_until(lambda tries=tries: waits_after(stage, job_id, tries), worker)  # type: ignore[misc]
        stage.clock.pass_time(5)

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    step = stage.job(job_id).steps[1]
    assert (step.status, step.tries, step.done) == (StepStatus.FAILED, 3, 10)
    assert step.errors[-1][1].message == "step-2 was told to fail (attempt 3)"


def test_the_steps_that_are_to_fail_fail_as_often_as_is_asked(stage: Stage) -> None:
    request = {"steps": 2, "fail_steps": [1, 2], "fail_attempts": 1}
    job_id, worker = stage.start("self-test", request), stage.worker()
    turn_until(lambda: stage.job(job_id).count(StepStatus.WAITING) == 2, worker)
    stage.clock.pass_time(5)

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert [step.attempt for step in stage.job(job_id).steps.values()] == [2, 2]


def test_its_checkpoints_weigh_what_is_asked(stage: Stage) -> None:
    job_id = stage.start("self-test", {"steps": 1, "items": 1, "payload_bytes": 1_000})
    stage.finish(job_id, stage.worker())

    progress = stage.job(job_id).steps[0].progress
    assert progress is not None
    assert progress.checkpoint == {"item": 1, "payload": "x" * 1_000}


def test_it_stops_between_two_items_and_goes_on_there(stage: Stage) -> None:
    job_id, worker = stage.start("self-test", {"steps": 1, "items": 3, "seconds": 0.05}), stage.worker()
    turn_until(lambda: stage.job(job_id).in_flight == 1, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


@pytest.mark.parametrize("field", [{"steps": -1}, {"items": "many"}, {"fail_steps": [0]}, {"nosuch": 1}])
def test_what_it_cannot_do_is_refused(stage: Stage, field: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid) as refused:
        stage.start("self-test", field)

    assert next(iter(field)) in refused.value.problems[0]
