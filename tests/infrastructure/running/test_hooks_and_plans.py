"""When a job type's own code is called, and what becomes of a job when it raises."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.job_types.job_type import JobType, NoRequest, Step, job_type
from milepost.infrastructure.running.step_context import HookContext, StepContext
from tests.infrastructure.running.stage import Stage, holds, turn_until

StageOf = Callable[..., Stage]
S = JobStatus


class Calls(JobType[NoRequest]):
    """Notes which of its methods are called; each raises while it is in `broken`."""

    called: list[str]
    broken: set[str]
    names: tuple[str, ...] = ("a", "b")

    def note(self, what: str) -> None:
        self.called.append(what)
        if what in self.broken:
            raise RuntimeError(f"{what} is broken")

    def before_start(self, job: HookContext[NoRequest]) -> None:
        self.note("before_start")

    def plan(self, request: NoRequest) -> Iterable[Step]:
        self.note("plan")
        return [Step(name) for name in self.names]

    def before_resume(self, job: HookContext[NoRequest]) -> None:
        self.note("before_resume")

    def perform(self, step: StepContext[NoRequest]) -> None:
        self.note(step.name)

    def completed(self, job: HookContext[NoRequest]) -> None:
        self.note("completed")

    def cancelled(self, job: HookContext[NoRequest]) -> None:
        self.note("cancelled")


def calls(*broken: str, names: tuple[str, ...] = ("a", "b")) -> type[Calls]:
    @job_type("calls")
    class Here(Calls):
        pass

    Here.called, Here.broken, Here.names = [], set(broken), names
    return Here


def test_the_hooks_of_an_undisturbed_job_are_called_once_each_and_in_order(stage_of: StageOf) -> None:
    here = calls()
    stage = stage_of(here)
    job_id = stage.start("calls")

    assert stage.finish(job_id, stage.worker(slots=1)) is S.COMPLETED_SUCCESSFULLY
    assert here.called == ["before_start", "plan", "a", "b", "completed"]


def test_a_job_without_steps_completes_and_its_completion_hook_is_called(stage_of: StageOf) -> None:
    here = calls(names=())
    stage = stage_of(here)
    job_id = stage.start("calls")

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_SUCCESSFULLY
    assert here.called == ["before_start", "plan", "completed"]


def test_an_error_before_the_start_fails_the_job_and_a_resume_begins_anew(stage_of: StageOf) -> None:
    here = calls("before_start")
    stage = stage_of(here)
    job_id, worker = stage.start("calls"), stage.worker(slots=1)

    assert stage.finish(job_id, worker) is S.FAILED
    error = stage.job(job_id).error
    assert error is not None
    assert (error.type, error.message) == ("RuntimeError", "before_start is broken")
    here.broken.clear()
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert here.called == ["before_start", "before_start", "plan", "a", "b", "completed"]


def test_a_plan_that_raises_half_way_fails_the_job_and_a_resume_plans_all_of_it_anew(stage_of: StageOf) -> None:
    state = {"broken": True}

    @job_type("half")
    class Half(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            for number in range(2_500):
                if number == 1_700 and state["broken"]:
                    raise OSError("the catalogue is gone")
                yield Step(f"{number}")

        def perform(self, step: StepContext[NoRequest]) -> None:
            pass

    stage = stage_of(Half)
    job_id, worker = stage.start("half"), stage.worker()

    assert stage.finish(job_id, worker) is S.FAILED
    failed = stage.job(job_id)
    assert (failed.total, failed.planned) == (1_000, False)
    state["broken"] = False
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    done = stage.job(job_id)
    assert (done.total, done.count(StepStatus.SUCCEEDED)) == (2_500, 2_500)
    assert done.steps[1_999].name == "1999"


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (lambda: ["step-1"], "plan() of 'wrong' must yield Step objects, not str"),
        (lambda: None, "'NoneType' object is not iterable"),
        (lambda: [Step("a", {"day": object()})], "The arguments of step 'a' cannot be stored as JSON"),
        (lambda: [Step("a", {"text": "\ud800"})], "The arguments of step 'a' cannot be stored as JSON"),
        (lambda: [Step(None)], "PlannedStep"),  # type: ignore[arg-type]
    ],
)
def test_a_plan_of_something_else_than_steps_fails_the_job_and_says_so(
    stage_of: StageOf, plan: Callable[[], Any], told: str
) -> None:
    @job_type("wrong")
    class Wrong(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Any:
            return plan()

    stage = stage_of(Wrong)
    job_id = stage.start("wrong")

    assert stage.finish(job_id, stage.worker()) is S.FAILED
    error = stage.job(job_id).error
    assert error is not None
    assert told in error.message


def test_a_completion_hook_that_raises_fails_the_job_and_a_resume_calls_it_again(stage_of: StageOf) -> None:
    here = calls("completed")
    stage = stage_of(here)
    job_id, worker = stage.start("calls"), stage.worker(slots=1)

    assert stage.finish(job_id, worker) is S.FAILED
    here.broken.clear()
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert here.called == ["before_start", "plan", "a", "b", "completed", "before_resume", "completed"]


def test_an_error_before_a_resume_fails_the_job_and_no_step_runs(stage_of: StageOf) -> None:
    here = calls("completed", "before_resume")
    stage = stage_of(here)
    job_id, worker = stage.start("calls"), stage.worker(slots=1)
    stage.finish(job_id, worker)
    stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.FAILED
    assert here.called[-1] == "before_resume"


def test_a_cancelled_job_is_cleaned_up_and_not_completed(stage_of: StageOf) -> None:
    """Deleting a replay job there ran its completion hook, as if it had finished (chronicle.md 1.9, 7)."""
    here = calls("completed")
    stage = stage_of(here)
    running = threading.Event()

    @job_type("waits")
    class Waits(here):  # type: ignore[misc, valid-type]
        def perform(self, step: StepContext[NoRequest]) -> None:
            running.set()
            step.sleep(60)

    stage.know(Waits)
    job_id, worker = stage.start("waits"), stage.worker(slots=1)
    turn_until(running.is_set, worker)
    stage.cancel(job_id)

    assert stage.finish(job_id, worker) is S.CANCELLED
    assert here.called == ["before_start", "plan", "cancelled"]
    assert stage.job(job_id).count(StepStatus.CANCELLED) == 2


def test_a_cleanup_hook_that_raises_does_not_keep_the_job_from_being_cancelled(stage_of: StageOf) -> None:
    """A completion hook that threw while removing left a job that could not be removed (chronicle.md 1.9, 8)."""
    here = calls("cancelled")
    running = threading.Event()

    @job_type("waits")
    class Waits(here):  # type: ignore[misc, valid-type]
        def perform(self, step: StepContext[NoRequest]) -> None:
            running.set()
            step.sleep(60)

    stage = stage_of(Waits)
    job_id, worker = stage.start("waits"), stage.worker()
    turn_until(running.is_set, worker)
    stage.cancel(job_id)

    assert stage.finish(job_id, worker) is S.CANCELLED
    error = stage.job(job_id).error
    assert error is not None
    assert error.message == "cancelled is broken"


def test_hooks_may_be_coroutines(stage_of: StageOf) -> None:
    called: list[str] = []

    @job_type("async-hooks")
    class AsyncHooks(JobType[NoRequest]):
        async def before_start(self, job: HookContext[NoRequest]) -> None:
            called.append("before_start")

        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        async def perform(self, step: StepContext[NoRequest]) -> None:
            called.append(step.name)

        async def completed(self, job: HookContext[NoRequest]) -> None:
            called.append(job.namespace)

    stage = stage_of(AsyncHooks)

    assert stage.finish(stage.start("async-hooks"), stage.worker()) is S.COMPLETED_SUCCESSFULLY
    assert called == ["before_start", "a", "Default"]


def test_a_stop_during_the_plan_stops_the_job_and_a_resume_plans_it_anew(stage_of: StageOf) -> None:
    reached, gate = threading.Event(), threading.Event()

    @job_type("slow-plan")
    class SlowPlan(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            for number in range(1_500):
                if number == 1_200:
                    reached.set()
                    gate.wait(30)
                yield Step(f"{number}")

        def perform(self, step: StepContext[NoRequest]) -> None:
            pass

    stage = stage_of(SlowPlan)
    job_id, worker = stage.start("slow-plan"), stage.worker()
    turn_until(reached.is_set, worker)
    stage.stop(job_id)
    worker.turn()
    gate.set()

    assert stage.finish(job_id, worker) is S.STOPPED
    assert "JobPrepared" not in stage.happened(job_id)
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert stage.job(job_id).total == 1_500


def test_a_stop_withdrawn_during_the_plan_lets_it_go_on(stage_of: StageOf) -> None:
    reached, gate = threading.Event(), threading.Event()

    @job_type("slow-plan")
    class SlowPlan(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            for number in range(1_100):
                if number == 1_050 and not reached.is_set():
                    reached.set()
                    gate.wait(30)
                yield Step(f"{number}")

        def perform(self, step: StepContext[NoRequest]) -> None:
            pass

    stage = stage_of(SlowPlan)
    job_id, worker = stage.start("slow-plan"), stage.worker()
    turn_until(reached.is_set, worker)
    stage.stop(job_id)
    worker.turn()
    gate.set()  # the plan comes to rest; before that is recorded, the stop is withdrawn
    stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert stage.job(job_id).count(StepStatus.SUCCEEDED) == 1_100


def test_a_plan_that_is_another_one_the_second_time_fails_the_job(stage_of: StageOf) -> None:
    reached, gate, left = threading.Event(), threading.Event(), threading.Event()
    lengths = [1_500, 900]

    @job_type("fickle")
    class Fickle(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            length = lengths.pop(0)
            try:
                for number in range(length):
                    yield Step(f"{number}")
                if length == 1_500:
                    reached.set()
                    gate.wait(30)
                    yield Step("never")
            finally:
                left.set()

    stage = stage_of(Fickle)
    job_id, worker = stage.start("fickle"), stage.worker()
    turn_until(reached.is_set, worker)
    stage.stop(job_id)
    worker.turn()
    gate.set()
    assert left.wait(30)
    stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.FAILED
    error = stage.job(job_id).error
    assert error is not None
    assert error.type == "PlanChanged"


def test_a_stop_while_the_completion_hook_runs_comes_too_late(stage_of: StageOf) -> None:
    """There a job stopped when all its steps had completed could never complete (chronicle.md 1.9, 2)."""
    running, gate = threading.Event(), threading.Event()

    @job_type("slow-end")
    class SlowEnd(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            pass

        def completed(self, job: HookContext[NoRequest]) -> None:
            running.set()
            gate.wait(30)

    stage = stage_of(SlowEnd)
    job_id, worker = stage.start("slow-end"), stage.worker()
    turn_until(running.is_set, worker)
    stage.stop(job_id)
    worker.turn()
    assert stage.status(job_id) is S.STOPPING
    gate.set()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert not holds(worker, job_id)


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_step_that_raises_what_ends_programs_fails_and_the_worker_lives(
    stage_of: StageOf, raised: BaseException
) -> None:
    @job_type("quits")
    class Quits(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a"), Step("b")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            if step.name == "a":
                raise raised

    stage = stage_of(Quits)
    job_id = stage.start("quits")

    assert stage.finish(job_id, stage.worker(slots=1)) is S.COMPLETED_WITH_FAILURES
    assert stage.job(job_id).steps[0].errors[0][1].type == type(raised).__name__


def test_a_generator_for_a_step_fails_instead_of_doing_nothing(stage_of: StageOf) -> None:
    @job_type("yields")
    class Yields(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> Any:
            yield 1

    stage = stage_of(Yields)
    job_id = stage.start("yields")

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_WITH_FAILURES
    assert "must not yield" in stage.job(job_id).steps[0].errors[0][1].message
