"""A stop is a wish until every running step has come to rest; a resume goes on where it came to rest."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from pydantic import BaseModel

from milepost.domain import events as e
from milepost.domain.events import Policy
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.job_types.job_type import JobType, NoRequest, Step, job_type
from milepost.infrastructure.running.step_context import StepContext, StopRequested
from tests.infrastructure.running.stage import Stage, turn_until

StageOf = Callable[..., Stage]
S = JobStatus


class Much(BaseModel):
    steps: int = 6
    items: int = 5
    free: int = 0  # so many steps do not wait at the gate


class Counting(JobType[Much]):
    """Steps that count what they did outside of Milepost, and wait at item 3 until the gate is opened."""

    gate: threading.Event
    running: set[str]
    items: Counter[tuple[str, int]]
    ended: Counter[str]

    def plan(self, request: Much) -> Iterable[Step]:
        for number in range(request.steps):
            yield Step(f"step-{number}")

    def perform(self, step: StepContext[Much]) -> None:
        for item in range(step.checkpoint or 0, step.request.items):
            if item == 3 and step.index >= step.request.free:
                self.running.add(step.name)
                while not self.gate.is_set():
                    step.sleep(0.005)
            self.items[step.name, item] += 1
            step.progress(done=item + 1, total=step.request.items, checkpoint=item + 1)
        self.ended[step.name] += 1


def counting() -> type[Counting]:
    @job_type("counting")
    class Here(Counting):
        pass

    Here.gate, Here.running, Here.items, Here.ended = threading.Event(), set(), Counter(), Counter()
    return Here


def test_a_stopped_job_goes_on_from_its_checkpoints_and_does_nothing_twice(stage_of: StageOf) -> None:
    here = counting()
    stage = stage_of(here)
    job_id, worker = stage.start("counting"), stage.worker(slots=2)
    turn_until(lambda: len(here.running) == 2, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    stopped = stage.job(job_id)
    assert stopped.count(StepStatus.STOPPED) == 2
    assert {step.progress.checkpoint for step in stopped.steps.values() if step.progress} == {3}
    here.gate.set()
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert set(here.items.values()) == {1}
    assert len(here.items) == 30
    assert set(here.ended.values()) == {1}


def test_a_step_that_succeeded_before_the_stop_never_runs_again(stage_of: StageOf) -> None:
    here = counting()
    stage = stage_of(here)
    job_id, worker = stage.start("counting", {"steps": 40, "free": 20}), stage.worker(slots=2)
    turn_until(lambda: len(here.ended) == 20 and len(here.running) == 2, worker)
    stage.stop(job_id)
    assert stage.finish(job_id, worker) is S.STOPPED
    here.gate.set()
    stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert len(here.ended) == 40
    assert set(here.ended.values()) == {1}


def test_a_job_with_more_steps_than_slots_stops_and_completes_after_a_resume(stage_of: StageOf) -> None:
    """There, steps that waited for a slot never reported: the job was stopping for ever (chronicle.md 1.9, 1)."""
    here = counting()
    stage = stage_of(here)
    job_id, worker = stage.start("counting", {"steps": 20}), stage.worker(slots=2)
    turn_until(lambda: len(here.running) == 2, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    assert stage.job(job_id).count(StepStatus.PENDING) == 18
    here.gate.set()
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_a_stop_that_the_last_step_does_not_hear_in_time_ends_in_a_completed_job(stage_of: StageOf) -> None:
    """There it ended as Stopped with all steps completed, and nothing ever completed it (chronicle.md 1.9, 2)."""
    running, gate = threading.Event(), threading.Event()

    @job_type("deaf")
    class Deaf(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            running.set()
            gate.wait(30)

    stage = stage_of(Deaf)
    job_id, worker = stage.start("deaf"), stage.worker()
    turn_until(running.is_set, worker)
    stage.stop(job_id)
    worker.turn()
    assert stage.status(job_id) is S.STOPPING
    gate.set()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_a_step_that_comes_to_rest_counts_as_stopped_and_not_as_failed(stage_of: StageOf) -> None:
    """There a step that ended by throwing counted as failed, and a resume had nothing to run (chronicle.md 1.9, 6)."""
    here = counting()
    stage = stage_of(here)
    job_id, worker = stage.start("counting", {"steps": 1}), stage.worker()
    turn_until(lambda: len(here.running) == 1, worker)
    stage.stop(job_id)
    stage.finish(job_id, worker)

    step = stage.job(job_id).steps[0]
    assert (step.status, step.tries, step.errors) == (StepStatus.STOPPED, 0, ())


def test_a_stop_withdrawn_while_the_steps_come_to_rest_loses_nothing(stage_of: StageOf) -> None:
    """There a resume in the same activation met a torn-down step (chronicle.md 1.9, 5)."""
    here = counting()
    stage = stage_of(here)
    job_id, worker = stage.start("counting"), stage.worker(slots=2)
    turn_until(lambda: len(here.running) == 2, worker)
    stage.stop(job_id)
    worker.turn()  # the steps hear of it
    stage.resume(job_id)
    here.gate.set()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert "JobStopped" not in stage.happened(job_id)
    assert set(here.ended.values()) == {1}
    assert set(here.items.values()) == {1}


def test_a_job_that_only_waits_for_a_retry_stops_at_once(stage_of: StageOf) -> None:
    @job_type("flaky")
    class Flaky(JobType[NoRequest]):
        policy = Policy(attempts=5, backoff_seconds=600, jitter=0)

        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            raise OSError("no network")

    stage = stage_of(Flaky)
    job_id, worker = stage.start("flaky"), stage.worker()
    turn_until(lambda: "StepFailed" in stage.happened(job_id), worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED


def test_a_running_job_is_cancelled_when_its_steps_have_come_to_rest(stage_of: StageOf) -> None:
    here = counting()
    stage = stage_of(here)
    job_id, worker = stage.start("counting"), stage.worker(slots=2)
    turn_until(lambda: len(here.running) == 2, worker)
    stage.cancel(job_id)

    assert stage.finish(job_id, worker) is S.CANCELLED
    assert stage.job(job_id).count(StepStatus.CANCELLED) == 6
    assert stage.happened(job_id)[-1] == "JobCancelled"


def test_a_coroutine_step_is_stopped_at_its_checkpoint(stage_of: StageOf) -> None:
    running = threading.Event()

    @job_type("async")
    class Async(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        async def perform(self, step: StepContext[NoRequest]) -> None:
            if step.checkpoint == "half":
                return
            step.progress(checkpoint="half")
            running.set()
            await step.sleep_async(60)

    stage = stage_of(Async)
    job_id, worker = stage.start("async"), stage.worker()
    turn_until(running.is_set, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_a_stop_inside_a_task_group_is_a_stop_and_no_failure(stage_of: StageOf) -> None:
    import asyncio

    running = threading.Event()

    @job_type("group")
    class Group(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        async def perform(self, step: StepContext[NoRequest]) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(step.sleep_async(60))
                tasks.create_task(step.sleep_async(60))
                running.set()

    stage = stage_of(Group)
    job_id, worker = stage.start("group"), stage.worker()
    turn_until(running.is_set, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED


def test_a_step_may_look_for_a_stop_and_come_to_rest_by_itself(stage_of: StageOf) -> None:
    running = threading.Event()

    @job_type("looks")
    class Looks(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            running.set()
            while not step.stop_requested:
                threading.Event().wait(0.001)
            raise StopRequested

    stage = stage_of(Looks)
    job_id, worker = stage.start("looks"), stage.worker()
    turn_until(running.is_set, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED


@pytest.mark.parametrize("hook", [False, True])
def test_code_that_stops_although_nobody_asked_for_it_has_failed(stage_of: StageOf, hook: bool) -> None:
    @job_type("early")
    class Early(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            if hook:
                raise StopRequested
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            raise StopRequested

    stage = stage_of(Early)
    job_id = stage.start("early")

    assert stage.finish(job_id, stage.worker()) is (S.FAILED if hook else S.COMPLETED_WITH_FAILURES)
    error = stage.job(job_id).error if hook else stage.job(job_id).steps[0].errors[0][1]
    assert error is not None
    assert "nobody had asked for a stop" in error.message


def test_many_quick_steps_in_flight_come_to_rest_without_running(stage_of: StageOf) -> None:
    ran: list[int] = []

    @job_type("quick")
    class Quick(JobType[Much]):
        def plan(self, request: Much) -> Iterable[Step]:
            for number in range(request.steps):
                yield Step(f"step-{number}")

        def perform(self, step: StepContext[Much]) -> None:
            ran.append(step.index)

    stage = stage_of(Quick)
    job_id, worker = stage.start("quick", {"steps": 5_000}), stage.worker()
    turn_until(lambda: len(ran) > 200, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert sorted(ran) == list(range(5_000))


def test_a_stop_requested_twice_is_recorded_once(stage_of: StageOf) -> None:
    here = counting()
    stage = stage_of(here)
    job_id, worker = stage.start("counting"), stage.worker()
    turn_until(lambda: len(here.running) == 2, worker)
    stage.stop(job_id)

    assert not stage.stop(job_id).changed
    stage.finish(job_id, worker)
    assert not stage.stop(job_id).changed
    assert sum(isinstance(event, e.JobStopRequested) for event in stage.events(job_id)) == 1
