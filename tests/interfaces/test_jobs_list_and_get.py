"""Which jobs are listed, how they are found by the beginning of their id, and what is known of one."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.job_filter import JobFilter
from milepost.infrastructure.event_store.job_not_found import JobNotFound
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.event_store.store import WorkerRecord
from tests.interfaces.conftest import Milepost
from tests.interfaces.furniture import WORKER, Furniture

ON_ALL_STORES = True
ON_BOTH_DATABASES = True  # in short, too: what is read there is asked of the database in words of its own

Ids = Mapping[str, str]


def listed(call: Milepost, *options: str) -> list[str]:
    done = call("jobs", "list", "-q", *options)
    assert done.code == 0, done.err
    return done.out.splitlines()


def test_the_newest_jobs_come_first_and_removed_ones_not_at_all(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    shown = listed(call)

    assert shown == sorted(shown, reverse=True)
    assert set(shown) == set(ids.values()) - {ids["removed"], ids["elsewhere"]}


def test_the_columns_are_id_type_status_progress_created(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    header, *rows = call("jobs", "list", "-o", "plain").out.splitlines()

    assert header.split("\t") == ["Id", "Type", "Status", "Progress", "Created"]
    cells = {row.split("\t")[0]: row.split("\t")[1:4] for row in rows}
    assert cells[ids["with_failures"]] == ["self-test", "CompletedWithFailures", "2/3 (1 failed)"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--status", "Stopped"), {"stopped"}),
        (("--status", "stopped", "--status", "FAILED"), {"stopped", "failed"}),
        (("--status", "Removed"), {"removed"}),
        (("--type", "unknown-type"), {"unknown_type"}),
        (("--tag", "nightly"), {"completed"}),
        (("--tag", "nightly", "--tag", "other"), set[str]()),
        (("--since", "1h", "--status", "Pending"), {"pending", "unknown_type"}),
        (("--until", "1h"), set[str]()),
        (("--since", "2001-01-01", "--until", "2001-01-02T00:00:00+00:00"), set[str]()),
        (("-n", "Other"), {"elsewhere"}),
    ],
)
def test_filters_leave_only_what_is_meant(
    options: tuple[str, ...], expected: set[str], jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    assert set(listed(call, *options)) == {ids[name] for name in expected}


@pytest.mark.parametrize(
    "options", [("--status", "Done"), ("--since", "yesterday"), ("--until", "99999999999w"), ("--limit", "0")]
)
def test_a_filter_that_means_nothing_is_refused(options: tuple[str, ...], jobs: Furniture, call: Milepost) -> None:
    done = call("jobs", "list", *options)

    assert (done.code, done.out) == (5, "")


@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_pages_follow_each_other_without_gap_or_repetition(sort: str, jobs: Furniture, call: Milepost) -> None:
    everything = listed(call, "--sort", sort)

    paged = listed(call, "--sort", sort, "--limit", "3")
    while len(page := listed(call, "--sort", sort, "--limit", "3", "--after", paged[-1])) > 0:
        paged += page

    assert paged == everything


def test_a_page_that_is_not_the_last_says_so_beside_the_data(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    done = call("jobs", "list", "--limit", "1")

    assert len(done.json) == 1
    assert f"--after {ids['pending']}" in done.err
    assert call("jobs", "list").err == ""


def test_what_a_narrow_table_shows_of_an_id_means_that_job(
    jobs: Furniture, call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = call("jobs", "list", "-o", "table").out.splitlines()[1:]
    shown = [row.split()[0] for row in rows]

    assert all(len(each) < 36 for each in shown)
    assert [call("jobs", "get", each, "-q").out.strip() for each in shown] == listed(call)


def test_whole_ids_are_shown_where_there_is_room(
    jobs: Furniture, ids: Ids, call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")

    assert ids["stopped"] in call("jobs", "list", "-o", "table").out


SPELLINGS: Final[tuple[Callable[[str], str], ...]] = (
    str.upper,
    lambda job_id: job_id.replace("-", ""),
    lambda job_id: f" {job_id} ",
    lambda job_id: job_id[:-1],
)


@pytest.mark.parametrize("spell", SPELLINGS)
def test_an_id_may_be_spelt_in_many_ways(
    spell: Callable[[str], str], jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    assert call("jobs", "get", spell(ids["stopped"]), "-q").out.strip() == ids["stopped"]


def test_an_ambiguous_beginning_lists_what_it_could_mean(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    done = call("jobs", "get", ids["stopped"][:2])

    assert done.code == 5
    assert all(each in done.error["message"] for each in (ids["stopped"], ids["pending"]))
    assert ids["removed"] not in done.error["message"]


def test_removed_jobs_do_not_hide_the_one_that_an_id_means(call: Milepost, environment: Mapping[str, str]) -> None:
    furniture = Furniture(environment["MILEPOST_URL"])
    meant = str(furniture.start("self-test").id)
    for _ in range(11):  # more than are ever listed as ambiguous, and newer
        furniture.removed()

    furniture.database.close()

    assert call("jobs", "get", meant[:2]).json["id"] == meant


@pytest.mark.parametrize(
    ("given", "code"),
    [("ffffffff", 1), ("ffffffff-ffff-7fff-bfff-ffffffffffff", 1), ("job-1", 5), ("", 5), ("0" * 33, 5)],
)
@pytest.mark.parametrize("command", ["get", "why", "history", "stop", "resume", "wait", "watch"])
def test_an_id_that_no_job_has_is_told_apart_from_what_is_no_id(
    command: str, given: str, code: int, jobs: Furniture, call: Milepost
) -> None:
    done = call("jobs", command, given, "-o", "json")

    assert (done.code, done.out) == (code, "")
    assert done.error["error"] == {1: "not_found", 5: "validation_error"}[code]
    assert done.error["suggestion"]


def test_a_job_of_another_namespace_is_not_found(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert call("jobs", "get", ids["elsewhere"]).code == 1
    assert call("jobs", "stop", ids["elsewhere"]).code == 1
    assert call("jobs", "get", ids["elsewhere"], "-n", "Other").code == 0


def test_get_shows_steps_with_progress_attempts_errors_and_checkpoints(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    job = call("jobs", "get", ids["with_failures"]).json
    failed, stopped = job["steps"][1], call("jobs", "get", ids["stopped"]).json["steps"][1]

    assert failed["status"] == "Failed"
    assert failed["attempts"] == 1
    assert failed["error"] == failed["errors"][0]
    assert failed["error"]["causes"] == ["KeyError: 'N1'"]
    assert stopped["checkpoint"] == {"item": 4}
    assert stopped["progress"] == {
        "done": 4, "total": 10, "unit": "items", "message": "N14228", "percentage": 40,
    }  # fmt: skip


def test_get_shows_who_changed_the_status_from_where_and_why(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    changes = call("jobs", "get", ids["stopped"]).json["statusChanges"]

    assert [change["status"] for change in changes] == ["Pending", "Preparing", "Running", "Stopping", "Stopped"]
    assert (changes[3]["actor"], changes[3]["source"], changes[3]["reason"]) == ("ann@desk", "cli", "lunch")


def test_the_counters_of_a_job_are_those_of_its_steps(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    progress = call("jobs", "get", ids["stopped"]).json["progress"]

    assert (progress["totalSteps"], progress["successfulSteps"], progress["stoppedSteps"]) == (3, 1, 1)
    assert (progress["isStopped"], progress["isCompleted"], progress["itemsDone"]) == (True, False, 14)


def test_get_gives_steps_by_page_and_by_status(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    first = call("jobs", "get", ids["stopped"], "--steps", "2")
    rest = call("jobs", "get", ids["stopped"], "--steps-after", str(first.json["nextStepsAfter"]))

    assert [step["index"] for step in first.json["steps"] + rest.json["steps"]] == [0, 1, 2]
    assert "--steps-after 1" in first.err
    assert rest.json["nextStepsAfter"] is None
    only = call("jobs", "get", ids["stopped"], "--step-status", "stopped").json
    assert [step["name"] for step in only["steps"]] == ["step-2"]
    assert call("jobs", "get", ids["stopped"], "--step-status", "Idle").code == 5


def test_a_screen_shows_the_steps_that_need_a_look_before_others(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    shown = call("jobs", "get", ids["with_failures"], "--steps", "1", "-o", "table").out

    assert "step-2" in shown
    assert "and 2 more steps" in shown
    assert "step-3" not in shown


def test_a_pending_job_says_that_no_worker_runs(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert "no worker is running" in call("jobs", "get", ids["pending"]).json["waiting"]
    assert call("jobs", "get", ids["stopped"]).json["waiting"] is None


def test_a_pending_job_says_that_no_worker_knows_its_type(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    jobs.store.register_worker(WorkerRecord(WORKER, ("self-test",), 1, datetime.now(UTC)), 3600)

    assert "knows the job type" in call("jobs", "get", ids["unknown_type"]).json["waiting"]
    assert call("jobs", "get", ids["pending"]).json["waiting"] == "for a worker to take it"


def test_a_pending_job_says_why_a_worker_refused_it(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    jobs.store.register_worker(WorkerRecord(WORKER, ("self-test",), 1, datetime.now(UTC)), 3600)
    job = jobs.start("self-test")
    jobs.store.note_refusal(job.id, WORKER, "its request has no field 'steps'")

    assert call("jobs", "get", str(job.id)).json["waiting"] == "its request has no field 'steps'"


def test_a_running_job_whose_worker_died_says_so(jobs: Furniture, call: Milepost) -> None:
    jobs.store.register_worker(WorkerRecord("other", ("self-test",), 1, datetime.now(UTC)), 3600)
    job = jobs.running(lease_seconds=0)

    assert "does not answer" in call("jobs", "get", str(job.id)).json["waiting"]


def test_a_running_job_has_a_rate_and_an_eta(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running()

    progress = call("jobs", "get", str(job.id)).json["progress"]

    assert progress["itemsPerSecond"] > 0
    assert progress["etaSeconds"] is not None
    assert progress["runningSteps"] == 1
    assert "left" in call("jobs", "get", str(job.id), "-o", "table").out


def test_the_error_of_a_failed_job_is_shown_with_the_place_where_it_was_raised(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    shown = call("jobs", "get", ids["failed"], "-o", "table").out

    assert "failed: ValueError: no such" in shown
    assert 'File "x.py", line 1' in shown
    assert "caused by KeyError" in shown


def test_history_shows_every_event_with_who_and_why(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    events = call("jobs", "history", ids["stopped"]).json

    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    asked = next(event for event in events if event["event"] == "JobStopRequested")
    assert (asked["actor"], asked["reason"]) == ("ann@desk", "lunch")
    assert next(event for event in events if event["event"] == "StepProgressed")["data"]["progress"]["done"] == 4


def test_history_tells_each_event_in_a_few_words(
    jobs: Furniture, ids: Ids, call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    retried = jobs.start("self-test")

    failed = call("jobs", "history", ids["failed"], "-o", "plain").out
    started = call("jobs", "history", str(retried.id), "-o", "plain").out

    assert "ValueError: no such" in failed
    assert "claim 1" in failed
    assert "self-test in Default" in started


def test_history_can_be_cut(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    events = call("jobs", "history", ids["stopped"], "--after", "2", "--limit", "2").json
    steps = call("jobs", "history", ids["stopped"], "--event", "StepStarted", "--event", "StepStopped").json

    assert [event["version"] for event in events] == [3, 4]
    assert {event["event"] for event in steps} == {"StepStarted", "StepStopped"}


def test_a_removed_job_keeps_its_history(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    assert call("jobs", "history", ids["removed"]).json[-1]["event"] == "JobRemoved"


def test_a_screen_shows_tags_keys_workers_and_why_a_job_waits(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    job = jobs.running(tags=("nightly",), lease_seconds=0)
    shown = call("jobs", "get", str(job.id), "-o", "table").out

    assert "nightly" in shown
    assert WORKER in shown
    assert "no worker is running" in shown
    assert "no steps yet" in call("jobs", "get", ids["pending"], "-o", "table").out


def test_queries_count_jobs_by_status_and_know_a_job_only_in_its_namespace(jobs: Furniture, ids: Ids) -> None:
    queries = JobQueries(jobs.database)

    assert queries.counts("Default")["Pending"] == 2
    assert queries.counts("Default", JobFilter(types=("unknown-type",))) == {"Pending": 1}
    with pytest.raises(JobNotFound):
        queries.job("Other", ids["pending"])


def test_every_status_has_its_colour() -> None:
    from milepost.interfaces.cli.text import STATUS_STYLE

    assert set(JobStatus) <= set(STATUS_STYLE)


def test_namespaces_are_listed_with_their_jobs(jobs: Furniture, call: Milepost) -> None:
    assert call("namespaces", "list").json == [
        {"name": "Default", "jobs": 7, "live": 2},
        {"name": "Other", "jobs": 1, "live": 1},
    ]


def test_times_are_read_as_people_write_them() -> None:
    from milepost.interfaces.cli.text import local_short, moment
    from milepost.interfaces.quantities import duration

    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert moment("90m", now) == now - timedelta(minutes=90)
    assert moment("2026-01-01T00:00:00+01:00", now) == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert local_short("2025-02-03T12:00:00+00:00") == "2025-02-03"
    assert len(local_short(now.replace(year=datetime.now(UTC).year, month=2).isoformat())) <= 12
    assert [duration(each) for each in (0.25, 42, 200, 7500, 270000)] == [
        "0.2 s", "42 s", "3 min 20 s", "2 h 05 min", "3 d 3 h",
    ]  # fmt: skip


def test_types_show_says_what_a_request_takes(call: Milepost) -> None:
    shown = call("types", "show", "self-test", "-o", "table").out

    assert "fail_steps" in shown
    assert "list of integer" in shown
    assert call("types", "show", "poem").code == 1
    assert json.loads(call("types", "show", "self-test").out)["request"]["properties"]["steps"]["default"] == 10
