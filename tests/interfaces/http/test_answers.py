"""What HTTP adds to commands: versions, idempotency, methods, bounds, and errors that are all told alike."""

import json
import socket
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from milepost.infrastructure.event_store.tokens import Role
from milepost.interfaces.http import bodies
from milepost.interfaces.http.guard import MOST_HEADERS, MOST_URL
from tests.interfaces.http.served import MINE, Running, jobs_of, running
from tests.postgres import fresh_url

JOBS: Final = jobs_of(MINE)
PROBLEM: Final = {"type", "title", "status", "detail", "error", "suggestion"}


@pytest.fixture(scope="module", params=["file", "server"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    file = f"sqlite:///{tmp_path_factory.mktemp('answers') / 'jobs.sqlite'}"
    with running(file if request.param == "file" else fresh_url()) as found:
        yield found


@pytest.fixture(scope="module")
def operator(server: Running) -> Iterator[httpx.Client]:
    with server.asking(server.token("alice", Role.OPERATOR)) as client:
        yield client


@pytest.fixture
def job(operator: httpx.Client) -> str:
    """A new one."""
    found: str = operator.post(JOBS, json={"type": "self-test", "request": {"steps": 3}}).json()["id"]
    return found


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """What it tells, where it is a problem of this status and a whole one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told.keys() >= PROBLEM
    assert told["status"] == status
    assert told["type"].endswith(told["error"])
    return told


# -- versions


def test_the_tag_of_a_job_is_its_version(operator: httpx.Client, job: str) -> None:
    answer = operator.get(f"{JOBS}/{job}")

    assert answer.headers["etag"] == f'"{answer.json()["version"]}"'


def test_a_command_for_a_version_that_the_job_has_left_is_told_who_changed_it_and_does_nothing(
    server: Running, operator: httpx.Client, job: str
) -> None:
    seen = operator.get(f"{JOBS}/{job}").headers["etag"]
    with server.asking(server.token(f"bob-{job}", Role.OPERATOR)) as bob:
        bob.post(f"{JOBS}/{job}/stop", json={"reason": "the disk is full"})

    told = problem(operator.post(f"{JOBS}/{job}/cancel", headers={"If-Match": seen}), 412)

    assert f"it is Stopped, by bob-{job}" in told["detail"]
    assert "because: the disk is full" in told["detail"]
    assert operator.get(f"{JOBS}/{job}").json()["status"] == "Stopped"


@pytest.mark.parametrize("tag", ['"1"', "*", '"7", "1"', 'W/"1", "1"'])
def test_a_command_for_the_version_that_the_job_has_is_done(operator: httpx.Client, job: str, tag: str) -> None:
    answer = operator.post(f"{JOBS}/{job}/stop", headers={"If-Match": tag})

    assert (answer.status_code, answer.json()["status"]) == (200, "Stopped")


@pytest.mark.parametrize("tag", ['W/"1"', '""', '"2"', '"x"', '"7", "8"', '"-1"'])
def test_a_command_for_another_version_is_refused(operator: httpx.Client, job: str, tag: str) -> None:
    problem(operator.post(f"{JOBS}/{job}/stop", headers={"If-Match": tag}), 412)

    assert operator.get(f"{JOBS}/{job}").json()["status"] == "Pending"


@pytest.mark.parametrize("tag", ["1", '"1', "**", '"1" "2"', "", '*, "1"', "W/1"])
def test_a_tag_that_is_none_is_told_so(operator: httpx.Client, job: str, tag: str) -> None:
    problem(operator.post(f"{JOBS}/{job}/stop", headers={"If-Match": tag}), 400)


def test_a_job_at_rest_that_is_known_is_not_sent_again(operator: httpx.Client, job: str) -> None:
    tag = operator.post(f"{JOBS}/{job}/stop").headers["etag"]

    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = operator.get(f"{JOBS}/{job}", headers={"If-None-Match": known})
        assert (answer.status_code, answer.headers["etag"], answer.content) == (304, tag, b"")


def test_a_job_that_is_live_is_sent_again_for_what_it_waits_for_may_have_changed(
    operator: httpx.Client, job: str
) -> None:
    assert operator.get(f"{JOBS}/{job}", headers={"If-None-Match": '"1"'}).status_code == 200


# -- idempotency


def test_a_start_with_the_same_key_is_the_same_job(operator: httpx.Client) -> None:
    body, headers = {"type": "self-test", "request": {"steps": 2}, "tags": ["a"]}, {"Idempotency-Key": "start-1"}
    first, again = (operator.post(JOBS, json=body, headers=headers) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    "other", [{"request": {"steps": 4}}, {"tags": ["b"]}, {"queue": "night"}, {"priority": 3}], ids=str
)
def test_a_start_with_the_same_key_and_something_else_is_refused(operator: httpx.Client, other: dict[str, Any]) -> None:
    body = {"type": "self-test", "request": {"steps": 2}}
    headers = {"Idempotency-Key": f"start-{sorted(other)}".translate({32: None})}
    operator.post(JOBS, json=body, headers=headers)

    problem(operator.post(JOBS, json={**body, **other}, headers=headers), 409)


def test_a_command_with_the_same_key_is_done_once(operator: httpx.Client, job: str) -> None:
    headers = {"Idempotency-Key": f"stop-{job}"}
    first = operator.post(f"{JOBS}/{job}/stop", headers=headers).json()
    operator.post(f"{JOBS}/{job}/resume")

    again = operator.post(f"{JOBS}/{job}/stop", headers=headers).json()

    assert (first["changed"], again["changed"], again["status"]) == (True, False, "Pending")
    problem(operator.post(f"{JOBS}/{job}/cancel", headers=headers), 409)


# -- methods


def test_head_is_get_without_a_body(operator: httpx.Client, job: str) -> None:
    got, head = operator.get(f"{JOBS}/{job}"), operator.head(f"{JOBS}/{job}")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == got.headers["etag"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", JOBS, {"GET", "HEAD", "POST"}),
        ("OPTIONS", JOBS, {"GET", "HEAD", "POST"}),
        ("PUT", f"{JOBS}/counts", {"GET", "HEAD"}),
        ("GET", f"{JOBS}/01a20fc5-30da-77a1-8a2e-123dba73efb9/stop", {"POST"}),
        ("HEAD", f"{JOBS}/stream", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_a_route_has_not_is_told_which_it_has(
    operator: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = operator.request(method, path)

    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/api/nothing", "/nothing", f"{JOBS}/", "/API", "/docs"])
def test_what_is_not_there_is_a_problem_too(operator: httpx.Client, path: str) -> None:
    problem(operator.get(path), 404)


def test_no_answer_lets_another_site_read_it(operator: httpx.Client) -> None:
    answer = operator.options(JOBS, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})

    assert not [name for name in answer.headers if name.startswith("access-control")]


# -- bodies


def sent(client: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    return client.post(JOBS, content=body, headers={"Content-Type": "application/json", **headers})


DEEP: Final = bodies.DEEPEST - 1  # the body itself is the first level


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"type": "self-test", "request": {"items": NaN}}',
        b'{"type": "self-test", "request": {"items": -Infinity}}',
        b'{"type": "self-test", "request": {"items": 1e999}}',
        b'{"type": "self-test", "request": {"items": ' + b"9" * 5_000 + b"}}",
        b'{"type": "self-test", "reason": "a\\u0000b"}',
        b'{"type": "self-test", "request": {"a\\u0000": 1}}',
        b'{"type": "self-test", "request": {"a": ["\\ud800"]}}',
        b'{"type": "self-test", "tags": ["\\udfff"]}',
        b'{"type": "self-test", "request": {"a": ' + b"[" * DEEP + b"]" * DEEP + b"}}",
        b"[" * 400_000,
        '{"type": "self-test"}'.encode("utf-16"),
        b'{"type": "self-test", "unknown": 1}',
        b'{"type": "self-test", "priority": 1001}',
        b'{"type": "self-test", "queue": "a,b"}',
        b'{"type": 7}',
        json.dumps({"type": "self-test", "tags": ["x"] * 51}).encode(),
        json.dumps({"type": "self-test", "tags": ["x" * 201]}).encode(),
        json.dumps({"type": "self-test", "reason": "x" * 2_001}).encode(),
    ],
    ids=lambda body: repr(body[:60]),
)
def test_a_body_that_is_not_taken_is_told_so(operator: httpx.Client, body: bytes) -> None:
    told = problem(sent(operator, body), 400)

    assert len(json.dumps(told)) < 3_000


def test_texts_of_all_languages_are_kept(operator: httpx.Client, job: str) -> None:
    reason = "Überlauf — 故障 🚀 \x1f \u2028 \ufffe"

    operator.post(f"{JOBS}/{job}/stop", json={"reason": reason})

    assert operator.get(f"{JOBS}/{job}/events").json()["events"][-1]["reason"] == reason


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_has_its_bounds_however_it_is_sent(operator: httpx.Client, chunked: bool) -> None:
    body = b'{"type": "' + b"x" * bodies.MOST_BODY + b'"}'

    def pieces() -> Iterator[bytes]:
        yield from (body[at : at + 50_000] for at in range(0, len(body), 50_000))

    answer = operator.post(JOBS, content=pieces() if chunked else body, headers={"Content-Type": "application/json"})

    problem(answer, 413)


def test_a_body_in_pieces_is_taken(operator: httpx.Client) -> None:
    pieces = iter([b'{"type": ', b'"self-test"}'])

    assert operator.post(JOBS, content=pieces, headers={"Content-Type": "application/json"}).status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_of_another_site_is_no_command(operator: httpx.Client, kind: str) -> None:
    problem(sent(operator, b'{"type": "self-test"}', **{"Content-Type": kind}), 415)


# -- parameters


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=x",
        "status=None",
        "order=up",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "tag=%00",
        "tag=" + "x" * 201,
        "&".join(["tag=x"] * 51),
    ],
)
def test_a_parameter_that_is_not_taken_is_told_so(operator: httpx.Client, query: str) -> None:
    told = problem(operator.get(f"{JOBS}?{query}"), 400)

    assert told["detail"].startswith(f"The parameter {query.partition('=')[0]} takes ")


@pytest.mark.parametrize(
    ("path", "sent", "told"),
    [
        ("/x/stop", {}, "The path's job_id takes a whole job id"),
        ("/JOB/stop", {"headers": {"If-Match": "42"}}, "The header If-Match takes ETags as they were answered"),
        ("/JOB/stop", {"headers": {"Idempotency-Key": "two words"}}, "The header Idempotency-Key takes ASCII"),
        ("/JOB/stop", {"json": {"reason": "x" * 2_001}}, "The body's reason takes at most 2000 characters"),
        ("/JOB/stop", {"json": {"dryRun": "perhaps"}}, "The body's dryRun takes true or false"),
        ("/JOB/stop", {"json": {"colour": 1}}, "The body's colour is nothing that is taken"),
        ("/JOB/stop", {"json": []}, "The body takes an object"),
        ("", {"json": {"request": {}}}, "The body's type is missing"),
        ("", {"json": {"type": "self-test", "queue": "a b"}}, "The body's queue takes 1 to 100 letters"),
        ("", {"json": {"type": "self-test", "tags": ["a", 7]}}, "The body's tags.1 takes a text"),
        ("", {"json": {"type": "self-test", "priority": 1_001}}, "The body's priority takes no number above 1000"),
        ("/bulk", {"json": {"command": "burn", "ids": []}}, "The body's command takes 'stop', 'resume', 'cancel'"),
    ],
)
def test_what_is_not_taken_is_told_in_words(
    operator: httpx.Client, job: str, path: str, sent: dict[str, Any], told: str
) -> None:
    detail = problem(operator.post(JOBS + path.replace("JOB", job), **sent), 400)["detail"]

    assert detail.startswith(told)
    assert "pattern" not in detail


def test_advice_over_http_names_headers_and_no_options(operator: httpx.Client, job: str) -> None:
    body, key = {"type": "self-test", "request": {"steps": 2}}, {"Idempotency-Key": f"once-{job}"}
    operator.post(JOBS, json=body, headers=key)
    reused = problem(operator.post(JOBS, json={**body, "tags": ["a"]}, headers=key), 409)
    changed = problem(operator.post(f"{JOBS}/{job}/stop", headers={"If-Match": '"99"'}), 412)
    of_many = {"command": "stop", "ids": [job], "ifStatusVersions": {job: 99}}
    (in_bulk,) = operator.post(f"{JOBS}/bulk", json=of_many).json()["results"]

    assert "Idempotency-Key" in reused["suggestion"]
    assert "If-Match" in changed["suggestion"]
    assert in_bulk["suggestion"] == changed["suggestion"]


@pytest.mark.parametrize(
    "path", [f"{JOBS}/x", f"{JOBS}/%00", JOBS.replace("Default", "a b"), JOBS.replace("Default", "%2E%2E")]
)
def test_a_name_or_an_id_that_can_be_none_is_told_so(operator: httpx.Client, path: str) -> None:
    problem(operator.get(path), 400)


def test_headers_have_their_bounds(server: Running) -> None:
    with server.asking(**{"X-Long": "x" * MOST_HEADERS}) as client:
        problem(client.get("/api"), 431)


def test_urls_have_their_bounds(operator: httpx.Client) -> None:
    problem(operator.get(f"{JOBS}?tag={'x' * MOST_URL}"), 414)


def test_what_is_no_http_is_refused(server: Running) -> None:
    at = urlsplit(server.url)
    with socket.create_connection((at.hostname, at.port), timeout=60) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")

        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_head_that_does_not_end_is_not_kept(server: Running) -> None:
    at = urlsplit(server.url)

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: ")
        while True:
            connection.sendall(b"x" * 65_536)

    with (
        socket.create_connection((at.hostname, at.port), timeout=60) as connection,
        pytest.raises(OSError, match=r"reset|Broken|aborted"),
    ):
        endless(connection)
