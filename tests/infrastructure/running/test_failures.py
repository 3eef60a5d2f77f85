"""Steps that fail, are tried again, take too long, or fail the job."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from milepost.domain import events as e
from milepost.domain.events import Policy
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.job_types.job_type import JobType, NoRequest, Step, job_type
from milepost.infrastructure.running.step_context import StepContext, StopRequested
from tests.infrastructure.running.stage import Stage, turn_until

StageOf = Callable[..., Stage]
S = JobStatus


class Steps(JobType[NoRequest]):
    """As many steps as it is told; what they do is up to the test."""

    count: int
    do: Callable[[StepContext[NoRequest]], Any]

    def plan(self, request: NoRequest) -> Iterable[Step]:
        for number in range(self.count):
            yield Step(f"{number}")

    def perform(self, step: StepContext[NoRequest]) -> Any:
        return type(self).do(step)


def steps(do: Callable[[StepContext[NoRequest]], Any], count: int = 1, **policy: Any) -> type[Steps]:
    @job_type("steps")
    class Here(Steps):
        pass

    Here.policy, Here.count, Here.do = Policy(**policy), count, staticmethod(do)
    return Here


def test_a_failed_step_is_tried_again_when_its_time_has_come_and_not_before(stage_of: StageOf) -> None:
    attempts: list[int] = []

    def fails_twice(step: StepContext[NoRequest]) -> None:
        attempts.append(step.attempt)
        if step.attempt < 3:
            raise OSError("not yet")

    stage = stage_of(steps(fails_twice, attempts=3, backoff_seconds=10, jitter=0))
    job_id, worker = stage.start("steps"), stage.worker()
    turn_until(lambda: stage.job(job_id).count(StepStatus.WAITING) == 1, worker)
    stage.clock.pass_time(9.9)
    for _ in range(20):
        worker.turn()
    assert attempts == [1]
    stage.clock.pass_time(0.1)
    turn_until(lambda: len(attempts) == 2, worker)
    turn_until(lambda: stage.job(job_id).count(StepStatus.WAITING) == 1, worker)
    stage.clock.pass_time(20)  # doubled

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert attempts == [1, 2, 3]
    assert [error.message for _, error in stage.job(job_id).steps[0].errors] == ["not yet", "not yet"]


def test_a_resume_of_a_job_with_failures_runs_the_failed_steps_only(stage_of: StageOf) -> None:
    ran: Counter[str] = Counter()
    broken = {"1", "3"}

    def fails(step: StepContext[NoRequest]) -> None:
        ran[step.name] += 1
        if step.checkpoint is None:
            step.progress(checkpoint="half")
        if step.name in broken:
            raise ValueError(step.name)

    stage = stage_of(steps(fails, count=5))
    job_id, worker = stage.start("steps"), stage.worker()

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    failed = stage.job(job_id).steps[1]
    assert failed.progress is not None
    assert (failed.status, failed.progress.checkpoint) == (StepStatus.FAILED, "half")
    broken.clear()
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert ran == {"0": 1, "1": 2, "2": 1, "3": 2, "4": 1}


def test_a_job_that_halts_fails_at_the_first_failed_step_and_brings_the_others_to_rest(stage_of: StageOf) -> None:
    other = threading.Event()

    def halts(step: StepContext[NoRequest]) -> None:
        if step.name == "0":
            other.wait(30)
            raise ValueError("no")
        other.set()
        step.sleep(60)

    stage = stage_of(steps(halts, count=10, on_failure="halt"))
    job_id = stage.start("steps")

    assert stage.finish(job_id, stage.worker(slots=2)) is S.FAILED
    job = stage.job(job_id)
    assert job.error is not None
    assert job.error.type == "TooManyFailures"
    assert job.count(StepStatus.PENDING) == 9
    (interrupted,) = [event for event in stage.events(job_id) if isinstance(event, e.StepInterrupted)]
    assert interrupted.cause == "too many steps have failed"


def test_a_job_survives_as_many_failures_as_its_policy_allows(stage_of: StageOf) -> None:
    def fails(step: StepContext[NoRequest]) -> None:
        if step.index < 3:
            raise ValueError("no")

    stage = stage_of(steps(fails, count=8, max_failures=3))
    assert stage.finish(stage.start("steps"), stage.worker()) is S.COMPLETED_WITH_FAILURES


def test_a_job_fails_with_one_failure_more_than_its_policy_allows(stage_of: StageOf) -> None:
    def fails(step: StepContext[NoRequest]) -> None:
        if step.index < 3:
            raise ValueError("no")

    stage = stage_of(steps(fails, count=8, max_failures=2, max_parallel_steps=1))
    job_id, worker = stage.start("steps"), stage.worker(slots=1)

    assert stage.finish(job_id, worker) is S.FAILED
    assert stage.job(job_id).count(StepStatus.PENDING) == 5


def test_a_step_whose_time_is_over_fails_where_it_next_reports(stage_of: StageOf) -> None:
    running = threading.Event()

    def slow(step: StepContext[NoRequest]) -> None:
        running.set()
        step.sleep(60)

    stage = stage_of(steps(slow, timeout_seconds=30))
    job_id, worker = stage.start("steps"), stage.worker()
    turn_until(running.is_set, worker)
    stage.clock.pass_time(30)

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    error = stage.job(job_id).steps[0].errors[0][1]
    assert error.type.endswith("StepTimedOut")
    assert "30 s" in error.message


def test_a_coroutine_that_never_reports_is_cancelled_when_its_time_is_over(stage_of: StageOf) -> None:
    running, cancelled = threading.Event(), threading.Event()

    async def slow(step: StepContext[NoRequest]) -> None:
        running.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stage = stage_of(steps(slow, timeout_seconds=30))
    job_id, worker = stage.start("steps"), stage.worker()
    turn_until(running.is_set, worker)
    stage.clock.pass_time(30)

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    assert cancelled.is_set()


def test_a_step_that_ignores_its_time_out_has_failed_all_the_same_and_keeps_its_slot(stage_of: StageOf) -> None:
    running, gate = threading.Event(), threading.Event()
    ran: list[str] = []

    def ignores(step: StepContext[NoRequest]) -> None:
        ran.append(f"{step.name}.{step.attempt}")
        if step.name == "0" and step.attempt == 1:
            running.set()
            gate.wait(30)

    stage = stage_of(steps(ignores, count=2, attempts=2, backoff_seconds=0, timeout_seconds=30))
    job_id, worker = stage.start("steps"), stage.worker(slots=1)
    turn_until(running.is_set, worker)
    stage.clock.pass_time(32)
    turn_until(lambda: "StepFailed" in stage.happened(job_id), worker)
    for _ in range(20):
        worker.turn()
    # Were the next step handed over now, its own time would pass while it waits for the slot.
    assert ran == ["0.1"]
    assert stage.job(job_id).in_flight == 0
    gate.set()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert sorted(ran) == ["0.1", "0.2", "1.1"]
    assert stage.happened(job_id).count("StepFailed") == 1  # its late success is ignored


def test_a_slot_that_a_finished_job_still_takes_is_not_given_to_another(stage_of: StageOf) -> None:
    running, gate = threading.Event(), threading.Event()
    ran: list[str] = []

    def ignores(step: StepContext[NoRequest]) -> None:
        running.set()
        gate.wait(30)

    @job_type("other")
    class Other(Steps):
        count = 1

        def perform(self, step: StepContext[NoRequest]) -> None:
            ran.append(step.name)

    stage = stage_of(steps(ignores, timeout_seconds=30), Other)
    job_id, worker = stage.start("steps"), stage.worker(slots=1)
    turn_until(running.is_set, worker)
    stage.clock.pass_time(32)
    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    other = stage.start("other")
    for _ in range(20):
        stage.clock.pass_time(1)
        worker.turn()
    assert stage.job(other).worker is None, "a worker without a free slot must leave it to others"
    gate.set()

    assert stage.finish(other, worker) is S.COMPLETED_SUCCESSFULLY


def test_a_step_that_ends_as_for_a_stop_when_its_time_is_over_has_failed_and_used_a_try(stage_of: StageOf) -> None:
    running = threading.Event()

    def waits(step: StepContext[NoRequest]) -> None:
        running.set()
        while not step.stop_requested:
            time.sleep(0.001)
        raise StopRequested

    stage = stage_of(steps(waits, timeout_seconds=30))
    job_id, worker = stage.start("steps"), stage.worker()
    turn_until(running.is_set, worker)
    stage.clock.pass_time(30.5)

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    ((_, error),) = stage.job(job_id).steps[0].errors
    assert error.type.endswith("StepTimedOut")


def test_a_clock_that_is_set_forward_times_no_step_out(stage_of: StageOf) -> None:
    running, gate = threading.Event(), threading.Event()

    def waits(step: StepContext[NoRequest]) -> None:
        running.set()
        while not gate.is_set():
            step.sleep(0.001)

    stage = stage_of(steps(waits, timeout_seconds=30))
    job_id, worker = stage.start("steps"), stage.worker()
    turn_until(running.is_set, worker)
    stage.clock.set_clock(3_600)
    for _ in range(20):
        worker.turn()
    gate.set()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_an_error_is_kept_whole_with_its_traceback_and_causes(stage_of: StageOf) -> None:
    def fails(step: StepContext[NoRequest]) -> None:
        try:
            raise KeyError("tail")
        except KeyError as error:
            raise ValueError("no such aircraft") from error

    stage = stage_of(steps(fails))
    job_id = stage.start("steps")
    stage.finish(job_id, stage.worker())

    ((attempt, error),) = stage.job(job_id).steps[0].errors
    assert attempt == 1
    assert (error.type, error.message, error.causes) == ("ValueError", "no such aircraft", ("KeyError: 'tail'",))
    assert "in fails" in error.traceback


def test_no_more_steps_run_at_once_than_the_policy_allows(stage_of: StageOf) -> None:
    now, most = Counter[str](), [0]
    turn = threading.Lock()

    def counts(step: StepContext[NoRequest]) -> None:
        with turn:
            now["running"] += 1
            most[0] = max(most[0], now["running"])
        step.sleep(0.005)
        with turn:
            now["running"] -= 1

    stage = stage_of(steps(counts, count=20, max_parallel_steps=2))

    assert stage.finish(stage.start("steps"), stage.worker(slots=6)) is S.COMPLETED_SUCCESSFULLY
    assert most == [2]
