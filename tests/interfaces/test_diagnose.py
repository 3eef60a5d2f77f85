"""`milepost diagnose`: what is wrong is found with its evidence, and nothing that is well is called wrong."""

import json
import signal
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from jsonschema import validate
from sqlalchemy import event

from milepost.infrastructure.event_store.schema import jobs as job_rows
from milepost.infrastructure.event_store.schema import (
    leases,
    observer_events,
    observer_partitions,
    observer_slices,
    observers,
    steps,
    workers,
)
from milepost.infrastructure.event_store.store import WorkerRecord
from milepost.interfaces.local_service import LocalService
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
    _ = stage.app.create()
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


def test_an_event_store_that_is_not_there_yet_says_what_makes_one(
    environment: Mapping[str, str], call: Milepost
) -> None:
    (finding,) = call("diagnose", "-o", "json").json["findings"]

    assert "there is none yet" in finding["message"]
    assert "'milepost event-stores create'" in finding["suggestion"]


def test_a_module_that_could_not_be_loaded_is_found(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, call: Milepost
) -> None:
    monkeypatch.setenv("MILEPOST_OBSERVERS", "nowhere_at_all")
    call("event-stores", "create")

    assert wrong(call)["modules", "nowhere_at_all"].startswith("it could not be loaded: ")


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


def test_a_paused_observer_is_well_and_says_until_when(stage: Stage, call: Milepost) -> None:
    a_worker(stage)
    stage.go()
    call("observers", "pause", "balances")
    findings = call("diagnose", "-o", "json").json["findings"]

    assert wrong(call) == {}
    (message,) = [each["message"] for each in findings if each["subject"] == "balances"]
    assert message.endswith(": it handles nothing until 'milepost observers unpause balances'")


@pytest.mark.parametrize("status", ["Failed", "Replaying"])
def test_partitions_of_an_observer_that_stands_still_wait_for_it(stage: Stage, call: Milepost, status: str) -> None:
    a_worker(stage)
    stage.deposit("ann", 13, 1)
    stage.go()
    change(stage, observer_partitions, observer_partitions.c.status.is_not(None), status=status)
    before = wrong(call)
    call("observers", "pause", "balances")

    state = {"Failed": "failed", "Replaying": "being replayed"}[status]
    assert before.keys() == ({("failed-partitions", "balances")} if status == "Failed" else set())
    assert wrong(call) == {
        ("failed-partitions", "balances"): f"1 partition {state}; 2 events wait, and none is tried again by itself: its"
        " observer is paused"
    }


@pytest.mark.parametrize(("newest", "left"), [(2, "none was left"), (3, "1 event was left"), (4, "2 events were left")])
def test_an_observer_that_nobody_runs_says_in_words_how_far_it_was(
    stage: Stage, call: Milepost, newest: int, left: str
) -> None:
    a_worker(stage)
    stage.deposit("ann", 1)
    stage.go()
    stage.leave()
    change(stage, observers, observers.c.name == "balances", newest=newest)

    said = f"no process runs it: it was last run up to the event at 2, and {left} then"
    assert wrong(call)["observers", "balances"] == said


def test_what_is_asked_of_the_event_store_is_no_more_where_there_are_more_observers(stage: Stage) -> None:
    a_worker(stage)
    stage.deposit("ann", 13, 1)
    stage.go()
    service = LocalService(stage.app, "Default")
    asked: list[str] = []

    def hear(_: object, __: object, statement: str, *more: object) -> None:
        asked.append(statement)

    event.listen(stage.app.database.engine, "before_cursor_execute", hear)
    service.diagnose()
    few = len(asked)
    with stage.app.database.write() as connection:
        for table in (observers, observer_slices, observer_partitions, observer_events):
            name = table.c.name if table is observers else table.c.observer
            rows = [dict(row) for row in connection.execute(sa.select(table).where(name == "balances")).mappings()]
            for index in range(20):
                copies = [{**row, name.name: f"more-{index}"} for row in rows]
                connection.execute(table.insert(), copies)
    asked.clear()
    found = service.diagnose()

    assert len([each for each in found.findings if each.area == "failed-partitions"]) == 21
    assert len(asked) == few


def test_trouble_that_keeps_an_observer_from_going_on_is_found_while_it_is_run(stage: Stage, call: Milepost) -> None:
    a_worker(stage)
    stage.go()
    change(stage, observers, observers.c.name == "balances", trouble="OSError: the disk is full")

    assert "OSError: the disk is full" in wrong(call)["observers", "balances"]
    stage.leave()
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


def test_a_job_that_was_let_go_of_meanwhile_is_no_reason_for_an_alarm(
    stage: Stage, jobs: Furniture, call: Milepost
) -> None:
    """As one is that ends between the look at the jobs and the look at their leases."""
    a_worker(stage)
    jobs.running()
    with stage.app.database.write() as connection:
        connection.execute(leases.delete())

    assert not [message for message in wrong(call).values() if "does not answer" in message]


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
