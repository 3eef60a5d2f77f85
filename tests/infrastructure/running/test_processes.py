"""Steps in processes of their own: the same rules, and a process that dies takes one attempt with it."""

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from milepost.domain import events as e
from milepost.domain.state_machine import AT_REST, JobStatus
from milepost.infrastructure.job_types.job_type import JobType, NoRequest, Step, job_type
from milepost.infrastructure.job_types.registry import JobTypes
from milepost.infrastructure.running.processes import ProcessExecutor
from milepost.infrastructure.running.step_context import StepContext
from tests.infrastructure.running.importable import Ordered
from tests.infrastructure.running.slow_to_import import SlowToImport
from tests.infrastructure.running.stage import Stage, turn_until
from tests.length import kinds
from tests.stores import url_of

StageOf = Callable[..., Stage]
S = JobStatus


@pytest.fixture(params=kinds("file", "server", short=["server"]))  # scenarios have such workers on a file
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One that other processes can open."""
    return url_of(request.param, tmp_path)


def test_a_step_in_a_process_reports_its_progress_and_waits_for_what_must_be_durable(
    stage_of: StageOf, tmp_path: Path
) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "count", "folder": str(tmp_path), "steps": 3})

    assert stage.finish(job_id, stage.process_worker(slots=2)) is S.COMPLETED_SUCCESSFULLY
    durable = [event for event in stage.events(job_id) if isinstance(event, e.StepProgressed)]
    assert {event.progress.checkpoint for event in durable} >= {3}
    assert {step.progress.checkpoint for step in stage.job(job_id).steps.values() if step.progress} == {5}


def test_a_step_in_a_process_hears_a_stop_and_goes_on_from_its_checkpoint(stage_of: StageOf, tmp_path: Path) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "wait", "folder": str(tmp_path)})
    worker = stage.process_worker()
    turn_until((tmp_path / "0.1").exists, worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    stage.resume(job_id)
    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY


def test_a_step_that_waits_for_a_process_hears_a_stop_too(stage_of: StageOf, tmp_path: Path) -> None:
    """There, steps that waited for a slot when the stop came never reported (chronicle.md 1.9, 1)."""
    stage = stage_of(Ordered)
    executor = ProcessExecutor(1, stage.types.modules, stage.url)
    executor.slots = 2  # one more than there are, so that a call must wait inside
    job_id = stage.start("ordered", {"do": "wait", "folder": str(tmp_path), "steps": 2})
    worker = stage.worker_on(executor, None, 1)
    turn_until(lambda: stage.job(job_id).in_flight == 2 and any(tmp_path.glob("*.1")), worker)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    assert len(list(tmp_path.glob("*.1"))) == 1


def test_an_error_in_a_process_is_kept_with_its_traceback(stage_of: StageOf, tmp_path: Path) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "fail", "folder": str(tmp_path)})

    assert stage.finish(job_id, stage.process_worker()) is S.COMPLETED_WITH_FAILURES
    error = stage.job(job_id).steps[0].errors[0][1]
    assert (error.type, error.message) == ("ValueError", "as ordered")
    assert "importable.py" in error.traceback


def test_a_process_that_dies_costs_its_step_an_attempt_and_no_checkpoint(stage_of: StageOf, tmp_path: Path) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "die_once", "folder": str(tmp_path), "steps": 2})

    assert stage.finish(job_id, stage.process_worker()) is S.COMPLETED_SUCCESSFULLY
    for step in stage.job(job_id).steps.values():
        assert step.errors[0][1].message == "the process of the step was ended by signal 9"
        assert step.progress is not None
        assert step.progress.checkpoint == "safe"


def test_a_process_that_ignores_its_time_out_is_ended(stage_of: StageOf, tmp_path: Path) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "ignore_once", "folder": str(tmp_path)})
    worker = stage.process_worker()
    turn_until((tmp_path / "0.1").exists, worker)
    stage.clock.pass_time(62)

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert (tmp_path / "0.1").read_text() != (tmp_path / "0.2").read_text()
    assert stage.happened(job_id).count("StepFailed") == 1


def test_a_step_in_a_process_writes_in_a_transaction_with_its_checkpoint(stage_of: StageOf, tmp_path: Path) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "transact", "folder": str(tmp_path)})

    assert stage.finish(job_id, stage.process_worker()) is S.COMPLETED_SUCCESSFULLY
    with stage.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM written").scalar() == 0


def test_a_job_type_that_cannot_be_imported_in_the_process_fails_and_says_so(stage_of: StageOf) -> None:
    @job_type("local")
    class Local(JobType[NoRequest]):
        def plan(self, request: NoRequest) -> Iterable[Step]:
            return []

        def perform(self, step: StepContext[NoRequest]) -> None:
            pass

    stage = stage_of(Local)
    job_id = stage.start("local")

    assert stage.finish(job_id, stage.process_worker()) is S.FAILED
    error = stage.job(job_id).error
    assert error is not None
    assert "Unknown job type 'local'" in error.message
    assert "<locals>" in error.message


def test_a_database_that_cannot_be_opened_in_the_process_fails_the_job_and_says_so(stage_of: StageOf) -> None:
    stage = stage_of(Ordered)
    executor = ProcessExecutor(1, JobTypes([Ordered]).modules, "nosuch://database")
    job_id = stage.start("ordered", {"do": "count", "folder": "."})

    assert stage.finish(job_id, stage.worker_on(executor, None, 1)) is S.FAILED
    error = stage.job(job_id).error
    assert error is not None
    assert "CannotOpenDatabase" in error.type


def test_a_closed_executor_ends_what_runs_and_waits_for_nothing(stage_of: StageOf, tmp_path: Path) -> None:
    stage = stage_of(Ordered)
    executor = ProcessExecutor(1, stage.types.modules, stage.url)
    worker = stage.worker_on(executor, None, 1)
    job_id = stage.start("ordered", {"do": "ignore_once", "folder": str(tmp_path)})
    turn_until((tmp_path / "0.1").exists, worker)
    executor.close()

    turn_until(lambda: "StepFailed" in stage.happened(job_id), worker)


def test_a_process_that_died_between_two_jobs_is_replaced(stage_of: StageOf, tmp_path: Path) -> None:
    stage = stage_of(Ordered)
    worker = stage.process_worker()
    first = stage.start("ordered", {"do": "count", "folder": str(tmp_path)})
    assert stage.finish(first, worker) is S.COMPLETED_SUCCESSFULLY
    os.kill(int((tmp_path / "0.1").read_text()), signal.SIGKILL)

    assert stage.finish(stage.start("ordered", {"do": "count", "folder": str(tmp_path)}), worker) in AT_REST
    last = stage.start("ordered", {"do": "count", "folder": str(tmp_path)})
    assert stage.finish(last, worker) is S.COMPLETED_SUCCESSFULLY


def test_ctrl_c_and_sigterm_leave_the_steps_to_their_worker(stage_of: StageOf, tmp_path: Path) -> None:
    stage = stage_of(Ordered)
    job_id = stage.start("ordered", {"do": "wait", "folder": str(tmp_path)})
    worker = stage.process_worker()
    turn_until((tmp_path / "0.1").exists, worker)
    process = int((tmp_path / "0.1").read_text())
    os.kill(process, signal.SIGINT)
    os.kill(process, signal.SIGTERM)
    stage.stop(job_id)

    assert stage.finish(job_id, worker) is S.STOPPED
    assert "StepFailed" not in stage.happened(job_id)


def test_the_time_of_a_step_does_not_pass_while_its_process_starts_and_imports(
    stage_of: StageOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(SlowToImport)
    monkeypatch.setenv("MILEPOST_TEST_SLOW_IMPORT", str(tmp_path))
    worker = stage.process_worker(slots=2)
    job_id = stage.start("slow-to-import", {"do": "count", "folder": str(tmp_path), "steps": 2})
    turn_until(lambda: len(list(tmp_path.glob("importing-*"))) == 2, worker)
    for _ in range(20):
        stage.clock.pass_time(61)
        worker.turn()
    (tmp_path / "go").touch()

    assert stage.finish(job_id, worker) is S.COMPLETED_SUCCESSFULLY
    assert "StepFailed" not in stage.happened(job_id)
