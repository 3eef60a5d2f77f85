"""`milepost serve` as a process: how it starts, what it refuses, how it ends."""

import json
import os
import re
import select
import signal
import socket
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

import httpx
import pytest

from tests.interfaces.conftest import EXECUTABLE, TIME_OUT, Milepost

SERVING: Final = re.compile(r"at (http://\S+);")
JOBS: Final = "/api/event-stores/default/namespaces/Default/jobs"


@contextmanager
def serving(environment: Mapping[str, str], *options: str) -> Generator[tuple["subprocess.Popen[str]", str]]:
    """The process, and where it listens: it says so once it does."""
    process = subprocess.Popen(
        [EXECUTABLE, "serve", "--port", "0", *options],
        env=dict(environment),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stderr is not None
        ready, _, _ = select.select([process.stderr], [], [], TIME_OUT)
        assert ready
        found = next(filter(None, map(SERVING.search, process.stderr)), None)  # not its first line: it made a store
        assert found
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_hands_its_job_back_and_ends_with_success(
    environment: Mapping[str, str], number: signal.Signals
) -> None:
    with serving(environment, "--slots", "1") as (process, url), httpx.Client(base_url=url, trust_env=False) as client:
        body = {"type": "self-test", "request": {"steps": 1, "items": 100_000, "seconds": 10_000}}
        job = client.post(JOBS, json=body).json()["id"]
        while client.get(f"{JOBS}/{job}").json()["progress"]["runningSteps"] == 0:
            pass

        process.send_signal(number)

        assert process.wait(TIME_OUT) == 0
    with serving(environment, "--no-worker") as (process, url), httpx.Client(base_url=url, trust_env=False) as client:
        found = client.get(f"{JOBS}/{job}").json()
        assert (found["status"], found["worker"]) in {("Running", None), ("Pending", None)}


def test_a_token_is_asked_for_where_it_is_wanted(environment: Mapping[str, str], call: Milepost) -> None:
    secret = call("tokens", "create", "alice", "--role", "viewer", "-q").out.strip()
    with serving(environment, "--no-worker", "--require-tokens") as (_, url):
        assert httpx.get(f"{url}/api", trust_env=False).status_code == 401
        told = httpx.get(f"{url}/api", headers={"Authorization": f"Bearer {secret}"}, trust_env=False).json()
        assert told["caller"] == {"name": "alice", "role": "viewer", "namespaces": None}


@pytest.mark.parametrize("options", [("--host", "0.0.0.0"), ("--require-tokens",)])
def test_it_does_not_start_where_nobody_could_ask(call: Milepost, options: tuple[str, ...]) -> None:
    done = call("serve", "--port", "0", "--no-worker", *options, "-o", "json")

    assert (done.code, done.error["error"]) == (5, "validation_error")
    assert "milepost tokens create" in done.error["suggestion"]


def test_a_revoked_token_is_none_to_start_with(call: Milepost) -> None:
    call("tokens", "create", "alice", "--role", "admin")
    call("tokens", "revoke", "alice")

    assert call("serve", "--port", "0", "--no-worker", "--host", "0.0.0.0").code == 5


def test_a_port_in_use_is_told_so(call: Milepost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = call("serve", "--no-worker", "--port", str(other.getsockname()[1]), "-o", "json")

    assert done.code == 5
    assert "Address already in use" in done.error["message"]


def test_an_address_that_is_not_here_is_told_so(call: Milepost) -> None:
    done = call("serve", "--no-worker", "--host", "nowhere.invalid", "-o", "json")

    assert done.code == 5
    assert "nowhere.invalid" in done.error["message"]


def test_on_another_address_it_serves_those_with_a_token(environment: Mapping[str, str], call: Milepost) -> None:
    call("tokens", "create", "alice", "--role", "admin")
    with serving(environment, "--no-worker", "--host", "0.0.0.0") as (_, url):
        at = url.replace("0.0.0.0", "127.0.0.1")
        answer = httpx.get(f"{at}/api", trust_env=False)
        assert (answer.status_code, json.loads(answer.text)["error"]) == (401, "not_authenticated")
