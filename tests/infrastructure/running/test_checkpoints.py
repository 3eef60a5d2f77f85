"""What a step reports: coalesced, copied, acknowledged only when it is on disk, exactly once in a transaction."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.domain import events as e
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.database import DatabaseUnavailable
from milepost.infrastructure.event_store.snapshots import EVENTS_BETWEEN
from milepost.infrastructure.job_types.job_type import JobType, NoRequest, Step, job_type
from milepost.infrastructure.running.json_values import NotJson, as_json
from milepost.infrastructure.running.step_context import (
    CheckpointOutsideTransaction,
    ReportInsideTransaction,
    StepContext,
    StopRequested,
)
from tests.infrastructure.running.stage import Stage, turn_until

StageOf = Callable[..., Stage]
S = JobStatus


class One(JobType[NoRequest]):
    """One step; what it does is up to the test."""

    do: Callable[[StepContext[NoRequest]], Any]

    def plan(self, request: NoRequest) -> Iterable[Step]:
        return [Step("a")]

    def perform(self, step: StepContext[NoRequest]) -> Any:
        return type(self).do(step)


def one(do: Callable[[StepContext[NoRequest]], Any]) -> type[One]:
    @job_type("one")
    class Here(One):
        pass

    Here.do = staticmethod(do)
    return Here


def progressed(stage: Stage, job_id: Any) -> list[Any]:
    return [event.progress.checkpoint for event in stage.events(job_id) if isinstance(event, e.StepProgressed)]


def test_progress_is_recorded_once_a_second_and_at_the_end(stage_of: StageOf) -> None:
    asked, told = threading.Semaphore(0), threading.Semaphore(0)

    def reports(step: StepContext[NoRequest]) -> None:
        for number in range(1, 41):
            asked.acquire(timeout=30)
            step.progress(done=number, checkpoint=number)
            told.release()

    stage = stage_of(one(reports))
    job_id, worker = stage.start("one"), stage.worker()
    turn_until(lambda: stage.job(job_id).in_flight == 1, worker)
    for _ in range(40):  # ten reports a second for four seconds
        asked.release()
        assert told.acquire(timeout=30)
        stage.clock.pass_time(0.1)
        worker.turn()
    stage.finish(job_id, worker)

    recorded = progressed(stage, job_id)
    assert 3 <= len(recorded) <= 4
    assert recorded == sorted(recorded)
    (ended,) = [event for event in stage.events(job_id) if isinstance(event, e.StepSucceeded)]
    assert ended.progress is not None
    assert ended.progress.checkpoint == 40


def test_a_checkpoint_is_what_it_was_when_it_was_handed_over(stage_of: StageOf) -> None:
    def goes_on_changing(step: StepContext[NoRequest]) -> None:
        state = {"done": [1]}
        step.progress(checkpoint=state, durable=True)
        state["done"].append(2)
        raise ValueError("before 2 was done")

    stage = stage_of(one(goes_on_changing))
    job_id = stage.start("one")
    stage.finish(job_id, stage.worker())

    progress = stage.job(job_id).steps[0].progress
    assert progress is not None
    assert progress.checkpoint == {"done": [1]}


NO_JSON = {
    "an object": object(),
    "a set": {1, 2},
    "not a number": float("nan"),
    "an infinite number": {"a": float("inf")},
    "half a character": "\ud800",
    "bytes": b"x",
    "a key of two": {(1, 2): 3},
    "a number too long to be read again": 10**5000,
    "one inside": {"a": [10**5000]},
}


@pytest.mark.parametrize("value", NO_JSON.values(), ids=NO_JSON.keys())
def test_a_checkpoint_that_is_no_json_fails_the_step_and_not_the_worker(stage_of: StageOf, value: Any) -> None:
    stage = stage_of(one(lambda step: step.progress(checkpoint=value)))
    job_id = stage.start("one")

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_WITH_FAILURES
    assert stage.job(job_id).steps[0].errors[0][1].message.startswith("The checkpoint cannot be stored as JSON")


def test_json_is_given_as_it_will_be_read_back() -> None:
    assert as_json({"a": (1, 2), 3: None}, "it") == {"a": [1, 2], "3": None}
    assert [as_json(value, "it") for value in (None, True, 7, 1.5, "ä")] == [None, True, 7, 1.5, "ä"]


def test_json_without_an_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(NotJson, match="it cannot be stored as JSON"):
        as_json(endless, "it")


def test_a_durable_report_returns_when_it_is_on_disk_and_not_before(stage_of: StageOf) -> None:
    seen: list[list[Any]] = []
    waiting, gate, go_on = threading.Event(), threading.Event(), threading.Event()

    def durable(step: StepContext[NoRequest]) -> None:
        waiting.set()
        gate.wait(30)
        step.progress(checkpoint=1, durable=True)
        seen.append(progressed(stage, step.job_id))
        go_on.wait(30)

    stage = stage_of(one(durable))
    job_id, worker = stage.start("one"), stage.worker()
    turn_until(waiting.is_set, worker)
    gate.set()
    assert seen == []  # nobody turns
    turn_until(lambda: len(seen) == 1, worker)
    go_on.set()
    stage.finish(job_id, worker)

    assert seen == [[1]]


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_durable_report_is_not_acknowledged_while_the_database_does_not_answer(stage_of: StageOf, fault: str) -> None:
    acknowledged, waiting, gate = threading.Event(), threading.Event(), threading.Event()

    def durable(step: StepContext[NoRequest]) -> None:
        waiting.set()
        gate.wait(30)
        step.progress(checkpoint=1, durable=True)
        acknowledged.set()

    stage = stage_of(one(durable))
    job_id, worker = stage.start("one"), stage.worker()
    turn_until(waiting.is_set, worker)
    stage.database.faults.append(fault)
    gate.set()
    with pytest.raises(DatabaseUnavailable):
        turn_until(lambda: False, worker)
    assert not acknowledged.is_set()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert 1 in progressed(stage, job_id)


def test_a_durable_report_to_a_worker_that_lost_the_job_is_never_acknowledged(stage_of: StageOf) -> None:
    waiting, gate = threading.Event(), threading.Event()
    outcome: list[str] = []

    def durable(step: StepContext[NoRequest]) -> None:
        if step.attempt > 1:
            return
        waiting.set()
        gate.wait(30)
        try:
            step.progress(checkpoint=1, durable=True)
            outcome.append("acknowledged")
        except StopRequested:
            outcome.append("refused")
            raise

    stage = stage_of(one(durable))
    job_id, old, new = stage.start("one"), stage.worker(), stage.worker()
    turn_until(waiting.is_set, old)
    stage.clock.pass_time(11)
    assert stage.finish(job_id, new) is S.COMPLETED_SUCCESSFULLY
    gate.set()
    turn_until(lambda: bool(outcome), old)

    assert outcome == ["refused"]
    assert progressed(stage, job_id) == []


class Rows:
    """A table of the application's, in the event store's own database."""

    table = sa.Table("rows", sa.MetaData(), sa.Column("item", sa.Integer))

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        with stage.database.user_transaction() as connection:
            self.table.metadata.drop_all(connection)  # on a server it is every event store's
            self.table.metadata.create_all(connection)

    def items(self) -> list[int]:
        with self._stage.database.user_transaction() as connection:
            return list(connection.scalars(sa.select(self.table.c.item).order_by(self.table.c.item)))


def test_a_transaction_that_raises_takes_its_checkpoint_with_it(stage_of: StageOf) -> None:
    def raises(step: StepContext[NoRequest]) -> None:
        for item in range(step.checkpoint or 0, 5):
            with step.transaction() as transaction:
                transaction.connection.execute(Rows.table.insert().values(item=item))
                transaction.checkpoint(item + 1, done=item + 1)
                if item == 3 and step.attempt == 1:
                    raise OSError("pulled the plug")

    stage = stage_of(one(raises))
    rows = Rows(stage)
    job_id, worker = stage.start("one"), stage.worker()
    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    assert rows.items() == [0, 1, 2]
    stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert rows.items() == [0, 1, 2, 3, 4]


def test_a_takeover_keeps_the_checkpoint_of_a_transaction_that_nobody_had_reported(stage_of: StageOf) -> None:
    committed, gate = threading.Event(), threading.Event()
    refused: list[bool] = []
    found: list[Any] = []

    def takes_long(step: StepContext[NoRequest]) -> None:
        found.append(step.checkpoint)
        for item in range(step.checkpoint or 0, 4):
            if item == 2 and step.attempt == 1:
                committed.set()
                gate.wait(30)
            try:
                with step.transaction() as transaction:
                    transaction.connection.execute(Rows.table.insert().values(item=item))
                    transaction.checkpoint(item + 1)
            except StopRequested:
                refused.append(True)
                raise

    stage = stage_of(one(takes_long))
    rows = Rows(stage)
    job_id, old, new = stage.start("one"), stage.worker(), stage.worker()
    turn_until(committed.is_set, old)
    stage.clock.pass_time(11)  # the old worker hangs: it neither turns nor beats

    assert stage.finish(job_id, new) is S.COMPLETED_SUCCESSFULLY
    gate.set()
    turn_until(lambda: bool(refused), old)
    assert found == [None, 2]
    assert rows.items() == [0, 1, 2, 3]


def test_a_transaction_whose_answer_was_lost_is_not_done_twice(stage_of: StageOf) -> None:
    def writes(step: StepContext[NoRequest]) -> None:
        for item in range(step.checkpoint or 0, 4):
            with step.transaction() as transaction:
                transaction.connection.execute(Rows.table.insert().values(item=item))
                transaction.checkpoint(item + 1)

    stage = stage_of(one(writes))
    rows = Rows(stage)
    stage.database.step_faults = ["", "after"]
    job_id, worker = stage.start("one"), stage.worker()
    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert rows.items() == [0, 1, 2, 3]


def test_a_stop_is_heard_before_a_transaction_begins(stage_of: StageOf) -> None:
    running = threading.Event()

    def loops(step: StepContext[NoRequest]) -> None:
        while True:
            running.set()
            with step.transaction() as transaction:
                transaction.checkpoint((step.checkpoint or 0) + 1)

    stage = stage_of(one(loops))
    job_id, worker = stage.start("one"), stage.worker()
    turn_until(running.is_set, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED


def test_a_step_that_keeps_its_checkpoints_in_transactions_may_not_hand_one_over_outside(stage_of: StageOf) -> None:
    def mixes(step: StepContext[NoRequest]) -> None:
        if step.attempt == 1:
            with step.transaction() as transaction:
                transaction.checkpoint(1)
        step.progress(done=1)  # without a checkpoint it may
        step.progress(checkpoint=2)

    stage = stage_of(one(mixes))
    job_id, worker = stage.start("one"), stage.worker()
    stage.finish(job_id, worker)
    stage.resume(job_id)

    assert stage.finish(job_id, worker) is S.COMPLETED_WITH_FAILURES
    errors = stage.job(job_id).steps[0].errors
    assert [error.type.rpartition(".")[2] for _, error in errors] == [CheckpointOutsideTransaction.__name__] * 2


@pytest.mark.parametrize(
    ("report", "refusal"),
    [
        ({"checkpoint": 1}, CheckpointOutsideTransaction),
        ({"durable": True}, ReportInsideTransaction),  # it would wait for the lock that the step itself holds
    ],
)
def test_what_an_open_transaction_could_undo_or_would_wait_for_is_refused(
    stage_of: StageOf, report: dict[str, Any], refusal: type[Exception]
) -> None:
    def reports_inside(step: StepContext[NoRequest]) -> None:
        with step.transaction():
            step.progress(done=1)
            step.progress(**report)

    stage = stage_of(one(reports_inside))
    job_id = stage.start("one")

    assert stage.finish(job_id, stage.worker()) is S.COMPLETED_WITH_FAILURES
    assert stage.job(job_id).steps[0].errors[0][1].type.endswith(refusal.__name__)


def test_a_long_history_gets_a_snapshot_while_the_job_runs(stage_of: StageOf) -> None:
    @job_type("long")
    class Long(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return [Step(f"{number}") for number in range(EVENTS_BETWEEN // 2 + 500)]

        def perform(self, step: StepContext[NoRequest]) -> None:
            pass

    stage = stage_of(Long)
    job_id = stage.start("long")
    stage.finish(job_id, stage.worker())

    assert stage.store.snapshot_version(job_id) >= EVENTS_BETWEEN
