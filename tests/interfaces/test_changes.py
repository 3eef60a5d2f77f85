"""Stop, resume, cancel, remove: what they say is what became true."""

import threading
from collections.abc import Mapping
from uuid import UUID

import pytest

from milepost.domain import commands as c
from milepost.domain.events import PlannedStep
from milepost.domain.job import Job
from tests.interfaces.conftest import Milepost
from tests.interfaces.furniture import Furniture

ON_ALL_STORES = True

Ids = Mapping[str, str]


def status(call: Milepost, job_id: str) -> str:
    found: str = call("jobs", "get", job_id).json["status"]
    return found


def test_a_stop_of_a_job_that_no_worker_has_is_done_at_once(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    (result,) = call("jobs", "stop", ids["pending"], "--reason", "tea").json

    assert (result["changed"], result["statusBefore"], result["status"]) == (True, "Pending", "Stopped")
    assert status(call, ids["pending"]) == "Stopped"
    assert call("jobs", "get", ids["pending"]).json["statusChanges"][-1]["reason"] == "tea"


@pytest.mark.parametrize(("command", "job"), [("stop", "stopped"), ("resume", "pending"), ("cancel", "cancelled")])
def test_what_is_so_already_changes_nothing_and_says_so(
    command: str, job: str, jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    before = len(call("jobs", "history", ids[job]).json)

    done = call("jobs", command, ids[job], "--yes")

    assert done.code == 0
    assert done.json[0]["changed"] is False
    assert "already" in done.json[0]["message"]
    assert len(call("jobs", "history", ids[job]).json) == before


@pytest.mark.parametrize(
    ("command", "job"),
    [
        ("resume", "completed"),
        ("stop", "failed"),
        ("stop", "completed"),
        ("stop", "removed"),
        ("cancel", "completed"),
        ("remove", "pending"),
        ("resume", "removed"),
        ("resume", "cancelled"),
    ],
)
def test_what_a_status_does_not_allow_is_refused_and_says_what_is_possible(
    command: str, job: str, jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    done = call("jobs", command, ids[job], "--yes")

    assert (done.code, done.out, done.error["error"]) == (6, "", "refused")
    assert done.error["suggestion"]


def test_a_stop_says_where_each_step_came_to_rest(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running(lease_seconds=0)

    (result,) = call("jobs", "stop", str(job.id)).json

    assert (result["successfulSteps"], result["totalSteps"]) == (1, 3)
    assert [(step["name"], step["done"], step["checkpoint"]) for step in result["steps"]] == [
        ("step-2", 4, {"item": 4})
    ]
    assert "at 1/3 steps; step-2 at 4/10 items" in result["message"]


def test_a_stop_that_takes_too_long_says_which_step_is_holding_it(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running()

    done = call("jobs", "stop", str(job.id), "--timeout", "0")

    assert (done.code, done.out, done.error["error"]) == (7, "", "timeout")
    assert "still Stopping" in done.error["message"]
    assert "step-2 at 4/10 items" in done.error["message"]
    assert status(call, str(job.id)) == "Stopping"


def held_in(call: Milepost, job: Job, command: str = "stop") -> str:
    """What holds the job up, as the command says that waited for it in vain."""
    done = call("jobs", command, str(job.id), "--timeout", "0", "--yes", "-o", "json")

    assert done.code == 7
    return done.error["message"]


def test_a_stop_that_is_held_up_says_in_which_phase_the_job_is(jobs: Furniture, call: Milepost) -> None:
    planning = jobs.claimed()
    going_on = jobs.claimed()
    jobs.work(going_on, c.PlanSteps(1, 0, (PlannedStep(name="one"),)), c.PrepareJob(1), c.ReleaseJob(1))
    going_on = jobs.claim(going_on.id)
    completing = jobs.running()
    jobs.work(
        completing,
        c.StartStep(1, 2),
        c.ReportSuccess(1, 1, 1, 1.0),
        c.ReportSuccess(1, 2, 1, 1.0),
    )
    between = jobs.running()
    jobs.work(between, c.ReportSuccess(1, 1, 1, 1.0))

    assert "no step runs: its worker is in plan() or before_start()" in held_in(call, planning)
    assert "no step runs: its worker is in before_resume()" in held_in(call, going_on)
    assert "no step runs: its worker is in completed()" in held_in(call, completing)
    assert "its worker has not answered yet" in held_in(call, between)


def test_a_cancel_that_is_held_up_says_that_the_cleanup_runs(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running(has_cleanup=True)
    jobs.work(job, c.ReportSuccess(1, 1, 1, 1.0))

    assert "no step runs: its worker is in cancelled()" in held_in(call, job, "cancel")


def test_a_stop_without_an_answer_of_the_worker_says_what_may_still_go_on(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    silent = call("jobs", "stop", str(jobs.running(lease_seconds=0).id)).json[0]
    dying = call("jobs", "stop", str(jobs.running(lease_seconds=0.3).id)).json[0]
    cancelled = call("jobs", "cancel", str(jobs.running(lease_seconds=0).id), "--yes").json[0]
    pending = call("jobs", "stop", ids["pending"]).json[0]

    warning = "Its worker did not answer: what its steps do outside of transactions may still go on"
    assert [warning in each["message"] for each in (silent, dying, cancelled, pending)] == [True, True, True, False]


def test_a_cancelled_job_that_no_worker_takes_says_how_to_end_it(jobs: Furniture, call: Milepost) -> None:
    job_id = str(jobs.running(lease_seconds=0, has_cleanup=True).id)
    call("jobs", "cancel", job_id, "--yes", "--no-wait")

    waiting = call("jobs", "get", job_id).json["waiting"]
    assert f"'milepost jobs cancel {job_id} --skip-cleanup' ends it without its cleanup" in waiting
    ended = call("jobs", "cancel", job_id, "--skip-cleanup", "--yes")
    assert (ended.code, ended.json[0]["status"]) == (0, "Cancelled")


def test_a_command_id_makes_a_repeated_change_change_nothing(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    first = call("jobs", "stop", ids["pending"], "--command-id", "c-9").json[0]
    call("jobs", "resume", ids["pending"])
    again = call("jobs", "stop", ids["pending"], "--command-id", "c-9", "--no-wait").json[0]

    assert (first["changed"], again["changed"], again["status"]) == (True, False, "Pending")
    assert call("jobs", "stop", ids["pending"], ids["stopped"], "--command-id", "c-10").code == 5


def test_a_command_id_that_was_used_for_something_else_is_refused_in_the_words_of_the_command_line(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    call("jobs", "stop", ids["pending"], "--command-id", "c-9")

    changed = call("jobs", "resume", ids["pending"], "--command-id", "c-9")
    started = call("jobs", "start", "self-test", "--command-id", "c-9")

    for done in (changed, started):
        assert (done.code, done.error["suggestion"]) == (6, "Give another --command-id: one id is for one command")


def test_a_cancel_whose_cleanup_needs_a_worker_says_that_there_is_none(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running(lease_seconds=0, has_cleanup=True)

    done = call("jobs", "cancel", str(job.id), "--yes", "--timeout", "0")

    assert done.code == 7
    assert "no worker is running" in done.error["message"]
    assert status(call, str(job.id)) == "Cancelling"


def test_a_stop_before_there_are_steps_says_so(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert "before it had any steps" in call("jobs", "stop", ids["pending"]).json[0]["message"]


def test_a_filter_that_names_a_status_means_just_that(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    done = call("jobs", "stop", "--status", "completedsuccessfully", "--yes")

    assert (done.code, done.out) == (6, "")


def test_a_stop_that_is_not_waited_for_says_that_it_is_under_way(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running()

    (result,) = call("jobs", "stop", str(job.id), "--no-wait").json
    again = call("jobs", "stop", str(job.id), "--no-wait").json[0]

    assert (result["status"], result["changed"]) == ("Stopping", True)
    assert (again["status"], again["changed"]) == ("Stopping", False)


def answering(jobs: Furniture, job_id: str, *commands: c.CoordinatorCommand) -> threading.Thread:
    """A worker that answers a stop with these commands, as soon as it hears of it."""

    def answer() -> None:
        while (job := jobs.store.load(UUID(job_id))).status != "Stopping":
            pass
        jobs.work(job, *commands)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def test_a_stop_that_came_too_late_says_that_the_job_is_complete(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running()
    jobs.work(job, c.StartStep(1, 2), c.ReportSuccess(1, 1, 1, 1.0))
    worker = answering(jobs, str(job.id), c.ReportSuccess(1, 2, 1, 1.0), c.CompleteJob(1))

    done = call("jobs", "stop", str(job.id))
    worker.join()

    assert done.code == 0
    assert done.json[0]["status"] == "CompletedSuccessfully"
    assert "came to its end before" in done.json[0]["message"]


def test_a_stop_waits_until_the_worker_has_brought_its_steps_to_rest(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running()
    worker = answering(jobs, str(job.id), c.ReportStop(1, 1, 1, 1.0), c.Advance(1))

    done = call("jobs", "stop", str(job.id))
    worker.join()

    assert done.json[0]["status"] == "Stopped"


def test_a_stop_that_somebody_withdraws_is_no_success(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running()

    def resume() -> None:
        while jobs.store.load(job.id).status != "Stopping":
            pass
        jobs.execute(job.id, c.ResumeJob())

    operator = threading.Thread(target=resume, daemon=True)
    operator.start()
    done = call("jobs", "stop", str(job.id))
    operator.join()

    assert done.code == 6
    assert "somebody resumed it" in done.error["message"]


def test_a_stop_ends_although_the_worker_dies_while_it_is_waited_for(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running(lease_seconds=0.3)

    done = call("jobs", "stop", str(job.id))

    assert done.json[0]["status"] == "Stopped"


def test_several_jobs_are_changed_by_one_command_and_one_refusal_does_not_keep_back_the_rest(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    done = call("jobs", "stop", ids["completed"], ids["pending"], ids["pending"])

    assert done.code == 6
    assert [result["id"] for result in done.json] == [ids["pending"]]
    assert ids["completed"] in done.error["message"]


def test_nothing_is_done_when_one_of_the_ids_is_unknown(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert call("jobs", "stop", ids["pending"], "ffffffff").code == 1
    assert status(call, ids["pending"]) == "Pending"


@pytest.mark.parametrize("command", ["cancel", "remove"])
def test_what_cannot_be_undone_needs_yes_where_nobody_can_answer(
    command: str, jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    done = call("jobs", command, ids["stopped"])

    assert (done.code, done.out, done.error["error"]) == (5, "", "validation_error")
    assert "--yes" in done.error["suggestion"]
    assert status(call, ids["stopped"]) == "Stopped"


def test_the_ids_are_checked_before_anybody_is_asked(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert call("jobs", "cancel", "ffffffff").code == 1
    assert call("jobs", "cancel", ids["completed"]).code == 6


def test_a_filter_needs_yes_where_nobody_can_answer(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert call("jobs", "stop", "--all").code == 5
    done = call("jobs", "stop", "--type", "self-test", "--yes")

    assert [result["id"] for result in done.json] == [ids["pending"]]
    assert status(call, ids["unknown_type"]) == "Pending"


def test_all_means_those_for_which_it_is_possible(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    done = call("jobs", "resume", "--all", "--yes")

    assert {result["id"] for result in done.json} == {ids["stopped"], ids["with_failures"], ids["failed"]}
    assert done.code == 0


def test_a_filter_that_means_nothing_does_nothing(jobs: Furniture, call: Milepost) -> None:
    done = call("jobs", "stop", "--tag", "nobody", "--yes")

    assert (done.code, done.json) == (0, [])
    assert "no job to stop" in done.err


def test_which_jobs_must_be_said_in_one_way(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert call("jobs", "stop").code == 5
    assert call("jobs", "stop", ids["pending"], "--all").code == 5


@pytest.mark.parametrize("command", ["stop", "cancel", "remove", "resume"])
def test_a_dry_run_says_what_would_be_and_does_nothing(command: str, jobs: Furniture, ids: Ids, call: Milepost) -> None:
    job = ids["pending"] if command in ("stop", "cancel") else ids["stopped"]
    before = status(call, job)

    (result,) = call("jobs", command, job, "--dry-run").json

    assert (result["dryRun"], result["changed"], result["status"]) == (True, False, before)
    assert f"Would {command}" in result["message"]
    assert status(call, job) == before


def test_a_dry_run_of_what_is_so_already_says_that_nothing_would_change(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    assert "nothing would change" in call("jobs", "stop", ids["stopped"], "--dry-run").json[0]["message"]
    assert call("jobs", "stop", ids["completed"], "--dry-run").code == 6


def test_a_job_that_has_gone_on_is_not_touched_by_a_command_for_an_older_version(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    version = call("jobs", "get", ids["pending"]).json["version"]

    refused = call("jobs", "stop", ids["pending"], "--if-version", str(version + 1))
    assert refused.code == 6
    assert refused.error["suggestion"] == f"Look again with 'milepost jobs get {ids['pending']}'"
    assert call("jobs", "stop", ids["pending"], "--if-version", str(version)).code == 0
    assert call("jobs", "stop", ids["pending"], ids["stopped"], "--if-version", "1").code == 5


def test_a_resumed_job_says_when_no_worker_will_take_it(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    (result,) = call("jobs", "resume", ids["failed"]).json

    assert result["status"] == "Pending"
    assert "no worker is running" in result["message"]


def test_people_are_told_in_a_sentence(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert call("jobs", "cancel", ids["pending"], "--yes", "-o", "table").out.startswith(f"Cancelled {ids['pending']}")
    assert call("jobs", "remove", ids["completed"], "--yes", "-o", "table").out == (
        f"Removed {ids['completed']} at 3/3 steps\n"
    )


def test_wait_returns_how_the_jobs_ended(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    codes = {"completed": 0, "with_failures": 10, "failed": 11, "stopped": 12, "cancelled": 13, "removed": 1}

    assert {name: call("jobs", "wait", ids[name]).code for name in codes} == codes
    assert call("jobs", "wait", ids["completed"], ids["stopped"]).code == 12


def test_wait_gives_up_when_its_time_is_up(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    done = call("jobs", "wait", ids["pending"], "--timeout", "0")

    assert (done.code, done.out, done.error["error"]) == (7, "", "timeout")
    assert "no worker is running" in done.error["message"]


def test_watch_of_a_job_at_rest_shows_it_once(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    plain = call("jobs", "watch", ids["stopped"])
    lines = call("jobs", "watch", ids["stopped"], "-o", "json", "--exit-status")

    assert plain.code == 0
    assert f"{ids['stopped']} is Stopped at 1/3 steps" in plain.out
    assert (lines.code, lines.json["status"]) == (12, "Stopped")
    assert call("jobs", "watch", ids["stopped"], "-q").out == ""


@pytest.mark.parametrize(
    ("options", "request_of_it"),
    [
        (("--request", '{"steps": 2}'), {"steps": 2}),
        (("--set", "steps=2", "--set", "fail_steps=[1]"), {"steps": 2, "fail_steps": [1]}),
        (("--request", '{"steps": 2, "items": 1}', "--set", "items=5"), {"steps": 2, "items": 5}),
    ],
)
def test_a_request_is_given_as_json_or_field_by_field(
    options: tuple[str, ...], request_of_it: dict[str, object], call: Milepost
) -> None:
    job_id = call("jobs", "start", "self-test", *options, "--tag", "mine", "-q").out.strip()

    job = call("jobs", "get", job_id).json
    assert request_of_it.items() <= job["request"].items()
    assert job["tags"] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("poem",), 1),
        (("self-test", "--request", "{"), 5),
        (("self-test", "--request", "[]"), 5),
        (("self-test", "--request", "@nowhere.json"), 5),
        (("self-test", "--set", "steps"), 5),
        (("self-test", "--set", "steps=many"), 5),
        (("self-test", "--set", "steps.x=1", "--set", "steps.x.y=1"), 5),
        (("self-test", "--set", "colour=red"), 5),
    ],
)
def test_a_request_that_does_not_do_starts_nothing(arguments: tuple[str, ...], code: int, call: Milepost) -> None:
    done = call("jobs", "start", *arguments)

    assert (done.code, done.out) == (code, "")
    assert call("jobs", "list", "-q").out == ""


def test_a_job_is_started_once_for_a_command_id(call: Milepost) -> None:
    first = call("jobs", "start", "self-test", "--command-id", "monday").json[0]
    again = call("jobs", "start", "self-test", "--command-id", "monday").json[0]

    assert (first["changed"], again["changed"], again["id"]) == (True, False, first["id"])
    assert "was started before" in again["message"]


def test_start_may_wait(call: Milepost) -> None:
    done = call("jobs", "start", "self-test", "--wait", "--timeout", "0")

    assert done.code == 7
    assert done.json[0]["status"] == "Pending"
