"""Jobs as they were, and what differs: on the command line, on every kind of store and through a server."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from milepost.domain import commands as c
from milepost.domain.envelope import Origin
from milepost.infrastructure.clock import RealSurroundings
from milepost.infrastructure.event_store.batch import Batch
from milepost.interfaces.cli.jobs.diff import MOST
from tests.interfaces.conftest import Milepost
from tests.interfaces.furniture import WORKER, Furniture

ON_ALL_STORES = True

Ids = Mapping[str, str]
LONG_AGO: Final = "2001-01-01"


def times_of(jobs: Furniture, job_id: str) -> list[str]:
    """When each of its versions was recorded, from version 1 on."""
    return [each.recorded_at.isoformat() for each in jobs.store.history(UUID(job_id))]


def got(call: Milepost, *words: str) -> Any:
    done = call("jobs", "get", *words)
    assert done.code == 0, done.err
    return done.json


def test_a_job_is_shown_as_it_was_at_a_version_with_its_steps_of_then(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    job = got(call, ids["completed"], "--version", "8")

    assert (job["status"], job["version"], job["asOf"]["version"], job["ended"]) == ("Running", 8, 8, None)
    assert [step["status"] for step in job["steps"]] == ["Succeeded", "Running", "Pending"]
    assert (job["progress"]["successfulSteps"], job["steps"][1]["checkpoint"]) == (1, {"item": 4})
    assert [change["status"] for change in job["statusChanges"]] == ["Pending", "Preparing", "Running"]
    assert job["asOf"]["at"] == times_of(jobs, ids["completed"])[7]


def test_at_the_newest_version_a_job_is_as_it_is(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    for name in ("completed", "with_failures", "failed", "stopped", "cancelled", "removed"):
        now = got(call, ids[name])
        then = got(call, ids[name], "--version", str(now["version"]))

        assert then.pop("asOf")["version"] == now["version"]
        assert now.pop("asOf") is None
        assert then == now


def test_steps_of_then_are_chosen_as_those_of_today(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    def names(*options: str) -> list[str]:
        return [step["name"] for step in got(call, ids["completed"], "--version", "8", *options)["steps"] or ()]

    assert names("--steps", "2") == ["step-1", "step-2"]
    assert names("--steps-after", "0") == ["step-2", "step-3"]
    assert names("--step-status", "pending") == ["step-3"]
    assert names("--steps", "0") == []
    first = got(call, ids["completed"], "--version", "8", "--steps", "1")
    assert first["nextStepsAfter"] == 0


def test_a_job_is_shown_as_it_was_at_a_time_with_the_rates_of_then(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    job = jobs.running()
    began = datetime.fromisoformat(times_of(jobs, str(job.id))[-1])
    while datetime.now(UTC) <= began + timedelta(milliseconds=20):
        pass
    jobs.execute(job.id, c.StopJob(worker_alive=True), reason="lunch")

    then = got(call, str(job.id), "--at", (began + timedelta(milliseconds=10)).isoformat())

    assert (then["status"], then["version"], then["worker"]) == ("Running", job.version, WORKER)
    assert then["progress"]["itemsPerSecond"] > 0
    assert then["heldBy"] is None
    assert got(call, str(job.id), "--version", str(job.version + 1))["heldBy"].startswith("held by step-2")


def test_people_are_told_that_it_is_the_past(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert "as it was at version 8" in call("jobs", "get", ids["completed"], "--version", "8", "-o", "table").out
    assert "as it was" not in call("jobs", "get", ids["completed"], "-o", "table").out


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("get", "COMPLETED", "--version", "99"), 1, "has no version 99: its newest is"),
        (("get", "COMPLETED", "--version", "0"), 5, ""),
        (("get", "COMPLETED", "--at", LONG_AGO), 1, "was not there at"),
        (("get", "COMPLETED", "--at", "2999-01-01"), 5, "is yet to come"),
        (("get", "COMPLETED", "--at", "yesterday"), 5, "--at: 'yesterday' is not a time"),
        (("get", "COMPLETED", "--at", LONG_AGO, "--version", "2"), 5, "not of both"),
        (("list", "--at", "2999-01-01"), 5, "is yet to come"),
        (("list", "--at", "soon"), 5, "--at: 'soon' is not a time"),
        (("diff", "COMPLETED"), 5, "of two moments of a job, or of two jobs"),
        (("diff", "COMPLETED", "FAILED", "--from", "2"), 5, "of two moments of a job, or of two jobs"),
        (("diff", "COMPLETED", "FAILED", "--to", "2"), 5, "of two moments of a job, or of two jobs"),
        (("diff", "COMPLETED", "--from", "99"), 1, "has no version 99"),
        (("diff", "COMPLETED", "--from", "2", "--to", "99"), 1, "has no version 99"),
        (("diff", "COMPLETED", "--from", "5", "--to", "3"), 5, "before the first"),
        (("diff", "COMPLETED", "--from", "5", "--to", LONG_AGO), 5, "before the first"),
        (("diff", "COMPLETED", "--from", LONG_AGO), 1, "was not there at"),
        (("diff", "COMPLETED", "--from", "0", "--to", LONG_AGO), 1, "was not there at"),
        (("diff", "COMPLETED", "--from", "2", "--to", "2999-01-01"), 5, "is yet to come"),
        (("diff", "COMPLETED", "--from", "never"), 5, "--from: 'never' is not a time"),
        (("diff", "COMPLETED", "COMPLETED"), 5, "does not differ from itself"),
        (("diff", "COMPLETED", "UNKNOWN_TYPE"), 5, "of different types: self-test and unknown-type"),
        (("diff", "COMPLETED", "ELSEWHERE"), 1, ""),
    ],
)
def test_a_moment_that_is_none_is_refused(
    asked: tuple[str, ...], code: int, said: str, jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    done = call("jobs", *(ids.get(word.lower(), word) if word.isupper() else word for word in asked), "-o", "json")

    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_the_list_of_a_time_agrees_with_the_job_of_that_time_though_a_clock_was_set_back(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    job = jobs.running()
    began = times_of(jobs, str(job.id))[-1]
    batch = Batch(job, Origin(WORKER, "worker"), RealSurroundings(ahead=lambda: 30.0))
    assert batch.do(c.StartStep(job.claim, 2))
    jobs.store.append(batch)
    jobs.execute(job.id, c.CancelJob(worker_alive=False))
    cancelled = times_of(jobs, str(job.id))[-1]
    assert began < cancelled < max(times_of(jobs, str(job.id)))

    then = got(call, str(job.id), "--at", cancelled)["status"]
    listed = call("jobs", "list", "--at", cancelled, "--limit", "1").json
    cancelled_then = call("jobs", "list", "--at", cancelled, "--status", "Cancelled", "-q", "-o", "json").json

    assert then == "Running"
    assert [(each["id"], each["status"]) for each in listed] == [(str(job.id), then)]
    assert cancelled_then == [ids["cancelled"]]


def test_the_list_of_a_time_has_the_jobs_of_then_as_they_were(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    job = jobs.running(tags=("early",))
    at = times_of(jobs, str(job.id))[-1]
    jobs.execute(job.id, c.CancelJob(worker_alive=False))
    jobs.execute(UUID(ids["stopped"]), c.RemoveJob())
    later = jobs.start("self-test")

    def then(*options: str) -> list[str]:
        done = call("jobs", "list", "--at", at, "-q", *options)
        assert done.code == 0, done.err
        return done.out.splitlines()

    assert str(later.id) not in then()
    assert then("--status", "Running") == [str(job.id)]
    assert then("--status", "Cancelled", "--tag", "early") == []
    assert ids["stopped"] in then()
    assert ids["removed"] not in then()
    assert ids["removed"] in then("--status", "Removed")
    assert then("--tag", "early", "--type", "self-test") == [str(job.id)]
    assert then("--limit", "1") == [str(job.id)]
    assert then("--sort", "oldest") == then()[::-1]
    shown = call("jobs", "list", "--at", at, "--tag", "early").json[0]
    assert (shown["status"], shown["version"], shown["progress"]["runningSteps"]) == ("Running", job.version, 1)
    assert shown["asOf"]["version"] == job.version
    assert call("jobs", "list", "--at", LONG_AGO).json == []


def test_what_changed_between_two_moments_is_told_with_who_did_it(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    newest = got(call, ids["stopped"])["version"]

    found = call("jobs", "diff", ids["stopped"], "--from", "8").json

    assert (found["before"]["status"], found["after"]["status"]) == ("Running", "Stopped")
    assert (found["before"]["version"], found["after"]["version"]) == (8, newest)
    assert found["events"] == {"JobStopRequested": 1, "StepStopped": 1, "JobStopped": 1}
    assert [(each["actor"], each["reasons"]) for each in found["actors"]] == [("ann@desk", ["lunch"]), (WORKER, [])]
    assert [each["status"] for each in found["statusChanges"]] == ["Stopping", "Stopped"]
    changed = {each["what"]: (each["before"], each["after"]) for each in found["changes"]}
    assert changed["status"] == ("Running", "Stopped")
    assert changed["progress.stoppedSteps"] == (0, 1)
    assert changed["worker"] == (WORKER, None)
    assert [(each["name"], each["before"]["status"], each["after"]["status"]) for each in found["steps"]] == [
        ("step-2", "Running", "Stopped")
    ]


def test_a_diff_takes_times_as_well_and_begins_before_the_job_where_it_is_told_to(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    times = times_of(jobs, ids["completed"])

    by_time = call("jobs", "diff", ids["completed"], "--from", times[1], "--to", times[-1]).json
    whole = call("jobs", "diff", ids["completed"], "--from", "0", "--to", "1").json

    assert by_time["after"]["status"] == "CompletedSuccessfully"
    assert [each["after"]["status"] for each in by_time["steps"]] == ["Succeeded"] * 3
    assert (whole["before"]["status"], whole["events"]) == (None, {"JobStarted": 1})
    assert {each["what"] for each in whole["changes"]} == {"status"}
    nothing = call("jobs", "diff", ids["completed"], "--from", "3", "--to", "3").json
    assert (nothing["events"], nothing["changes"], nothing["steps"]) == ({}, [], [])


def test_a_diff_says_how_many_steps_it_does_not_show(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    done = call("jobs", "diff", ids["completed"], "--from", "4", "--steps", "1")

    assert (len(done.json["steps"]), done.json["hiddenSteps"]) == (1, 2)
    assert "2 more steps" in done.err
    assert call("jobs", "diff", ids["completed"], "--from", "4", "--steps", str(MOST)).json["hiddenSteps"] == 0


def test_two_runs_are_compared_step_by_step(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    found = call("jobs", "diff", ids["completed"], ids["with_failures"]).json

    assert (found["one"]["id"], found["other"]["id"]) == (ids["completed"], ids["with_failures"])
    assert (found["one"]["failedSteps"], found["other"]["failedSteps"]) == (0, 1)
    assert found["one"]["seconds"] >= found["one"]["secondsByStatus"]["Running"] >= 0
    assert found["differingSteps"] == 1
    first = found["steps"][0]
    assert (first["name"], first["one"]["status"], first["other"]["status"]) == ("step-2", "Succeeded", "Failed")
    assert first["other"]["error"].startswith("builtins.ValueError: ")
    assert {each["name"] for each in found["steps"]} == {"step-1", "step-2", "step-3"}
    assert found["request"] == []


def test_runs_of_different_types_are_compared_where_somebody_insists(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    found = call("jobs", "diff", ids["completed"], ids["unknown_type"], "--across-types").json

    assert (found["other"]["type"], found["differingSteps"]) == ("unknown-type", 3)
    assert all(step["other"] is None for step in found["steps"])


@pytest.mark.parametrize("format_", ["table", "plain", "csv", "jsonl"])
def test_diffs_are_told_in_every_format(format_: str, jobs: Furniture, ids: Ids, call: Milepost) -> None:
    moments = call("jobs", "diff", ids["stopped"], "--from", "8", "-o", format_)
    runs = call("jobs", "diff", ids["completed"], ids["with_failures"], "-o", format_)

    assert (moments.code, runs.code) == (0, 0)
    assert "Stopped" in moments.out
    assert "CompletedWithFailures" in runs.out
    if format_ == "table":
        assert "because: lunch" in moments.out
        assert "1 ended otherwise" in runs.out
    if format_ != "csv":  # which gives programs what is so
        assert "\x1b" not in moments.out + runs.out
    assert (
        call("jobs", "diff", ids["stopped"], "--from", "8", "-q", "-o", format_).out.strip(' []"\n') == ids["stopped"]
    )
