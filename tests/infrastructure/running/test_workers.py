"""Several workers, several jobs, and a database that does not always answer."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Self

import pytest
from pydantic import BaseModel, model_validator

from milepost.domain import events as e
from milepost.domain.events import Policy
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.schema import refusals, workers
from milepost.infrastructure.job_types.job_type import JobType, Limits, NoRequest, Step, job_type
from milepost.infrastructure.running.call import Planned
from milepost.infrastructure.running.executors import ThreadExecutor
from milepost.infrastructure.running.link import Activity
from milepost.infrastructure.running.perform import Environment, perform
from milepost.infrastructure.running.step_context import HookContext, StepContext
from milepost.infrastructure.running.worker import Worker
from tests.infrastructure.running.stage import NAMESPACE, OPERATOR, Stage, holds, turn_until
from tests.length import FULL

StageOf = Callable[..., Stage]
S = JobStatus


class Size(BaseModel):
    steps: int = 4
    group: str = "g"


class Gated(JobType[Size]):
    """Steps that wait for the gate, at a checkpoint."""

    gate: threading.Event
    running: list[tuple[Any, str]]
    ended: Counter[tuple[Any, str]]

    def plan(self, request: Size) -> Iterable[Step]:
        for number in range(request.steps):
            yield Step(f"{number}")

    def limit_key(self, request: Size) -> str | None:
        return request.group

    def perform(self, step: StepContext[Size]) -> None:
        if step.checkpoint is None:
            step.progress(checkpoint="begun")
        self.running.append((step.job_id, step.name))
        while not self.gate.is_set():
            step.sleep(0.005)
        self.ended[step.job_id, step.name] += 1


def gated(name: str = "gated", **attributes: Any) -> type[Gated]:
    @job_type(name)
    class Here(Gated):
        pass

    Here.gate, Here.running, Here.ended = threading.Event(), [], Counter()
    for attribute, value in attributes.items():
        setattr(Here, attribute, value)
    return Here


def why_waits(stage: Stage) -> list[str]:
    with stage.database.read() as connection:
        return [row.why for row in connection.execute(refusals.select())]


def test_of_two_workers_one_gets_the_job(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    job_id, first, second = stage.start("gated"), stage.worker(), stage.worker()
    turn_until(lambda: len(here.running) == 2, first, second)
    assert [holds(first, job_id), holds(second, job_id)] == [True, False]
    here.gate.set()

    assert stage.finish(job_id, first, second) is S.COMPLETED_SUCCESSFULLY
    assert stage.happened(job_id).count("JobClaimed") == 1
    assert set(here.ended.values()) == {1}


def test_a_worker_that_lost_its_lease_records_nothing_and_tells_its_steps(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    job_id, old, new = stage.start("gated"), stage.worker(), stage.worker()
    turn_until(lambda: len(here.running) == 2, old)
    stage.clock.pass_time(11)
    turn_until(lambda: holds(new, job_id), new)
    version = stage.job(job_id).version
    turn_until(lambda: not old.jobs, old)
    assert stage.job(job_id).version == version
    here.gate.set()

    assert stage.finish(job_id, new) is S.COMPLETED_SUCCESSFULLY
    interrupted = [event for event in stage.events(job_id) if isinstance(event, e.StepInterrupted)]
    assert [event.cause for event in interrupted] == [f"its worker {old.name} was gone"] * 2


def test_a_worker_hands_its_jobs_back_and_another_goes_on_from_the_checkpoints(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    job_id, first, second = stage.start("gated"), stage.worker(), stage.worker()
    turn_until(lambda: len(here.running) == 2, first)
    first.hand_back()
    first.run()
    assert (first.gone, stage.status(job_id)) == (True, S.PENDING)
    handed = stage.job(job_id)
    assert {step.progress.checkpoint for step in handed.steps.values() if step.progress} == {"begun"}
    assert stage.happened(job_id)[-1] == "JobReleased"
    here.gate.set()

    assert stage.finish(job_id, second) is S.COMPLETED_SUCCESSFULLY
    assert set(here.ended.values()) == {1}


def test_a_worker_that_is_leaving_claims_nothing(stage_of: StageOf) -> None:
    stage = stage_of(gated())
    job_id, worker = stage.start("gated"), stage.worker()
    worker.hand_back()
    worker.run()

    assert stage.status(job_id) is S.PENDING


def test_a_hand_back_during_the_plan_leaves_a_job_that_is_planned_anew(stage_of: StageOf) -> None:
    reached, gate = threading.Event(), threading.Event()

    @job_type("slow-plan")
    class SlowPlan(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            yield Step("a")
            reached.set()
            gate.wait(30)
            yield Step("b")

        def perform(self, step: StepContext[NoRequest]) -> None:
            pass

    stage = stage_of(SlowPlan)
    job_id, first, second = stage.start("slow-plan"), stage.worker(), stage.worker()
    turn_until(reached.is_set, first)
    first.hand_back()
    first.turn()
    gate.set()
    first.run()
    assert stage.status(job_id) is S.PENDING

    assert stage.finish(job_id, second) is S.COMPLETED_SUCCESSFULLY
    assert stage.job(job_id).total == 2


def deaf(name: str = "deaf") -> tuple[type[JobType[NoRequest]], threading.Event, threading.Event]:
    running, gate = threading.Event(), threading.Event()

    @job_type(name)
    class Deaf(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            if step.attempt == 1:
                step.progress(done=1, checkpoint="here")
                running.set()
                gate.wait(30)

    return Deaf, running, gate


def test_a_worker_abandons_its_jobs_without_waiting_for_their_steps(stage_of: StageOf) -> None:
    here, running, gate = deaf()
    stage = stage_of(here)
    job_id, worker = stage.start("deaf"), stage.worker()
    turn_until(running.is_set, worker)
    worker.hand_back()
    worker.turn()
    assert not worker.gone
    worker.abandon()
    worker.run()

    job = stage.job(job_id)
    assert (job.status, job.count(StepStatus.PENDING)) == (S.PENDING, 1)
    assert job.steps[0].progress is not None
    assert job.steps[0].progress.checkpoint == "here"
    gate.set()


def test_a_worker_that_hands_back_waits_no_longer_than_its_grace(stage_of: StageOf) -> None:
    here, running, gate = deaf()
    stage = stage_of(here)
    job_id, worker = stage.start("deaf"), stage.worker(grace_seconds=5)
    turn_until(running.is_set, worker)
    worker.hand_back()
    worker.turn()
    assert not worker.gone
    stage.clock.pass_time(5)
    worker.run()

    assert stage.status(job_id) is S.PENDING
    gate.set()


def test_a_worker_can_abandon_also_when_the_database_is_gone(stage_of: StageOf) -> None:
    here, running, gate = deaf()
    stage = stage_of(here)
    job_id, worker = stage.start("deaf"), stage.worker()
    turn_until(running.is_set, worker)
    stage.database.broken = True
    worker.abandon()
    worker.run()
    stage.database.broken = False
    gate.set()
    assert stage.status(job_id) is S.RUNNING
    stage.clock.pass_time(11)

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_SUCCESSFULLY


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("write", range(14))
def test_a_job_completes_whichever_write_fails_whether_or_not_it_was_committed(
    stage_of: StageOf, fault: str, write: int
) -> None:
    called: list[str] = []

    @job_type("whole")
    class Whole(JobType[NoRequest]):
        policy = Policy(max_parallel_steps=1)

        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a"), Step("b")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            step.progress(checkpoint=step.name, durable=True)

        def completed(self, job: HookContext[NoRequest]) -> None:
            called.append("completed")

    stage = stage_of(Whole)
    job_id, worker = stage.start("whole"), stage.worker()
    stage.database.faults = [""] * write + [fault]

    def turn() -> None:
        try:
            worker.turn()
        except DatabaseUnavailable:
            return

    for _ in range(3_000):
        turn()
        if not worker.jobs and stage.at_rest(job_id):
            break
        threading.Event().wait(0.001)
        stage.clock.pass_time(0.01)
    assert stage.status(job_id) is S.COMPLETED_SUCCESSFULLY
    assert stage.happened(job_id).count("StepSucceeded") == 2
    assert called == ["completed"]


def test_a_worker_waits_for_a_database_that_does_not_answer(stage_of: StageOf) -> None:
    here = gated()
    here.gate.set()
    stage = stage_of(here)
    job_id = stage.start("gated")
    worker = stage.worker()
    stage.database.faults = ["before"] * 3

    worker.run(lambda: not worker.jobs and stage.at_rest(job_id))
    assert stage.status(job_id) is S.COMPLETED_SUCCESSFULLY


def test_what_could_not_be_heard_at_once_is_heard_later(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    job_id, worker = stage.start("gated"), stage.worker()
    turn_until(lambda: len(here.running) == 2, worker)
    stage.stop(job_id)
    stage.store.deaf = True
    with pytest.raises(DatabaseUnavailable):
        worker.turn()
    stage.store.deaf = False

    assert stage.finish(job_id, worker) is S.STOPPED


def test_a_job_of_an_unknown_type_waits_and_says_why(stage_of: StageOf) -> None:
    known, unknown = gated("known"), gated("unknown")
    stage = stage_of(known, unknown)
    job_id = stage.start("unknown")
    stage.know(known)
    worker = stage.worker()
    worker.turn()

    assert stage.status(job_id) is S.PENDING
    assert why_waits(stage) == [f"worker {worker.name} does not know the job type 'unknown'"]


def test_a_job_whose_request_does_not_fit_its_type_any_more_waits_and_says_why(stage_of: StageOf) -> None:
    stage = stage_of(gated())
    job_id = stage.start("gated")
    other = stage.start("gated", {"group": "fits"})

    class Newer(BaseModel, extra="forbid"):
        size: int

    @job_type("gated")
    class Changed(JobType[Newer]):
        pass

    stage.know(Changed)
    worker = stage.worker()
    for _ in range(3):
        worker.turn()

    assert (stage.status(job_id), stage.status(other)) == (S.PENDING, S.PENDING)
    assert all("The request does not fit job type 'gated': size: Field required" in why for why in why_waits(stage))


def test_a_history_that_cannot_be_read_on_ends_one_job_and_not_the_worker(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    bad, worker = stage.start("gated", {"steps": 1}), stage.worker()
    turn_until(lambda: len(here.running) == 1, worker)
    good = stage.start("gated", {"steps": 1})
    turn_until(lambda: holds(worker, good), worker)
    stage.stop(bad)
    stage.store.unreadable = bad
    turn_until(lambda: not holds(worker, bad), worker)
    here.gate.set()

    assert stage.finish(good, worker) is S.COMPLETED_SUCCESSFULLY
    assert any("could not go on with it: UnreadableEvent" in why for why in why_waits(stage))


def test_one_key_has_one_live_job(stage_of: StageOf) -> None:
    @job_type("keyed")
    class Keyed(JobType[Size]):
        def plan(self, request: Size) -> Iterable[Step]:
            return []

        def key(self, request: Size) -> str | None:
            return request.group

    stage = stage_of(Keyed)
    first = stage.start("keyed", {"group": "a"})

    assert stage.start("keyed", {"group": "a"}) == first
    assert stage.start("keyed", {"group": "b"}) != first
    stage.finish(first, stage.worker())
    assert stage.start("keyed", {"group": "a"}) != first


def test_no_more_jobs_of_a_type_run_than_its_limit_over_all_workers(stage_of: StageOf) -> None:
    here = gated(limits=Limits(running=2))
    stage = stage_of(here)
    jobs = [stage.start("gated", {"steps": 1}) for _ in range(4)]
    workers = [stage.worker(), stage.worker()]
    turn_until(lambda: len(here.running) == 2, *workers)
    for _ in range(20):
        for worker in workers:
            worker.turn()
    assert sum(len(worker.jobs) for worker in workers) == 2
    here.gate.set()

    assert {stage.finish(job_id, *workers) for job_id in jobs} == {S.COMPLETED_SUCCESSFULLY}


def test_no_more_jobs_of_one_limit_key_run_than_its_limit_over_all_workers(stage_of: StageOf) -> None:
    here = gated(limits=Limits(running_per_key=1))
    stage = stage_of(here)
    jobs = [stage.start("gated", {"steps": 1, "group": group}) for group in ("a", "a", "b", "b")]
    workers = [stage.worker(), stage.worker()]
    turn_until(lambda: len(here.running) == 2, *workers)
    for _ in range(20):
        for worker in workers:
            worker.turn()
    assert sorted(job.facts.limit_key or "" for worker in workers for job in worker.jobs) == ["a", "b"]
    here.gate.set()

    assert {stage.finish(job_id, *workers) for job_id in jobs} == {S.COMPLETED_SUCCESSFULLY}


def test_a_job_that_comes_later_gets_its_share_of_the_slots(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    asked = threading.Semaphore(0)

    @job_type("endless")
    class Endless(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step(f"{number}") for number in range(1_000)]

        def perform(self, step: StepContext[NoRequest]) -> None:
            while not asked.acquire(blocking=False):
                step.sleep(0.02)

    stage.know(here, Endless)
    endless, worker = stage.start("endless"), stage.worker(slots=4)
    turn_until(lambda: stage.job(endless).in_flight == 4, worker)
    later = stage.start("gated")
    stage.clock.pass_time(5)  # as long as a worker with all its slots taken leaves a job to others
    turn_until(lambda: holds(worker, later), worker)
    for _ in range(12):  # the first job's steps end, one by one
        asked.release()

    turn_until(lambda: passed(stage, 0.1) and len(here.running) == 2, worker)
    turn_until(lambda: passed(stage, 0.1) and stage.job(endless).in_flight == 2, worker)


def test_steps_that_wait_behind_quick_ones_go_back_when_these_turn_slow(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    go_on, performed = threading.Event(), Counter[str]()

    @job_type("turns-slow")
    class TurnsSlow(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step(f"{number}") for number in range(1_000)]

        def perform(self, step: StepContext[NoRequest]) -> None:
            performed[step.name] += 1
            while int(step.name) >= 300 and not go_on.is_set():
                step.sleep(0.02)

    stage.know(here, TurnsSlow)
    slow, worker = stage.start("turns-slow"), stage.worker(slots=2)
    turn_until(lambda: stage.job(slow).in_flight > 2 and performed["301"] == 1, worker)

    turn_until(lambda: passed(stage, 0.1) and stage.job(slow).in_flight == 2, worker)
    quickly = stage.start("gated")
    here.gate.set()
    stage.clock.pass_time(5)
    turn_until(lambda: holds(worker, quickly), worker)
    go_on.set()
    assert stage.finish(quickly, worker) is S.COMPLETED_SUCCESSFULLY
    assert stage.finish(slow, worker) is S.COMPLETED_SUCCESSFULLY
    assert set(performed.values()) == {1}, "what was taken back had not begun"


def test_a_worker_holds_no_more_jobs_than_it_has_slots(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    jobs = [stage.start("gated") for _ in range(3)]
    small, large = stage.worker(slots=1), stage.worker(slots=4)
    turn_until(lambda: len(small.jobs) == 1 and stage.job(jobs[0]).in_flight == 1, small)
    for _ in range(20):
        small.turn()

    assert len(small.jobs) == 1
    turn_until(lambda: all(stage.job(job_id).in_flight for job_id in jobs), large)


def test_while_all_its_slots_are_taken_a_worker_leaves_a_new_job_to_one_that_has_a_free_slot(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    busy, worker = stage.start("gated"), stage.worker(slots=2)
    turn_until(lambda: stage.job(busy).in_flight == 2, worker)
    later = stage.start("gated")
    for _ in range(20):
        worker.turn()
    assert not holds(worker, later)

    stage.clock.pass_time(5)
    turn_until(lambda: holds(worker, later), worker)


def test_a_worker_that_is_there_for_one_job_offers_itself_for_no_type(stage_of: StageOf) -> None:
    stage = stage_of(gated())
    stage.worker(only=stage.start("gated")).turn()

    with stage.database.read() as connection:
        assert [row.types for row in connection.execute(workers.select())] == ["[]"]


def test_a_validator_that_raises_what_it_likes_leaves_its_job_waiting_and_the_worker_alive(stage_of: StageOf) -> None:
    class Fragile(BaseModel):
        fits: bool = True

        @model_validator(mode="after")
        def looks(self) -> Self:
            if not here.fits:
                raise FileNotFoundError("the folder that was named is gone")
            return self

    class Here:
        fits = True

    here = Here()

    @job_type("fragile")
    class Looks(JobType[Fragile]):
        def plan(self, request: Fragile) -> Iterable[Step]:
            return []

    stage = stage_of(Looks, gated())
    waits, goes = stage.start("fragile"), stage.start("gated")
    here.fits = False
    worker = stage.worker()
    turn_until(lambda: stage.job(goes).in_flight > 0, worker)

    assert stage.status(waits) is S.PENDING
    (why,) = why_waits(stage)
    assert "the folder that was named is gone" in why


@pytest.mark.parametrize("ask", ["hand_back", "abandon"])
def test_a_signal_handler_may_ask_a_worker_to_leave_whatever_its_thread_was_doing(stage_of: StageOf, ask: str) -> None:
    worker = stage_of(gated()).worker()
    bell: Any = vars(worker)["_bell"]

    with bell._cond:  # a signal comes while this thread waits for the bell: its lock is not to be had again
        asked = threading.Thread(target=getattr(worker, ask))
        asked.start()
        asked.join(10)
        assert not asked.is_alive()

    worker.run()
    assert worker.gone


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers that send signals")
def test_signal_after_signal_leaves_no_worker_waiting_for_itself() -> None:
    program = subprocess.run(
        [sys.executable, "-m", "tests.infrastructure.running.signalled"], capture_output=True, text=True, timeout=120
    )

    assert (program.stdout, program.returncode) == ("all have left\n", 0), program.stderr


def test_slots_that_one_job_may_not_use_are_used_by_another(stage_of: StageOf) -> None:
    serial, wide = gated("serial", policy=Policy(max_parallel_steps=1)), gated("wide")
    stage = stage_of(serial, wide)
    for name in ("serial", "wide"):
        stage.start(name)
    worker = stage.worker(slots=4)

    turn_until(lambda: len(serial.running) == 1 and len(wide.running) == 3, worker)


def test_a_claim_whose_answer_was_lost_is_kept(stage_of: StageOf) -> None:
    here = gated()
    here.gate.set()
    stage = stage_of(here)
    worker = stage.worker()
    worker.turn()
    job_id = stage.start("gated")
    stage.database.faults = ["after"]
    stage.clock.pass_time(1)
    with pytest.raises(DatabaseUnavailable):
        worker.turn()
    assert stage.job(job_id).worker == worker.name
    stage.clock.pass_time(3)

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_a_worker_takes_only_the_job_or_the_types_that_it_was_made_for(stage_of: StageOf) -> None:
    a, b = gated("a"), gated("b")
    stage = stage_of(a, b)
    first, second, third = stage.start("a"), stage.start("a"), stage.start("b")
    one, of_type = stage.worker(only=second), stage.worker(types=frozenset({"b"}))
    turn_until(lambda: len(a.running) == 2 and len(b.running) == 2, one, of_type)

    assert [job.id for job in one.jobs] == [second]
    assert [job.id for job in of_type.jobs] == [third]
    assert stage.status(first) is S.PENDING


def test_a_job_stopped_without_its_worker_is_let_go_by_it(stage_of: StageOf) -> None:
    """A stop reached steps that nobody listened to, there, and never ended (chronicle.md 1.9, 4)."""
    here = gated()
    stage = stage_of(here)
    job_id, worker = stage.start("gated"), stage.worker()
    turn_until(lambda: len(here.running) == 2, worker)
    stage.clock.pass_time(11)  # the lease runs out
    stage.stop(job_id)
    assert stage.status(job_id) is S.STOPPED
    turn_until(lambda: not worker.jobs, worker)
    stage.resume(job_id)
    here.gate.set()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert set(here.ended.values()) == {1}


def test_a_step_reported_twice_is_counted_once(stage_of: StageOf) -> None:
    """There each report counted, and a job with one too many never completed (chronicle.md 1.9, 3)."""

    class Stutters(ThreadExecutor):
        def submit(self, activity: Activity) -> None:
            ended = perform(activity.call, _Planned(activity), environment)
            for _ in range(3):
                activity.ended(ended)

    class _Planned:
        """A line that needs no answer."""

        def __init__(self, activity: Activity) -> None:
            self._activity = activity
            self.progressed = activity.progressed
            self.asked_to_stop = activity.asked_to_stop
            self.raise_if_asked_to_stop = activity.raise_if_asked_to_stop
            self.wait = activity.wait

        def planned(self, first: int, steps: tuple[e.PlannedStep, ...], *, wait: bool) -> None:
            self._activity.mailbox.put(self._activity, Planned(first, steps))

    here = gated()
    here.gate.set()
    stage = stage_of(here)
    environment = Environment(stage.types, stage.database)
    worker = stage.worker_on(Stutters(1, environment), None, 1)
    job_id = stage.start("gated")

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert stage.happened(job_id).count("StepSucceeded") == 4


def test_two_namespaces_do_not_share_a_key(stage_of: StageOf) -> None:
    @job_type("keyed")
    class Keyed(JobType[NoRequest]):
        def key(self, request: NoRequest) -> str | None:
            return "k"

    stage = stage_of(Keyed)

    assert stage.start("keyed") != stage.start("keyed", namespace="other")
    assert stage.store.start(stage.types.start_command("keyed", {}, namespace=NAMESPACE), OPERATOR)[1] is False


def test_a_stop_that_comes_between_the_look_and_the_append_is_heard(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    job_id, worker = stage.start("gated"), stage.worker()
    stage.store.meanwhile = lambda: stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    stage.resume(job_id)
    here.gate.set()
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_a_resume_that_comes_between_the_look_and_the_append_is_heard(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    job_id, worker = stage.start("gated"), stage.worker()
    turn_until(lambda: len(here.running) == 2, worker)
    stage.stop(job_id)
    stage.store.meanwhile = lambda: stage.resume(job_id)
    here.gate.set()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert "JobStopped" not in stage.happened(job_id)
    assert set(here.ended.values()) == {1}


def test_a_cancel_that_comes_while_a_worker_abandons_the_job_is_heard(stage_of: StageOf) -> None:
    here, running, gate = deaf()
    stage = stage_of(here)
    job_id, worker = stage.start("deaf"), stage.worker()
    turn_until(running.is_set, worker)
    stage.store.meanwhile = lambda: stage.cancel(job_id)
    worker.abandon()
    worker.run()
    assert stage.status(job_id) is S.CANCELLING
    gate.set()

    assert stage.finish(job_id, stage.worker()) is S.CANCELLED


def test_a_worker_abandons_a_job_of_which_it_does_not_know_whether_it_was_recorded(stage_of: StageOf) -> None:
    here, running, gate = deaf()
    stage = stage_of(here)
    job_id, worker = stage.start("deaf"), stage.worker()
    turn_until(running.is_set, worker)
    stage.clock.pass_time(1)  # there is progress to record
    stage.database.faults = ["after"]
    with pytest.raises(DatabaseUnavailable):
        turn_until(lambda: False, worker)
    worker.abandon()
    worker.run()
    gate.set()

    assert stage.status(job_id) is S.PENDING


def test_a_completion_hook_that_raises_after_a_cancel_does_not_bring_the_job_back(stage_of: StageOf) -> None:
    running, gate = threading.Event(), threading.Event()

    @job_type("ends-badly")
    class EndsBadly(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return []

        def completed(self, job: HookContext[NoRequest]) -> None:
            running.set()
            gate.wait(30)
            raise ValueError("too late")

    stage = stage_of(EndsBadly)
    job_id, worker = stage.start("ends-badly"), stage.worker()
    turn_until(running.is_set, worker)
    stage.cancel(job_id)
    worker.turn()
    gate.set()

    assert stage.finish(job_id, worker) is S.CANCELLED


def test_a_retry_that_is_not_due_yet_is_kept_by_the_next_worker(stage_of: StageOf) -> None:
    @job_type("flaky")
    class Flaky(JobType[NoRequest]):
        policy = Policy(attempts=2, backoff_seconds=100, jitter=0)

        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            if step.attempt == 1:
                raise OSError("no network")

    stage = stage_of(Flaky)
    job_id, first, second = stage.start("flaky"), stage.worker(), stage.worker()
    turn_until(lambda: stage.job(job_id).count(StepStatus.WAITING) == 1, first)
    stage.clock.pass_time(50)  # and the first worker is never heard of again
    turn_until(lambda: stage.status(job_id) is S.RUNNING and holds(second, job_id), second)
    for _ in range(20):
        second.turn()
    assert stage.job(job_id).count(StepStatus.WAITING) == 1
    stage.clock.pass_time(50)

    assert stage.finish(job_id, second) is S.COMPLETED_SUCCESSFULLY


def test_a_clock_that_is_set_back_does_not_silence_a_worker(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    worker = stage.worker()
    worker.turn()
    stage.clock.pass_time(-3_600)
    job_id = stage.start("gated")
    turn_until(lambda: len(here.running) == 2, worker)
    here.gate.set()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_calls_that_wait_when_their_executor_is_closed_come_to_rest(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    executor = ThreadExecutor(1, Environment(stage.types, stage.database))
    executor.slots = 2  # one more than there are, so that a call must wait inside
    worker = stage.worker_on(executor, None, 1)
    job_id = stage.start("gated")
    turn_until(lambda: stage.job(job_id).in_flight == 2 and len(here.running) == 1, worker)
    worker.hand_back()
    executor.close()
    worker.run()

    assert stage.status(job_id) is S.PENDING


def test_an_end_that_cannot_be_told_well_is_told_all_the_same(stage_of: StageOf) -> None:
    def broken_timer() -> float:
        raise MemoryError

    stage = stage_of(gated())
    worker = stage.worker_on(ThreadExecutor(1, Environment(stage.types, stage.database, broken_timer)), None, 1)
    job_id = stage.start("gated")

    assert stage.finish(job_id, worker) is S.FAILED
    error = stage.job(job_id).error
    assert error is not None
    assert error.type == "MemoryError"


def test_a_claim_whose_answer_was_lost_is_given_up_by_a_worker_that_leaves(stage_of: StageOf) -> None:
    here, running, gate = deaf()
    gate.set()
    stage = stage_of(here, gated())
    busy, worker = stage.start("gated"), stage.worker()
    turn_until(lambda: stage.job(busy).in_flight == 2, worker)
    job_id = stage.start("deaf")
    stage.clock.pass_time(5)
    stage.database.faults = ["", "", "after"]  # of the claim; the heartbeat and a report before it are well
    with pytest.raises(DatabaseUnavailable):
        turn_until(lambda: False, worker)
    assert stage.job(job_id).worker == worker.name
    worker.hand_back()
    stage.clock.pass_time(3)
    worker.run()

    assert stage.happened(job_id)[-1] == "JobReleased"
    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_SUCCESSFULLY
    assert running.is_set()


def test_a_time_out_that_could_not_be_recorded_is_recorded_once(stage_of: StageOf) -> None:
    running, gate = threading.Event(), threading.Event()

    @job_type("ignores")
    class Ignores(JobType[NoRequest]):
        policy = Policy(timeout_seconds=30)

        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            running.set()
            gate.wait(30)

    stage = stage_of(Ignores)
    job_id, worker = stage.start("ignores"), stage.worker()
    turn_until(running.is_set, worker)
    stage.clock.pass_time(32)
    stage.database.faults = ["", "before", "before"]  # the first is the heartbeat's
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            worker.turn()

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    assert stage.happened(job_id).count("StepFailed") == 1
    gate.set()


def test_a_worker_that_is_woken_looks_at_once(stage_of: StageOf) -> None:
    stage = stage_of(gated())
    worker = stage.worker()
    looks = iter([False, False, True])
    worker.wake()
    worker.run(lambda: next(looks))

    assert list(looks) == []


def test_a_job_that_gets_no_slot_is_given_to_a_worker_that_has_one(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    busy, worker = stage.start("gated"), stage.worker(slots=2)
    turn_until(lambda: stage.job(busy).in_flight == 2, worker)
    starves = stage.start("gated")
    stage.clock.pass_time(5)
    turn_until(lambda: holds(worker, starves), worker)
    idle = stage.worker(slots=2)
    turn_until(lambda: passed(stage, 0.1) and stage.job(starves).in_flight == 2, worker, idle)

    assert holds(idle, starves)
    assert "StepInterrupted" not in stage.happened(starves), "it is no death, and costs nothing"


def test_a_job_that_gets_no_slot_stays_where_nobody_else_could_take_it(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here, gated("other"))
    busy, worker, other = stage.start("gated"), stage.worker(slots=2), stage.worker(types=frozenset({"other"}))
    turn_until(lambda: stage.job(busy).in_flight == 2, worker)
    starves = stage.start("gated")
    for _ in range(200):
        stage.clock.pass_time(1)
        worker.turn()
        other.turn()

    assert holds(worker, starves)
    assert stage.happened(starves).count("JobClaimed") == 1
    here.gate.set()
    assert stage.finish(starves, worker) is S.COMPLETED_SUCCESSFULLY


def passed(stage: Stage, seconds: float) -> bool:
    """True, and time has passed with each look."""
    stage.clock.pass_time(seconds)
    return True


def occupy(stage: Stage, worker: Worker) -> None:
    """Give a worker a job that takes both of its slots."""
    job_id = stage.start("gated")
    turn_until(lambda: stage.job(job_id).in_flight == 2, worker)


def test_two_workers_without_a_slot_do_not_pass_a_job_to_and_fro(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    one, two = stage.worker(slots=2), stage.worker(slots=2)
    for worker in (one, two):
        occupy(stage, worker)
    starves = stage.start("gated")
    for _ in range(1_000 if FULL else 300):
        stage.clock.pass_time(1)
        one.turn()
        two.turn()

    assert 1 <= stage.happened(starves).count("JobReleased") < 20
    here.gate.set()
    assert stage.finish(starves, one, two) is S.COMPLETED_SUCCESSFULLY


def test_a_job_whose_only_slot_does_not_come_back_goes_on_elsewhere(stage_of: StageOf) -> None:
    running, gate = threading.Event(), threading.Event()

    @job_type("stuck")
    class Stuck(JobType[NoRequest]):
        policy = Policy(timeout_seconds=30, attempts=2, backoff_seconds=0)

        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step("a")]

        def perform(self, step: StepContext[NoRequest]) -> None:
            if step.attempt == 1:
                running.set()
                gate.wait(30)

        def completed(self, job: HookContext[NoRequest]) -> None:
            pass

    stage = stage_of(Stuck)
    job_id, worker = stage.start("stuck"), stage.worker(slots=1)
    turn_until(running.is_set, worker)
    stage.clock.pass_time(32)
    turn_until(lambda: "StepFailed" in stage.happened(job_id), worker)
    idle = stage.worker(slots=1)
    turn_until(lambda: passed(stage, 0.1) and stage.at_rest(job_id), worker, idle)
    gate.set()

    assert stage.status(job_id) is S.COMPLETED_SUCCESSFULLY


def test_a_job_that_a_worker_cannot_go_on_with_is_released_and_its_steps_not_taken_for_killed_by_it(
    stage_of: StageOf,
) -> None:
    here = gated()
    stage = stage_of(here)
    job_id, worker = stage.start("gated"), stage.worker()
    turn_until(lambda: stage.job(job_id).in_flight == 2, worker)

    def breaks() -> None:
        raise RuntimeError("a defect")

    stage.store.meanwhile = breaks
    stage.clock.pass_time(1.5)  # there is progress to record
    turn_until(lambda: not worker.jobs, worker)

    assert stage.happened(job_id)[-1] == "JobReleased"
    assert {step.crashes for step in stage.job(job_id).steps.values()} == {0}
    here.gate.set()
    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_SUCCESSFULLY


def test_a_type_whose_limits_are_none_is_not_offered_and_takes_no_other_with_it(stage_of: StageOf) -> None:
    here, broken = gated(), gated("broken")
    here.gate.set()
    stage = stage_of(here, broken)
    setattr(broken, "limits", None)  # noqa: B010 - what no type checker would let pass
    waits, goes = stage.start("broken"), stage.start("gated")

    assert stage.finish(goes, stage.worker()) is S.COMPLETED_SUCCESSFULLY
    assert stage.status(waits) is S.PENDING


def test_a_predecessor_of_the_same_name_leaves_its_claims_and_its_steps_run_anew(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    job_id, first = stage.start("gated"), stage.worker(slots=4)
    turn_until(lambda: stage.job(job_id).in_flight == 4, first)
    successor = stage.worker(name=first.name)
    turn_until(lambda: holds(successor, job_id), successor)
    here.gate.set()

    assert stage.finish(job_id, successor) is S.COMPLETED_SUCCESSFULLY


def test_leases_are_prolonged_at_once_when_the_clock_was_set(stage_of: StageOf) -> None:
    here = gated()
    stage = stage_of(here)
    job_id, worker, other = stage.start("gated"), stage.worker(), stage.worker()
    turn_until(lambda: stage.job(job_id).in_flight == 2, worker)
    stage.clock.set_clock(3_600)
    worker.turn()
    other.turn()

    assert holds(worker, job_id)
    assert not holds(other, job_id)


def test_the_grace_of_a_worker_that_leaves_is_not_cut_by_a_clock_that_is_set(stage_of: StageOf) -> None:
    here, running, gate = deaf()
    stage = stage_of(here)
    worker = stage.worker(grace_seconds=30)
    job_id = stage.start("deaf")
    turn_until(running.is_set, worker)
    worker.hand_back()
    worker.turn()
    stage.clock.set_clock(3_600)
    worker.turn()
    assert not worker.gone
    gate.set()
    turn_until(lambda: worker.gone, worker)

    assert stage.happened(job_id)[-2:] == ["StepSucceeded", "JobReleased"]
