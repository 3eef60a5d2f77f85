"""What the page asks of the server beside what every client asks: its files, timelines, ids and bulk commands."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from milepost.domain import commands as c
from milepost.infrastructure.settings import resolve
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.http import page_routes
from milepost.interfaces.http.bulk_routes import MOST_AT_ONCE
from milepost.interfaces.http.known_attempts import MOST_JOBS, KnownAttempts
from tests.interfaces.furniture import ERROR, Furniture
from tests.interfaces.http.served import MINE, jobs_of, running

JOBS: Final = jobs_of(MINE)
PAGE: Final = Path(page_routes.__file__).with_name("page")


@pytest.fixture(scope="module")
def furniture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furniture]:
    found = Furniture(f"sqlite:///{tmp_path_factory.mktemp('page') / 'jobs.sqlite'}")
    yield found
    found.database.close()


@pytest.fixture(scope="module")
def client(furniture: Furniture) -> Iterator[httpx.Client]:
    with running(furniture.database.url, open_here=True) as server, server.asking() as found:
        yield found


# -- its files


@pytest.mark.parametrize("file", sorted(PAGE.iterdir()), ids=lambda file: file.name)
def test_every_file_of_the_page_is_served_with_its_type_and_known_again(client: httpx.Client, file: Path) -> None:
    answer = client.get(f"/page/{file.name}")
    again = client.get(f"/page/{file.name}", headers={"If-None-Match": answer.headers["ETag"]})

    assert (answer.status_code, answer.content) == (200, file.read_bytes())
    assert answer.headers["Content-Type"] == page_routes.TYPES[file.suffix]
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])


def test_the_page_lets_nothing_in_from_elsewhere_and_nothing_inline(client: httpx.Client) -> None:
    answer = client.get("/")
    policy = answer.headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"""(?:src|href)="(?!/page/|#)""", answer.text) == []
    assert re.findall(r"<script(?![^>]*src=)|<style|style=|\son\w+=", answer.text) == []


def test_the_files_of_the_page_name_no_other_host() -> None:
    texts = {file.name: file.read_text(encoding="utf-8") for file in PAGE.iterdir()}

    assert {
        name: found for name, text in texts.items() if (found := re.findall(r"https?://(?!www\.w3\.org/)", text))
    } == {}


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage_routes.py", "page_routes.py"])
def test_nothing_but_the_page_is_served_from_there(client: httpx.Client, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_the_states_are_those_of_the_domain(client: httpx.Client) -> None:
    told = client.get("/api/state-machine").json()

    commands = {each["name"]: each["commands"] for each in told["jobStatuses"]}
    assert commands["Running"] == ["stop", "cancel"]
    assert commands["Removed"] == []
    assert [each["name"] for each in told["stepStatuses"]][:2] == ["Pending", "Running"]


# -- many jobs


def test_a_bulk_command_answers_for_each_job_in_order(client: httpx.Client, furniture: Furniture) -> None:
    pending, done = str(furniture.start("self-test").id), str(furniture.completed().id)
    nobodys = "01234567-89ab-7cde-8f01-23456789abcd"

    asked = {"command": "stop", "ids": [done, pending, nobodys], "reason": "maintenance"}
    refused, changed, unknown = client.post(f"{JOBS}/bulk", json=asked).json()["results"]

    assert (refused["error"], refused["status"], refused["id"]) == ("refused", 409, done)
    assert (changed["changed"], changed["status"], changed["id"]) == (True, "Stopped", pending)
    assert (unknown["error"], unknown["status"]) == ("not_found", 404)
    events = client.get(f"{JOBS}/{pending}/events").json()["events"]
    assert events[-1]["reason"] == "maintenance"


def test_a_dry_bulk_command_changes_nothing(client: httpx.Client, furniture: Furniture) -> None:
    job = str(furniture.start("self-test").id)

    (result,) = client.post(f"{JOBS}/bulk", json={"command": "cancel", "ids": [job], "dryRun": True}).json()["results"]

    assert (result["dryRun"], result["changed"]) == (True, False)
    assert client.get(f"{JOBS}/{job}").json()["status"] == "Pending"


def test_a_bulk_command_leaves_a_job_alone_whose_status_has_changed_since_it_was_seen(
    client: httpx.Client, furniture: Furniture
) -> None:
    jobs = [str(furniture.start("self-test").id) for _ in range(2)]
    page = client.get(f"{JOBS}/ids?versions=true&status=Pending").json()
    seen = {job: version for job, version in zip(page["ids"], page["statusVersions"], strict=True) if job in jobs}
    assert client.post(f"{JOBS}/{jobs[0]}/stop", json={"reason": "just a moment"}).status_code == 200

    asked = {"command": "cancel", "ids": jobs, "ifStatusVersions": seen}
    refused, changed = client.post(f"{JOBS}/bulk", json=asked).json()["results"]

    assert (refused["status"], refused["id"]) == (412, jobs[0])
    assert "just a moment" in refused["detail"]
    assert client.get(f"{JOBS}/{jobs[0]}").json()["status"] == "Stopped"
    assert (changed["changed"], changed["status"]) == (True, "Cancelled")


def test_a_bulk_command_that_is_sent_again_under_its_key_is_done_once(
    client: httpx.Client, furniture: Furniture
) -> None:
    jobs = [str(furniture.start("self-test").id) for _ in range(2)]
    asked = {"command": "stop", "ids": jobs}
    key = {"Idempotency-Key": "bulk-of-this-test"}

    first = client.post(f"{JOBS}/bulk", json=asked, headers=key).json()["results"]
    assert client.post(f"{JOBS}/{jobs[0]}/resume").status_code == 200
    again = client.post(f"{JOBS}/bulk", json=asked, headers=key).json()["results"]

    assert [each["changed"] for each in first + again] == [True, True, False, False]
    assert client.get(f"{JOBS}/{jobs[0]}").json()["status"] == "Pending"


@pytest.mark.parametrize("ids", [[], ["01234567-89ab-7cde-8f01-23456789abcd"] * (MOST_AT_ONCE + 1), ["x"]])
def test_a_bulk_command_is_for_some_jobs_and_not_too_many(client: httpx.Client, ids: list[str]) -> None:
    assert client.post(f"{JOBS}/bulk", json={"command": "stop", "ids": ids}).status_code == 400


def test_jobs_are_found_by_the_beginning_of_their_ids(client: httpx.Client, furniture: Furniture) -> None:
    job = str(furniture.start("self-test").id)

    for prefix in (job, job[:-1], job.replace("-", "").upper()):
        assert [each["id"] for each in client.get(f"{JOBS}?id={prefix}").json()["jobs"]] == [job]
    assert client.get(f"{JOBS}?id={job}&status=Running").json()["jobs"] == []
    assert client.get(f"{JOBS}?id=xyz").status_code == 400


# -- one job


def test_the_timeline_of_a_job_is_the_document_that_is_published(client: httpx.Client, furniture: Furniture) -> None:
    job = furniture.running()

    answer = client.get(f"{JOBS}/{job.id}/timeline")
    again = client.get(f"{JOBS}/{job.id}/timeline", headers={"If-None-Match": answer.headers["ETag"]})

    told = answer.json()
    assert [(row["name"], row["runs"][0]["succeeded"], row["runs"][0]["running"]) for row in told["rows"]] == [
        ("step-1", 1, 0),
        ("step-2", 0, 1),
    ]
    assert (told["begun"], told["totalSteps"], told["version"]) == (2, 3, job.version)
    assert (again.status_code, again.json()) == (200, told), "the time goes on while a job is live"


def test_a_timeline_is_known_again_once_its_job_is_at_rest(client: httpx.Client, furniture: Furniture) -> None:
    url = f"{JOBS}/{furniture.completed().id}/timeline"

    answer = client.get(url)
    again = client.get(url, headers={"If-None-Match": answer.headers["ETag"]})

    assert (again.status_code, again.content) == (304, b"")


def test_who_asks_for_one_timeline_does_not_wait_for_who_asks_for_another(furniture: Furniture) -> None:
    app = Application(resolve(environ={"MILEPOST_URL": furniture.database.url}))
    known = KnownAttempts(app)
    one, other = furniture.completed().id, furniture.running().id
    begun: list[int] = []

    def ask_for_the_other() -> None:
        with known.of(other) as attempts:
            begun.append(len(attempts.all))

    with known.of(one):
        asking = threading.Thread(target=ask_for_the_other, daemon=True)
        asking.start()
        asking.join(60)  # until a test believes that it waits: nothing is measured
        assert begun == [2]
    app.close()


def test_a_timeline_that_was_looked_at_before_has_what_happened_since(
    client: httpx.Client, furniture: Furniture
) -> None:
    job = furniture.running()
    before = client.get(f"{JOBS}/{job.id}/timeline").json()
    furniture.work(job, c.ReportFailure(job.claim, 1, 1, 1.0, ERROR), c.StartStep(job.claim, 2))
    after = client.get(f"{JOBS}/{job.id}/timeline").json()
    for _ in range(MOST_JOBS):
        assert client.get(f"{JOBS}/{furniture.completed().id}/timeline").status_code == 200

    assert [sum(run["running"] for row in told["rows"] for run in row["runs"]) for told in (before, after)] == [1, 1]
    assert [run["failed"] for run in after["rows"][1]["runs"]] == [1]
    assert client.get(f"{JOBS}/{job.id}/timeline").json() == after


def test_a_part_of_a_timeline_is_looked_at_more_closely(client: httpx.Client, furniture: Furniture) -> None:
    job = furniture.completed()

    told = client.get(f"{JOBS}/{job.id}/timeline?first=1&last=1").json()
    beyond = client.get(f"{JOBS}/{job.id}/timeline?first=5&last=900").json()

    assert [row["name"] for row in told["rows"]] == ["step-2"]
    assert beyond["rows"] == []


def test_a_command_may_insist_on_the_status_that_was_seen_while_steps_report(
    client: httpx.Client, furniture: Furniture
) -> None:
    job = furniture.running()
    changes = client.get(f"{JOBS}/{job.id}").json()["statusChanges"]
    seen, before = (f'"status-{each["version"]}"' for each in (changes[-1], changes[-2]))
    assert changes[-1]["version"] < job.version

    refused = client.post(f"{JOBS}/{job.id}/stop", headers={"If-Match": before})
    done = client.post(f"{JOBS}/{job.id}/stop", headers={"If-Match": seen})

    assert (refused.status_code, done.status_code) == (412, 200)
    assert done.json()["status"] == "Stopping"
    assert client.post(f"{JOBS}/{job.id}/cancel", headers={"If-Match": seen}).status_code == 412


def test_what_is_wrong_with_a_request_is_told_one_by_one(client: httpx.Client) -> None:
    request = {"steps": -1, "seconds": "long"}

    told = client.post(JOBS, json={"type": "self-test", "request": request}).json()

    assert [each.partition(":")[0] for each in told["problems"]] == ["steps", "seconds"]


def test_an_event_of_a_newer_milepost_is_told_and_not_left_out_of_the_picture(
    client: httpx.Client, furniture: Furniture
) -> None:
    job = furniture.completed()
    with furniture.database.write() as connection:
        of_job = (job.id.hex, 1)
        connection.exec_driver_sql(
            "UPDATE milepost_events SET topic = 'milepost:Newer' WHERE originator_id = ? AND originator_version = ?",
            of_job,
        )

    told = client.get(f"{JOBS}/{job.id}/timeline")

    assert (told.status_code, told.json()["error"]) == (500, "server_error")
    assert "a newer one wrote it" in told.json()["detail"]
