"""Who may ask what: every route, with every kind of caller, cell by cell."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from milepost.infrastructure.event_store.tokens import Role
from milepost.interfaces.http.app import routes
from tests.interfaces.furniture import Furniture
from tests.interfaces.http.served import MINE, THEIRS, Running, running
from tests.interfaces.http.watched import OBSERVERS, furnish

JOBS: Final = "/api/event-stores/{event_store}/namespaces/{namespace}/jobs"
JOB: Final = f"{JOBS}/{{job_id}}"
SPACE: Final = "/api/event-stores/{event_store}/namespaces/{namespace}"
OBSERVER: Final = f"{SPACE}/observers/{{name}}"
FAILED: Final = f"{SPACE}/failed-partitions/{{observer}}/{{partition}}"
STORE: Final = "/api/event-stores/{event_store}"

# What is needed: nothing, any token, a role in the namespace, or an admin of all namespaces.
ANYBODY, CALLER, VIEWER, OPERATOR, ADMIN, OVERSEER = "anybody", "caller", "viewer", "operator", "admin", "overseer"
TABLE: Final[dict[tuple[str, str], str]] = {
    ("GET", "/healthz"): ANYBODY,
    ("GET", "/readyz"): ANYBODY,
    ("GET", "/metrics"): OVERSEER,
    ("GET", "/api"): CALLER,
    ("GET", "/"): ANYBODY,
    ("GET", "/page/{name}"): ANYBODY,
    ("GET", "/api/state-machine"): CALLER,
    ("GET", f"{STORE}/types"): CALLER,
    ("GET", f"{STORE}/types/{{name}}"): CALLER,
    ("GET", f"{STORE}/workers"): CALLER,
    ("GET", f"{STORE}/namespaces"): CALLER,
    ("GET", f"{STORE}/check"): CALLER,
    ("GET", JOBS): VIEWER,
    ("POST", JOBS): OPERATOR,
    ("GET", f"{JOBS}/counts"): VIEWER,
    ("GET", f"{JOBS}/ids"): VIEWER,
    ("GET", f"{JOBS}/resolve"): VIEWER,
    ("GET", f"{JOBS}/beginning"): VIEWER,
    ("GET", f"{JOBS}/shortened"): VIEWER,
    ("POST", f"{JOBS}/bulk"): OPERATOR,
    ("POST", f"{JOBS}/prune"): ADMIN,
    ("GET", f"{JOBS}/stream"): VIEWER,
    ("GET", JOB): VIEWER,
    ("GET", f"{JOB}/events"): VIEWER,
    ("GET", f"{JOB}/timeline"): VIEWER,
    ("GET", f"{JOB}/why"): VIEWER,
    ("GET", f"{JOB}/stream"): VIEWER,
    ("GET", f"{JOB}/diff"): VIEWER,
    ("POST", f"{JOB}/stop"): OPERATOR,
    ("POST", f"{JOB}/resume"): OPERATOR,
    ("POST", f"{JOB}/cancel"): OPERATOR,
    ("POST", f"{JOB}/remove"): OPERATOR,
    ("GET", f"{SPACE}/observers"): VIEWER,
    ("GET", f"{SPACE}/observers/stream"): VIEWER,
    ("GET", OBSERVER): VIEWER,
    ("GET", f"{OBSERVER}/history"): VIEWER,
    ("POST", f"{OBSERVER}/pause"): OPERATOR,
    ("POST", f"{OBSERVER}/unpause"): OPERATOR,
    ("POST", f"{OBSERVER}/replay"): OPERATOR,
    ("POST", f"{OBSERVER}/catch-up"): OPERATOR,
    ("POST", f"{OBSERVER}/rebuild-index"): OPERATOR,
    ("GET", f"{SPACE}/failed-partitions"): VIEWER,
    ("GET", FAILED): VIEWER,
    ("POST", f"{FAILED}/retry"): OPERATOR,
    ("POST", f"{FAILED}/skip"): OPERATOR,
    ("GET", f"{SPACE}/diagnosis"): VIEWER,
}
BODIES: Final[dict[tuple[str, str], Any]] = {  # of those that need one
    ("POST", JOBS): {"type": "self-test"},
    ("POST", f"{JOBS}/bulk"): {"command": "stop", "ids": ["01234567-89ab-7cde-8f01-23456789abcd"]},
    ("POST", f"{JOBS}/prune"): {"before": "2026-01-01T00:00:00Z"},
    ("POST", f"{FAILED}/skip"): {"reason": "why"},
}

QUERIES: Final[dict[str, tuple[str, str]]] = {  # of those that must be asked with one, a job or a moment
    f"{JOBS}/resolve": ("id", "{job}"),
    f"{JOBS}/shortened": ("id", "{job}"),
    f"{JOB}/diff": ("from", "1"),
}

ALLOWED, NO_TOKEN, NOT_ALLOWED, NOT_FOUND = "allowed", 401, 403, 404
NOBODY: Final = ("no token", "an invented token", "a revoked token", "an expired token", "no bearer")
ROLES: Final = {
    "a viewer": Role.VIEWER,
    "an operator": Role.OPERATOR,
    "an admin": Role.ADMIN,
    "a viewer of it": Role.VIEWER,
    "an operator of it": Role.OPERATOR,
    "an admin of it": Role.ADMIN,
    "a viewer elsewhere": Role.VIEWER,
    "an operator elsewhere": Role.OPERATOR,
    "an admin elsewhere": Role.ADMIN,
}
CALLERS: Final = (*NOBODY, *ROLES)


def expected(needed: str, caller: str) -> str | int:
    """The cell of the table."""
    if needed == ANYBODY:
        return ALLOWED
    if caller in NOBODY:
        return NO_TOKEN
    role, elsewhere, of_all = ROLES[caller], caller.endswith("elsewhere"), len(caller.split()) == 2
    match needed:
        case "caller":
            return ALLOWED
        case "overseer":
            return ALLOWED if role is Role.ADMIN and of_all else NOT_ALLOWED
        case "viewer":
            return NOT_FOUND if elsewhere else ALLOWED
        case "admin":
            return NOT_FOUND if elsewhere else ALLOWED if role >= Role.ADMIN else NOT_ALLOWED
        case _:
            return NOT_FOUND if elsewhere else ALLOWED if role >= Role.OPERATOR else NOT_ALLOWED


class There(NamedTuple):
    """What is asked for."""

    url: str
    job: str
    partition: str


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> There:
    """An event store with a job and an observer, one of whose partitions has failed."""
    url = f"sqlite:///{tmp_path_factory.mktemp('roles') / 'jobs.sqlite'}"
    found = Furniture(url)
    made = found.completed()
    found.database.close()
    return There(url, str(made.id), furnish(url, MINE))


@pytest.fixture(scope="module")
def server(job: There) -> Iterator[Running]:
    with running(job.url, MILEPOST_OBSERVERS=OBSERVERS) as found:
        yield found


@pytest.fixture(scope="module")
def clients(server: Running) -> Iterator[dict[str, httpx.Client]]:
    secrets: dict[str, str] = {}
    for name, role in ROLES.items():
        namespaces = (MINE,) if name.endswith("of it") else (THEIRS,) if name.endswith("elsewhere") else ()
        secrets[name] = server.token(name.replace(" ", "-"), role, *namespaces)
    secrets["a revoked token"] = server.token("revoked", Role.ADMIN)
    server.app.tokens.revoke("revoked")
    past = datetime.now(UTC) - timedelta(seconds=1)
    secrets["an expired token"] = server.token("expired", Role.ADMIN, expires_at=past)
    secrets["an invented token"] = "mp_" + "x" * 43
    with ExitStack() as stack:
        found = {name: stack.enter_context(server.asking(secret)) for name, secret in secrets.items()}
        found["no token"] = stack.enter_context(server.asking())
        found["no bearer"] = stack.enter_context(server.asking(Authorization=f"Basic {secrets['an admin']}"))
        yield found


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    assert {(method, route.path_format) for route in routes() for method in route.methods or ()} == set(TABLE)


def answer(client: httpx.Client, method: str, path: str, there: There) -> httpx.Response:
    """The head of it, and the whole where it is an error: a stream has no end."""
    name = "page.css" if path.startswith("/page") else "balances" if path.startswith(OBSERVER) else "self-test"
    at = path.format(
        event_store="default",
        namespace=MINE,
        job_id=there.job,
        name=name,
        observer="balances",
        partition=there.partition,
    )
    query = {name: value.format(job=there.job) for name, value in [QUERIES[path]]} if path in QUERIES else {}
    with client.stream(method, at, params=query, json=BODIES.get((method, path))) as found:
        if found.status_code >= 400:
            found.read()
        return found


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path"), TABLE)
def test_each_caller_may_what_the_table_says(
    clients: dict[str, httpx.Client], job: There, method: str, path: str, caller: str
) -> None:
    found = answer(clients[caller], method, path, job)

    wanted = expected(TABLE[method, path], caller)
    if wanted == ALLOWED:
        # What the state of the job refuses was not refused to this caller.
        assert found.status_code < 400 or found.status_code == 409
    else:
        assert found.status_code == wanted
        assert found.json()["status"] == wanted
        assert found.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in found.headers) == (found.status_code == NO_TOKEN)


@pytest.mark.parametrize(("method", "path"), [each for each in TABLE if "{event_store}" in each[1]])
def test_an_event_store_that_is_not_served_is_told_of_only_to_those_with_a_token(
    clients: dict[str, httpx.Client], job: There, method: str, path: str
) -> None:
    elsewhere = path.replace("{event_store}", "elsewhere")

    assert answer(clients["an admin"], method, elsewhere, job).status_code == NOT_FOUND
    assert answer(clients["no token"], method, elsewhere, job).status_code == NO_TOKEN


def test_where_it_is_open_whoever_is_on_this_machine_may_all(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    partition = furnish(url, MINE)
    with (
        running(url, open_here=True, MILEPOST_OBSERVERS=OBSERVERS) as server,
        server.asking() as client,
    ):
        started = client.post(JOBS.format(event_store="default", namespace=MINE), json={"type": "self-test"}).json()
        for method, path in TABLE:
            there = There(url, started["id"], partition)
            assert answer(client, method, path, there).status_code in (200, 201, 409), path


def test_where_it_is_open_a_token_that_does_not_hold_opens_nothing(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'jobs.sqlite'}", open_here=True) as server:
        with server.asking("mp_wrong") as client:
            assert client.get("/api").status_code == NO_TOKEN
        with server.asking(server.token("bob", Role.VIEWER)) as client:
            assert client.get("/api").json()["caller"]["name"] == "bob"
