"""The past over HTTP: a job, a list and a diff as of a version or a time, and what is no moment."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import httpx
import pytest

from tests.interfaces.furniture import Furniture
from tests.interfaces.http.served import MINE, jobs_of, running

JOBS: Final = jobs_of(MINE)
LONG_AGO: Final = "2001-01-01T00:00:00Z"
TO_COME: Final = "2999-01-01T00:00:00Z"
Ids = Mapping[str, str]


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('past') / 'jobs.sqlite'}"
    return Furniture(url).furnish() | {"url": url}


@pytest.fixture(scope="module")
def client(ids: Ids) -> Iterator[httpx.Client]:
    with running(ids["url"], open_here=True) as server, server.asking() as found:
        yield found


def test_a_job_is_answered_as_it_was_with_the_tag_of_then(client: httpx.Client, ids: Ids) -> None:
    then = client.get(f"{JOBS}/{ids['completed']}", params={"version": 8})
    tag = then.headers["etag"]

    assert (then.json()["status"], then.json()["asOf"]["version"], tag) == ("Running", 8, '"8"')
    at = then.json()["asOf"]["at"]
    again = client.get(f"{JOBS}/{ids['completed']}", params={"at": at}, headers={"If-None-Match": tag})
    assert (again.status_code, again.json()["status"]) == (200, "Running")
    refused = client.post(f"{JOBS}/{ids['completed']}/remove", headers={"If-Match": tag})
    assert refused.status_code == 412


def test_a_list_is_answered_as_it_was(client: httpx.Client, ids: Ids) -> None:
    at = client.get(f"{JOBS}/{ids['stopped']}").json()["created"]

    page = client.get(JOBS, params={"at": at, "limit": 2}).json()
    rest = client.get(JOBS, params={"at": at, "after": page["next"]}).json()

    assert [job["id"] for job in page["jobs"]] == [ids["stopped"], ids["failed"]]
    assert page["jobs"][0]["status"] == "Pending"
    assert ids["completed"] in [job["id"] for job in rest["jobs"]]
    assert client.get(JOBS, params={"at": LONG_AGO}).json() == {"jobs": [], "next": None}


def test_a_time_of_any_zone_is_answered_in_utc(client: httpx.Client, ids: Ids) -> None:
    at = datetime.fromisoformat(client.get(f"{JOBS}/{ids['completed']}", params={"version": 8}).json()["asOf"]["at"])
    elsewhere = at.astimezone(timezone(timedelta(hours=-9))).isoformat()

    job = client.get(f"{JOBS}/{ids['completed']}", params={"at": elsewhere}).json()
    diff = client.get(f"{JOBS}/{ids['completed']}/diff", params={"from": 1, "to": elsewhere}).json()

    assert (job["asOf"]["at"], job["version"]) == (at.isoformat(), 8)
    assert diff["after"]["at"] == at.isoformat()


def test_the_first_and_last_of_all_times_are_asked_for_like_any(client: httpx.Client) -> None:
    assert client.get(JOBS, params={"since": "0001-01-01T00:00:00Z", "limit": 1}).status_code == 200
    assert client.get(JOBS, params={"until": "9999-12-31T23:59:59Z", "limit": 1}).status_code == 200


def test_a_diff_is_of_two_moments_or_of_two_jobs(client: httpx.Client, ids: Ids) -> None:
    path = f"{JOBS}/{ids['completed']}/diff"
    times = [client.get(f"{JOBS}/{ids['completed']}", params={"version": v}).json()["asOf"]["at"] for v in (4, 8)]

    by_version = client.get(path, params={"from": 4, "to": 8}).json()
    by_time = client.get(path, params={"from": times[0], "to": times[1]}).json()
    runs = client.get(path, params={"other": ids["with_failures"]}).json()

    assert by_version["events"]["StepStarted"] == 2
    assert by_time["after"]["at"] == times[1]
    assert runs["differingSteps"] == 1
    assert client.get(path, params={"other": ids["unknown_type"], "acrossTypes": True}).status_code == 200


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/{completed}", {"version": 99}, 404),
        ("/{completed}", {"version": 0}, 400),
        ("/{completed}", {"version": "x"}, 400),
        ("/{completed}", {"at": LONG_AGO}, 404),
        ("/{completed}", {"at": TO_COME}, 400),
        ("/{completed}", {"at": "2026-01-01T00:00:00"}, 400),
        ("/{completed}", {"at": LONG_AGO, "version": 2}, 400),
        ("", {"at": TO_COME}, 400),
        ("", {"at": "yesterday"}, 400),
        ("", {"at": "0001-01-01T00:00:00+14:00"}, 400),
        ("", {"since": "0001-01-01T00:00:00+14:00"}, 400),
        ("", {"until": "9999-12-31T23:59:59-14:00"}, 400),
        ("/{completed}", {"at": "0001-01-01T00:00:00+14:00"}, 400),
        ("/{completed}", {"at": "0001-01-01T00:00:00Z"}, 404),
        ("/{completed}/diff", {"from": "0001-01-01T00:00:00+14:00"}, 400),
        ("/{completed}/diff", {}, 400),
        ("/{completed}/diff", {"to": 3}, 400),
        ("/{completed}/diff", {"from": 1, "other": "{failed}"}, 400),
        ("/{completed}/diff", {"from": -1}, 400),
        ("/{completed}/diff", {"from": 99999999999}, 400),
        ("/{completed}/diff", {"from": "soon"}, 400),
        ("/{completed}", {"at": 1893456000}, 400),
        ("/{completed}/diff", {"from": 1, "to": 0}, 400),
        ("/{completed}/diff", {"from": 99}, 404),
        ("/{completed}/diff", {"from": 3, "to": 2}, 400),
        ("/{completed}/diff", {"from": 1, "to": TO_COME}, 400),
        ("/{completed}/diff", {"other": "{completed}"}, 400),
        ("/{completed}/diff", {"other": "{unknown_type}"}, 400),
        ("/{completed}/diff", {"other": "{elsewhere}"}, 404),
        ("/{elsewhere}/diff", {"from": 1}, 404),
        ("/{elsewhere}", {"version": 1}, 404),
    ],
)
def test_what_is_no_moment_of_it_is_a_problem(
    client: httpx.Client, ids: Ids, path: str, query: dict[str, Any], status: int
) -> None:
    asked = {name: value.format(**ids) if isinstance(value, str) else value for name, value in query.items()}

    answer = client.get(JOBS + path.format(**ids), params=asked)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["suggestion"]


def test_the_description_names_the_moments_and_both_kinds_of_diff(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    space = "/api/event-stores/{event_store}/namespaces/{namespace}/jobs"

    def parameters(path: str) -> set[str]:
        return {each["name"] for each in paths[path]["get"]["parameters"]}

    assert "at" in parameters(space)
    assert {"at", "version"} <= parameters(f"{space}/{{job_id}}")
    assert {"from", "to", "other", "acrossTypes"} <= parameters(f"{space}/{{job_id}}/diff")
    answer = paths[f"{space}/{{job_id}}/diff"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert {each["$ref"].rpartition("/")[2] for each in answer["anyOf"]} == {"JobDiff", "RunComparison"}


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "2026"])
def test_what_is_no_time_in_utc_prunes_nothing_and_is_refused(before: str, client: httpx.Client, ids: Ids) -> None:
    refused = client.post(f"{JOBS}/prune", json={"before": before})

    assert refused.status_code == 400
    assert "before" in refused.text
