"""Stopping from one process what another one runs: truthful at once, and nothing is done twice afterwards."""

import signal
import time
from collections import Counter

import pytest

from milepost.domain import events as e
from milepost.domain.state_machine import StepStatus
from tests.scenarios.workshop import (
    FULL,
    Workshop,
    assert_no_succeeded_step_ran_again,
    claims,
    dice,
    eventually,
    of_kind,
    tell,
)

STEPS, ITEMS = 6, 30
STOPS, ITEMS_OF_MANY_STOPS = (15, 200) if FULL else (2, 40)


def test_a_stop_returns_when_the_job_is_stopped_and_the_next_process_that_looks_agrees(workshop: Workshop) -> None:
    workshop.hold()
    job_id = workshop.note_down("noted", steps=STEPS, items=ITEMS, seconds=0.02)
    workshop.worker("--slots", "2")
    workshop.until(job_id, lambda row: row.succeeded >= 1 and row.running >= 1, "in the middle of a step")

    stopped = workshop.milepost("jobs", "stop", str(job_id), "--reason", "a look")
    got = workshop.milepost("jobs", "get", str(job_id))

    assert (stopped.code, got.code) == (0, 0), (stopped, got)
    [told], shown, job = stopped.json, got.json, workshop.checked(job_id)
    assert (told["status"], shown["status"]) == ("Stopped", "Stopped")
    assert told["version"] == shown["version"] == job.version, "something happened after it was said to be stopped"
    assert told["successfulSteps"] == shown["progress"]["successfulSteps"] == job.count(StepStatus.SUCCEEDED)
    assert f"Stopped {job_id} at {told['successfulSteps']}/{STEPS} steps" in told["message"]
    where = {each["name"]: each["done"] for each in told["steps"]}
    assert where == {step.name: step.done for step in job.steps.values() if step.status is StepStatus.STOPPED}
    assert where, "the job was between two steps"
    assert shown["statusChanges"][-2]["reason"] == "a look"


def test_a_resumed_job_goes_on_from_its_checkpoints_and_runs_no_succeeded_step_again(workshop: Workshop) -> None:
    workshop.hold()
    job_id = workshop.note_down("noted", steps=STEPS, items=ITEMS, seconds=0.02)
    workshop.worker("--slots", "2")
    workshop.until(job_id, lambda row: row.succeeded >= 1 and row.running >= 1, "in the middle of a step")
    assert workshop.milepost("jobs", "stop", str(job_id)).code == 0
    noted_before, stopped_at = workshop.notes(), workshop.row(job_id)

    workshop.let_go()
    assert workshop.milepost("jobs", "resume", str(job_id)).code == 0
    assert workshop.milepost("jobs", "wait", str(job_id)).code == 0

    job, notes = workshop.checked(job_id), workshop.notes()
    assert job.count(StepStatus.SUCCEEDED) == STEPS > stopped_at.succeeded
    assert notes[: len(noted_before)] == noted_before
    assert_no_succeeded_step_ran_again(workshop.history(job_id), notes)
    # A step that comes to rest when it is asked to does no item twice.
    done = Counter((note.step, note.what) for note in notes if note.what not in ("begin", "end"))
    assert done == {(step, str(item)): 1 for step in range(STEPS) for item in range(1, ITEMS + 1)}


def test_a_job_whose_worker_was_killed_can_be_stopped_although_nobody_is_left(workshop: Workshop) -> None:
    workshop.hold()
    job_id = workshop.note_down("noted", steps=STEPS, items=ITEMS, seconds=0.02)
    worker = workshop.worker("--slots", "2")
    workshop.until(job_id, lambda row: row.items > 0, "a step has reported")
    worker.kill()

    stopped = workshop.milepost("jobs", "stop", str(job_id))
    got = workshop.milepost("jobs", "get", str(job_id))

    assert (stopped.code, got.code) == (0, 0), (stopped, got)
    [told], job = stopped.json, workshop.checked(job_id)
    assert (told["status"], got.json["status"]) == ("Stopped", "Stopped")
    tell(f"with a lease of 1 s: {told['message']}")
    assert job.in_flight == 0
    assert job.worker is None
    assert len(of_kind(workshop.history(job_id), e.StepInterrupted)) == len(told["steps"]) > 0


def test_a_stop_that_waits_for_a_worker_sees_it_die_and_still_ends_truthfully(workshop: Workshop) -> None:
    job_id = workshop.note_down("deaf", steps=1, items=0, seconds=3600)
    worker = workshop.worker()
    eventually(workshop.diary.exists, "the step has begun")
    stop = workshop.begin("jobs", "stop", str(job_id), "--timeout", "3600")
    workshop.until_status(job_id, "Stopping")
    assert stop.poll() is None, "it says that a job is stopped whose step still runs"

    worker.kill()

    stopped = workshop.end(stop)
    assert (stopped.code, stopped.json[0]["status"]) == (0, "Stopped"), stopped
    assert workshop.row(job_id).status == "Stopped"
    assert workshop.checked(job_id).in_flight == 0


def test_a_job_stopped_after_its_worker_died_goes_on_from_what_was_recorded(workshop: Workshop) -> None:
    workshop.hold()
    job_id = workshop.note_down("noted", steps=2, items=ITEMS, seconds=0.05)
    worker = workshop.worker("--slots", "2")
    workshop.until(job_id, lambda row: row.items > 0, "a step has reported")
    worker.kill()
    assert workshop.milepost("jobs", "stop", str(job_id)).code == 0
    workshop.let_go()
    kept = {index: step.done for index, step in workshop.checked(job_id).steps.items()}

    workshop.worker("--slots", "2")
    assert workshop.milepost("jobs", "resume", str(job_id)).code == 0
    assert workshop.milepost("jobs", "wait", str(job_id)).code == 0

    history, notes = workshop.history(job_id), workshop.notes()
    assert claims(history) == [1, 2]
    assert_no_succeeded_step_ran_again(history, notes)
    resumed = {note.step: note.what for note in reversed(notes) if note.attempt == 2 and note.what != "begin"}
    assert resumed == {step: str(int(done) + 1) for step, done in kept.items()}, "a checkpoint was lost"
    workshop.checked(job_id)


def test_ctrl_c_on_jobs_run_stops_the_job_and_another_worker_can_finish_it(workshop: Workshop) -> None:
    request = f'{{"steps": 2, "items": 40, "seconds": 0.05, "diary": "{workshop.diary}"}}'
    workshop.hold()
    run = workshop.begin("jobs", "run", "noted", "--request", request)
    eventually(workshop.diary.exists, "the first step has begun")
    run.send_signal(signal.SIGINT)
    assert workshop.end(run).code == 12

    workshop.let_go()
    job_id = workshop.milepost("jobs", "list", "-q").json[0]
    assert workshop.milepost("jobs", "resume", job_id).code == 0
    workshop.worker()
    assert workshop.milepost("jobs", "wait", job_id).code == 0
    items = Counter((note.step, note.what) for note in workshop.notes() if note.what.isdigit())
    assert items == {(step, str(item)): 1 for step in range(2) for item in range(1, 41)}


@pytest.mark.parametrize("job_type", ["noted", "ledger"])
def test_however_often_a_job_is_stopped_and_resumed_each_item_is_done_once(workshop: Workshop, job_type: str) -> None:
    random = dice()
    workshop.hold()
    job_id = workshop.note_down(job_type, steps=STEPS, items=ITEMS_OF_MANY_STOPS, seconds=0.05)
    workshop.worker("--slots", "2")
    for _ in range(STOPS):
        time.sleep(random.uniform(0, 0.5))  # any moment is right: it may not even be claimed, or not be planned
        stopped = workshop.milepost("jobs", "stop", str(job_id))
        assert (stopped.code, workshop.checked(job_id).status) == (0, "Stopped"), stopped
        assert workshop.milepost("jobs", "resume", str(job_id)).code == 0
    workshop.let_go()
    assert workshop.milepost("jobs", "wait", str(job_id)).code == 0

    workshop.checked(job_id)
    history = workshop.history(job_id)
    assert len(of_kind(history, e.JobStopped)) == STOPS
    assert_no_succeeded_step_ran_again(history, workshop.notes())
    done = (
        Counter((note.step, int(note.what)) for note in workshop.notes() if note.what.isdigit())
        if job_type == "noted"
        else Counter((row.step, row.item) for row in workshop.ledger(job_id))
    )
    assert done == {(step, item): 1 for step in range(STEPS) for item in range(1, ITEMS_OF_MANY_STOPS + 1)}
