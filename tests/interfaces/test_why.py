"""`milepost jobs why` on the command line, through a server and from the clients: the same document everywhere."""

import re
from collections.abc import Mapping
from typing import Final

import pytest

from milepost.client import NothingFound
from milepost.domain import commands as c
from milepost.infrastructure.settings import resolve
from milepost.interfaces.why_documents import WhyDocument
from tests.interfaces.clients import opened
from tests.interfaces.conftest import Milepost
from tests.interfaces.furniture import Furniture
from tests.interfaces.server import Server

ON_ALL_STORES = True
EXPLAINED: Final = {
    "pending": ("waits", ["JobStarted"], ["worker"]),
    "completed": ("completed", ["JobStarted", "JobCompleted"], ["nothing"]),
    "with_failures": ("steps-failed", ["StepFailed", "JobCompleted"], ["resume"]),
    "failed": ("failed", ["JobFailed"], ["resume"]),
    "stopped": ("stopped", ["JobStopRequested", "JobStopped"], ["resume"]),
    "cancelled": ("cancelled", ["JobCancelRequested", "JobCancelled"], ["nothing"]),
    "removed": ("removed", ["JobCancelRequested", "JobCancelled", "JobRemoved"], ["nothing"]),
}


@pytest.mark.parametrize("which", EXPLAINED)
def test_a_job_is_explained_by_its_cause_its_chain_and_what_would_move_it_on(
    which: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    told = call("jobs", "why", ids[which][:23], "-o", "json").json

    found = told["because"], [each["event"] for each in told["chain"]], [each["what"] for each in told["moves"]]
    assert found == EXPLAINED[which]
    history = call("jobs", "history", ids[which], "-o", "json").json
    for each in told["chain"]:
        event = history[each["version"] - 1]
        assert (event["event"], event["occurred"]) == (each["event"], each["occurred"])
        assert (event["actor"], event["reason"]) == (each["actor"], each["reason"])


def test_people_read_the_sentence_first_then_a_line_for_each_event_then_what_comes_next(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    first, *lines = call("jobs", "why", ids["stopped"], "-o", "table").out.splitlines()

    assert first.startswith("ann@desk stopped it ")
    assert '("lunch")' in first
    assert [line.split("  ")[2].strip() for line in lines[:2]] == [
        "ann@desk asked it to stop: lunch",
        "somewhere:1:abc said that its steps are at rest: it is stopped",
    ]
    assert lines[-1].startswith("Next: 'milepost jobs resume ")


def test_a_step_that_failed_is_named_with_its_attempt_and_its_worker(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    [failed, _] = call("jobs", "why", ids["with_failures"], "-o", "json").json["chain"]

    assert (failed["step"], failed["attempt"], failed["actor"]) == ("step-2", 1, "somewhere:1:abc")
    assert failed["error"] == "ValueError: no such [31m aircraft"


def test_a_job_that_runs_says_so_with_its_pace(jobs: Furniture, call: Milepost) -> None:
    told = call("jobs", "why", str(jobs.running().id), "-o", "json").json

    assert (told["because"], told["pace"]["verdict"], told["pace"]["unit"]) == ("runs", "unknown", "items")
    assert told["pace"]["text"].startswith("it has reported too little to say whether it advances")


def test_a_job_that_is_being_stopped_names_the_step_that_holds_it(jobs: Furniture, call: Milepost) -> None:
    job = jobs.running()
    jobs.execute(job.id, c.StopJob(worker_alive=True), reason="deploying")

    told = call("jobs", "why", str(job.id), "-o", "json").json
    assert told["because"] == "comes-to-rest"
    assert "step step-2 at 4/10 items has yet to reach a checkpoint" in told["sentence"]
    assert "worker somewhere:1:abc, which answered" in told["moves"][0]["text"]


def test_of_a_pruned_job_it_says_by_whom_when_and_why_it_was_pruned(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    call("jobs", "prune", "--all", "--status", "Failed", "--reason", "tidy", "--yes")

    for words in (("-o", "json"), ("-o", "table")):
        why, get = (call("jobs", each, ids["failed"], *words) for each in ("why", "get"))
        assert (why.code, why.err) == (get.code, get.err)
    told = call("jobs", "why", ids["failed"][:23], "-o", "json").error["message"]
    assert re.search(r"Job '.*' \(self-test, Failed, \d+ events\) was pruned at \S+ by .+: tidy$", told)


def test_the_same_is_said_of_it_over_http(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost, request: pytest.FixtureRequest
) -> None:
    call("jobs", "prune", "--all", "--status", "Failed", "--reason", "tidy", "--yes")
    server: Server = request.getfixturevalue("a_server")
    server.serve(resolve())
    with opened("sync", server.url) as client, pytest.raises(NothingFound) as refused:
        client.why(ids["failed"])
    server.leave()

    assert "was pruned at" in str(refused.value)
    assert "by " in str(refused.value)
    assert str(refused.value).count(": tidy") == 1


def test_a_job_of_another_namespace_is_not_there(jobs: Furniture, ids: Mapping[str, str], call: Milepost) -> None:
    assert call("jobs", "why", ids["elsewhere"]).code == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_clients_get_the_document(
    kind: str, jobs: Furniture, ids: Mapping[str, str], request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue("a_server")
    server.serve(resolve())
    with opened(kind, server.url) as client:
        found = client.why(ids["cancelled"])
    server.leave()

    assert isinstance(found, WhyDocument)
    assert (found.because, found.chain[0].actor) == ("cancelled", "ann@desk")
    assert found.id == ids["cancelled"]
