"""The page about HTTP: its routes are the routes, its examples run, and its figures are those of the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from milepost.interfaces.asked_texts import DEEPEST_REQUEST
from milepost.interfaces.http import bodies, guard, problems
from milepost.interfaces.http.app import routes
from milepost.interfaces.http.job_routes import MOST_EVENTS, MOST_IDS, MOST_JOBS, MOST_STEPS
from milepost.interfaces.http.limits import Limits
from milepost.interfaces.http.open_streams import MOST_STREAMS, MOST_STREAMS_OF_ONE
from milepost.interfaces.http.server import IDLE_SECONDS, MOST_CONNECTIONS
from tests.interfaces.http.served import MINE, jobs_of, running
from tests.interfaces.http.test_roles import TABLE

PAGE: Final = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
NEEDS: Final = {
    "nothing": "anybody",
    "a token": "caller",
    "viewer": "viewer",
    "operator": "operator",
    "admin": "admin",
    "admin of all namespaces": "overseer",
}


def test_the_page_lists_every_route_and_what_it_needs() -> None:
    rows = re.findall(r"^\| `(GET|POST) (\S+)`((?:, `\S+`)*) \| ([a-z ]+) \|", PAGE, re.MULTILINE)
    told = {
        (method, whole(each)): NEEDS[needed]
        for method, path, more, needed in rows
        for each in (path, *(f"{path.rpartition('/')[0]}/{other}" for other in re.findall(r"…/([a-z-]+)`", more)))
    }

    assert told == TABLE


def whole(path: str) -> str:
    store = "/api/event-stores/{event_store}"
    path = path.replace("…/namespaces", f"{store}/namespaces")
    return re.sub("^…/", f"{store}/namespaces/{{namespace}}/", path)


def test_the_page_lists_every_word_of_an_error() -> None:
    told = set(re.findall(r"^\| [0-9, ]+ \| `(\w+)` \|", PAGE, re.MULTILINE))

    assert told == set(problems.TITLES) - {"timeout", "interrupted"}  # which are of the command line


def test_the_bounds_on_the_page_are_those_of_the_code() -> None:
    limits, bounds = Limits(), PAGE.partition("## Bounds")[2].partition("## ")[0]
    figures = [
        (bodies.MOST_BODY, bodies.DEEPEST, DEEPEST_REQUEST, int(bodies.SECONDS)),
        (guard.MOST_HEADERS, guard.MOST_URL),
        (MOST_JOBS, MOST_STEPS),
        (int(limits.requests_per_second),),
        (int(limits.failures_per_second),),
        (MOST_STREAMS_OF_ONE, MOST_STREAMS),
        (MOST_CONNECTIONS, IDLE_SECONDS),
    ]
    rows = re.findall(r"^\| [^|]+ \| ([^|]*\d[^|]*) \|", bounds, re.MULTILINE)

    assert [tuple(int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?<!,)", row)) for row in rows] == figures
    assert (MOST_EVENTS, MOST_IDS) == (MOST_JOBS, MOST_STEPS)


def examples() -> Iterator[list[str]]:
    block = next(each for each in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "curl" in each)
    for line in block.splitlines():
        if line.startswith("curl "):
            yield shlex.split(line)[1:]


def test_the_examples_on_the_page_run(tmp_path: Path) -> None:
    job_id = "01a20fc5-30da-77a1-8a2e-123dba73efb9"
    with running(f"sqlite:///{tmp_path / 'jobs.sqlite'}", open_here=True) as server, server.asking() as client:
        for words in examples():
            answer = asked(client, words, job_id)
            assert answer.status_code in (200, 201), (words, answer.text)
            job_id = answer.json().get("id", job_id)


def asked(client: httpx.Client, words: list[str], job_id: str) -> httpx.Response:
    method, url, body = "GET", "", None
    headers: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        match word:
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest)
            case _:
                url = word
    at = url.replace("$jobs", jobs_of(MINE)).replace("$id", job_id)
    return client.request(method, at, headers=headers, content=body)


def test_every_route_declares_what_it_answers_with() -> None:
    for route in routes():
        streams = route.path.endswith("/stream")
        text = route.path in ("/healthz", "/metrics", "/", "/page/{name}")
        assert streams or text or 200 in route.responses, route.path


@pytest.mark.parametrize("name", ["milepost_jobs", "milepost_workers_alive", "milepost_http_open_streams"])
def test_the_figures_on_the_page_are_there(name: str, tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'jobs.sqlite'}", open_here=True) as server, server.asking() as client:
        assert name in PAGE
        assert f"# TYPE {name} gauge" in client.get("/metrics").text
