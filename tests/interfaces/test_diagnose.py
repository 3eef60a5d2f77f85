"""`milepost diagnose`: what is wrong is found with its evidence, and nothing that is well is called wrong."""

import json
import signal
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from milepost.infrastructure.event_store.schema import jobs as job_rows
from milepost.infrastructure.event_store.schema import leases, observers, steps, workers
from milepost.infrastructure.event_store.store import WorkerRecord
from milepost.interfaces.schemas import schema_of
from tests.interfaces.conftest import EXECUTABLE, TIME_OUT, Milepost
from tests.interfaces.furniture import Furniture
from tests.interfaces.savings_stage import Stage

ON_ALL_STORES = True


def wrong(call: Milepost) -> dict[tuple[str, str], str]:
    """What is not as it should be, by area and subject."""
    done = call("diagnose", "-o", "json")
    found: dict[tuple[str, str], str] = {
        (each["area"], each["subject"]): each["message"] for each in done.json["findings"] if not each["healthy"]
    }
    assert done.json["healthy"] is (not found)
    assert done.code == (3 if found else 0)
    validate(done.json, schema_of("diagnosis"))
    return found


def a_worker(stage: Stage, *types: str) -> None:
    """One that lives."""
    known = types or tuple(stage.app.job_types.names())
    record = WorkerRecord("here:1:abc", known, 1, stage.app.now(), host="here", pid=1)
    stage.app.store.register_worker(record, 3600.0)


def test_an_event_store_without_work_is_healthy_though_no_worker_runs(
    environment: Mapping[str, str], call: Milepost
) -> None:
    call("event-stores", "create")

    assert wrong(call) == {}


def test_an_event_store_that_does_not_answer_is_a_finding(tmp_path: Path, stage: Stage, call: Milepost) -> None:
    found = call("diagnose", "-o", "json", "-e", "nowhere")
    assert found.code == 5
    (tmp_path / "here" / "milepost.toml").write_text('[event_stores]\nnowhere = "sqlite:////nowhere/x.sqlite"\n')

    found = call("diagnose", "-o", "json", "-e", "nowhere")

    assert found.code == 3
    (finding,) = found.json["findings"]
    assert (finding["area"], finding["subject"], finding["healthy"]) == ("event-store", "nowhere", False)


def test_observers_that_are_run_are_healthy(stage: Stage, call: Milepost) -> None:
    a_worker(stage)
    stage.deposit("ann", 1)
    stage.go()

    assert wrong(call) == {}


def test_observers_that_nobody_runs_and_jobs_that_nobody_takes_wait_for_a_worker(stage: Stage, call: Milepost) -> None:
    stage.go()
    stage.leave()
    call("jobs", "start", "self-test")

    found = wrong(call)

    assert found["workers", "none"] == "no worker is running; waiting for one: 1 job and 2 observers"
    assert set(found) == {
        ("workers", "none"),
        ("observers", "balances"),
        ("observers", "letters"),
        ("jobs", "self-test"),
    }


def test_a_failed_partition_is_found_with_what_waits(stage: Stage, call: Milepost) -> None:
    a_worker(stage)
    stage.deposit("ann", 13, 1)
    stage.go()

    assert wrong(call) == {("failed-partitions", "balances"): "1 partition failed; 2 events wait"}


def test_a_quarantined_observer_says_why_until_it_is_unpaused(stage: Stage, call: Milepost) -> None:
    from milepost.infrastructure.observers.holding import Holding
    from milepost.interfaces.bootstrap import origin

    a_worker(stage)
    stage.go()
    holding = Holding(stage.app.database, "Default", stage.app.surroundings, origin())
    holding.quarantine("balances", "9 partitions have failed, and at most 3 may")

    found = wrong(call)
    call("observers", "unpause", "balances")

    assert found == {("observers", "balances"): "it is quarantined at 0: 9 partitions have failed, and at most 3 may"}
    assert wrong(call) == {}


def test_trouble_that_keeps_an_observer_from_going_on_is_found_while_it_is_run(stage: Stage, call: Milepost) -> None:
    a_worker(stage)
    stage.go()
    change(stage, observers, observers.c.name == "balances", trouble="OSError: the disk is full")

    assert "OSError: the disk is full" in wrong(call)["observers", "balances"]


def test_an_observer_that_is_behind_and_handles_nothing_is_found_after_a_while(stage: Stage, call: Milepost) -> None:
    a_worker(stage)
    stage.deposit("ann", 1)
    stage.go()
    change(stage, observers, observers.c.name == "balances", newest=100)
    soon = wrong(call)
    long_ago = (stage.app.now() - timedelta(minutes=5)).isoformat()
    change(stage, observers, observers.c.name == "balances", advanced_at=long_ago)
    with stage.app.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE milepost_observer_events SET recorded_at = '{long_ago}'")

    assert soon == {}
    assert wrong(call)["observers", "balances"].startswith("it is 98 events behind at 2, and has handled none since ")


def test_a_replay_that_is_held_by_a_job_which_is_over_is_found(stage: Stage, call: Milepost) -> None:
    a_worker(stage)
    stage.go()
    job = call("observers", "replay", "balances").json[0]["id"]
    worker, executor = stage.app.worker(slots=1, kind="threads")
    while call("observers", "show", "balances").json["status"] != "Replaying":
        worker.turn()
    change(stage, job_rows, job_rows.c.id == job, status="Stopped", live=False)

    assert wrong(call)["observers", "balances"] == f"its replay, job {job}, is Stopped and has not let go of it"
    change(stage, job_rows, job_rows.c.id == job, status="Running", live=True)
    worker.run(lambda: not worker.jobs)
    executor.close()


def test_jobs_of_a_type_that_no_worker_knows_are_found_together(stage: Stage, call: Milepost) -> None:
    a_worker(stage, "import-flights")
    first = call("jobs", "start", "self-test", "-q").out.strip()
    call("jobs", "start", "self-test")

    (message,) = [message for (area, _), message in wrong(call).items() if area == "jobs"]

    assert message.startswith(f"2 jobs of this type cannot go on, the oldest is {first}")
    assert "no worker that is running knows the job type 'self-test'" in message


def test_a_job_that_waits_for_its_turn_is_well(stage: Stage, call: Milepost) -> None:
    a_worker(stage)
    call("jobs", "start", "self-test")

    assert wrong(call) == {}


def test_a_job_whose_lease_has_run_out_is_found(stage: Stage, jobs: Furniture, call: Milepost) -> None:
    a_worker(stage)
    job = str(jobs.running().id)
    with stage.app.database.write() as connection:
        connection.execute(leases.update().values(expires_at=1.0))

    messages = [message for (area, _), message in wrong(call).items() if area == "jobs"]

    assert any(job in message and "its worker does not answer" in message for message in messages)


@pytest.mark.parametrize(("status", "minutes", "found"), [("Running", 4, False), ("Running", 6, True)])
def test_a_job_whose_step_tells_nothing_for_long_is_found(
    stage: Stage, jobs: Furniture, call: Milepost, status: str, minutes: int, found: bool
) -> None:
    a_worker(stage)
    job = str(jobs.running().id)
    then = (stage.app.now() - timedelta(minutes=minutes)).isoformat()
    change(stage, job_rows, job_rows.c.id == job, advanced_at=then, running_since=then)
    change(stage, steps, steps.c.job_id == job, started_at=then)

    assert (("jobs", job) in wrong(call)) is found


def test_a_watch_in_a_pipe_tells_each_change_once(stage: Stage, environment: Mapping[str, str], call: Milepost) -> None:
    a_worker(stage)
    stage.go()
    watch = subprocess.Popen(
        [EXECUTABLE, "diagnose", "--watch", "-o", "jsonl"], stdout=subprocess.PIPE, text=True, env=dict(environment)
    )
    assert watch.stdout is not None
    before: dict[str, Any] = json.loads(watch.stdout.readline())
    with stage.app.database.write() as connection:
        connection.execute(workers.delete())
    call("jobs", "start", "self-test")

    changed: dict[str, Any] = json.loads(watch.stdout.readline())
    while not any(each["area"] == "workers" and not each["healthy"] for each in changed["findings"]):
        changed = json.loads(watch.stdout.readline())
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=TIME_OUT)

    assert before["healthy"] is True
    assert changed["healthy"] is False
    assert watch.returncode == 130


def test_people_are_told_in_words_and_others_in_rows(stage: Stage, call: Milepost) -> None:
    a_worker(stage)
    stage.deposit("ann", 13)
    stage.go()

    table = call("diagnose", "-o", "table").out
    plain = call("diagnose", "-o", "plain").out.splitlines()

    assert table.startswith("One thing is not as it should be\n✗  failed-partitions  balances")
    assert plain[0].split("\t") == ["Healthy", "Area", "Subject", "Message", "Suggestion"]
    assert plain[1].split("\t")[:3] == ["false", "failed-partitions", "balances"]
    assert call("diagnose", "-q").out.splitlines()[0] == "failed-partitions/balances"


def change(stage: Stage, table: Any, which: Any, **values: object) -> None:
    with stage.app.database.write() as connection:
        connection.execute(table.update().where(which).values(**values))
