"""`milepost webhooks`: what is asked, shown, and never shown."""

import json
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
from standardwebhooks import Webhook as Verifier

from milepost.infrastructure.event_store.occasions import OCCASIONS
from milepost.infrastructure.settings import resolve
from milepost.infrastructure.webhooks.signing import new_secret
from milepost.interfaces.bootstrap import Application
from milepost.interfaces.cli import completion
from milepost.interfaces.schemas import schema_of
from milepost.interfaces.webhook_service import deliveries
from tests.infrastructure.webhooks.receiver import receiving
from tests.interfaces.conftest import EXECUTABLE, TIME_OUT, Milepost

URL = "https://hooks.example.org/milepost"


def test_a_webhook_is_added_listed_shown_and_removed(call: Milepost) -> None:
    added = call("webhooks", "add", URL, "--on", "completed,failed", "--on", "failed, stopped", "-o", "table")
    assert added.code == 0, added.err
    assert "are completed, failed, stopped" in added.out
    assert re.search(r"whsec_[A-Za-z0-9+/]{43}=\n", added.out)

    (listed,) = call("webhooks", "list", "-o", "json").json
    shown = call("webhooks", "show", "hooks.example.org", "-o", "json").json
    assert listed == shown
    jsonschema.validate(shown, schema_of("webhook"))
    assert (shown["on"], shown["namespace"], shown["state"]) == (
        ["completed", "failed", "stopped"],
        "Default",
        "active",
    )
    assert shown["secret"] is None
    assert "active" in call("webhooks", "show", "hooks.example.org", "-o", "table").out

    assert call("webhooks", "remove", "hooks.example.org").code == 5  # nobody can confirm it
    assert call("webhooks", "remove", "hooks.example.org", "--yes").code == 0
    assert call("webhooks", "list", "-o", "json").json == []


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("http://example.org/", "--on", "failed"), 5, "everybody on the way"),
        (("https://ann:pw@example.org/", "--on", "failed"), 5, "name or a password"),
        (("ftp://example.org/", "--on", "failed"), 5, "https://HOST/PATH"),
        ((URL, "--on", "exploded"), 5, "'exploded'"),
        ((URL, "--on", ","), 5, "--on is empty"),
        ((URL,), 5, "--on"),
        ((URL, "--on", "failed", "--name", "-x y"), 5, "cannot be the name of a webhook"),
        ((URL, "--on", "failed", "--secret-file", "none"), 5, "cannot be read"),
        ((URL, "--on", "failed", "-q"), 5, "nobody would see the secret"),
    ],
)
def test_what_cannot_be_added_is_refused_with_what_to_do(
    asked: tuple[str, ...], code: int, said: str, call: Milepost
) -> None:
    done = call("webhooks", "add", *asked)

    assert done.code == code
    assert said in done.err
    assert call("event-stores", "create").code == 0
    assert call("webhooks", "list", "-o", "json").json == []


@pytest.mark.parametrize("verb", ["show", "test", "pause", "resume", "remove"])
def test_a_webhook_that_is_not_there_is_not_found(verb: str, call: Milepost) -> None:
    call("event-stores", "create")

    assert call("webhooks", verb, "nobody", "--yes").code == 1


def test_a_name_is_given_once(call: Milepost) -> None:
    call("webhooks", "add", URL, "--on", "failed")

    again = call("webhooks", "add", URL, "--on", "failed")

    assert (again.code, "already" in again.err) == (5, True)
    assert call("webhooks", "add", URL, "--on", "failed", "--name", "other").code == 0


def test_a_secret_of_ones_own_is_read_from_a_file_or_standard_input_and_never_shown(
    call: Milepost, milepost: Milepost, tmp_path: Path
) -> None:
    secret = new_secret()
    (tmp_path / "secret").write_text(secret + "\n")

    one = call("webhooks", "add", URL, "--on", "failed", "--secret-file", str(tmp_path / "secret"), "-o", "json")
    other = milepost("webhooks", "add", URL, "--on", "failed", "--name", "b", "--secret-file", "-", "-q", input=secret)

    assert (one.code, other.code, other.out) == (0, 0, "b\n")
    everything = one.out + one.err + call("webhooks", "list", "-o", "json").out + call("webhooks", "show", "b").out
    assert secret not in everything
    (tmp_path / "secret").write_text("too short")
    assert call("webhooks", "add", URL, "--on", "failed", "--secret-file", str(tmp_path / "secret")).code == 5


def test_secrets_among_the_parameters_of_a_url_are_masked(call: Milepost) -> None:
    added = call("webhooks", "add", URL + "?token=abc&x=1", "--on", "failed", "--all-namespaces", "--type", "b")

    assert "abc" not in added.out + added.err + call("webhooks", "list", "-o", "csv").out
    assert "token=***&x=1" in added.out
    (listed,) = call("webhooks", "list", "-o", "json").json
    assert (listed["namespace"], listed["types"]) == (None, ["b"])


def test_a_file_that_others_may_read_is_warned_of(call: Milepost, tmp_path: Path) -> None:
    call("event-stores", "create")
    file = tmp_path / "jobs.sqlite"
    file.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IROTH)
    assert "chmod 600" in call("webhooks", "add", URL, "--on", "failed", "--name", "a").err

    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert "chmod" not in call("webhooks", "add", URL, "--on", "failed", "--name", "b").err


def test_a_ping_is_signed_and_its_answer_told(call: Milepost, tmp_path: Path) -> None:
    secret = new_secret()
    (tmp_path / "secret").write_text(secret)
    with receiving(204, 500) as receiver:
        call(
            "webhooks", "add", receiver.url, "--on", "failed", "--name", "w", "--secret-file", str(tmp_path / "secret")
        )

        (good,), bad = call("webhooks", "test", "w", "-o", "json").json, call("webhooks", "test", "w", "-o", "table")

        jsonschema.validate(good, schema_of("webhook-ping"))
        assert good["accepted"]
        assert bad.code == 2
        assert "did not accept a ping: answered 500: said" in bad.out
        for each in receiver.requests:
            told = Verifier(secret).verify(each.body, each.headers)
            jsonschema.validate(told, schema_of("webhook-message"))
            assert told["type"] == "ping"
    assert "no answer" in call("webhooks", "test", "w", "-o", "table").out


def test_what_waits_is_counted_and_can_be_left_out(call: Milepost) -> None:
    call("webhooks", "add", URL, "--on", "started", "--name", "w")
    call("webhooks", "pause", "w")
    call("jobs", "start", "self-test")
    shown = call("webhooks", "show", "w", "-o", "json").json
    assert (shown["state"], shown["waiting"]) == ("paused", 1)
    assert shown["paused"].startswith("by ")

    assert call("webhooks", "resume", "w", "--skip", "--from-now", "--yes").code == 5
    assert call("webhooks", "resume", "w", "--skip", "--yes").code == 6  # none of them has failed
    assert call("webhooks", "resume", "w", "--from-now").code == 5  # nobody can confirm it
    assert "0 events wait" in call("webhooks", "resume", "w", "--from-now", "--yes", "-o", "table").out


def test_the_event_that_a_receiver_refuses_can_be_left_out(call: Milepost) -> None:
    with receiving(400) as receiver:
        call("webhooks", "add", receiver.url, "--on", "started", "--name", "w")
        for _ in range(2):
            call("jobs", "start", "self-test")
        app = Application(resolve())
        with deliveries(app) as telling:
            assert telling.settle(TIME_OUT)
            shown = call("webhooks", "show", "w", "-o", "json").json
            assert (shown["state"], shown["failures"], shown["lastFailureMessage"]) == (
                "retrying",
                1,
                "answered 400: said",
            )
            assert call("webhooks", "resume", "w", "--skip", "--yes").code == 0
            receiver.wait_until(lambda: len(receiver.requests) == 2)
        app.close()
    assert len({each.id for each in receiver.requests}) == 2


def test_a_worker_that_ends_when_it_is_idle_has_told_what_it_did(call: Milepost, milepost: Milepost) -> None:
    with receiving() as receiver:
        call("webhooks", "add", receiver.url, "--on", "started,running,completed", "--name", "w")
        call("jobs", "start", "self-test", "--set", "steps=1", "--set", "seconds=0")

        assert milepost("worker", "--exit-when-idle").code == 0

        assert [json.loads(each.body)["type"] for each in receiver.requests] == [
            "job.started",
            "job.running",
            "job.completed",
        ]


def test_a_server_without_a_worker_delivers_too(environment: Mapping[str, str], call: Milepost) -> None:
    with receiving() as receiver:
        call("webhooks", "add", receiver.url, "--on", "started", "--name", "w")
        command = [str(EXECUTABLE), "serve", "--no-worker", "--port", "0"]
        server = subprocess.Popen(command, env=dict(environment), stderr=subprocess.DEVNULL)
        try:
            call("jobs", "start", "self-test")
            receiver.wait_until(lambda: len(receiver.requests) == 1)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(TIME_OUT)


def test_every_event_that_can_be_told_stands_in_the_help_and_is_offered(milepost: Milepost) -> None:
    told = milepost("webhooks", "add", "--help", COLUMNS="300", TERMINAL_WIDTH="300").out

    assert [name for name in OCCASIONS if name not in told] == []
    assert [name for name, _ in completion.occasions("")] == list(OCCASIONS)
    assert [name for name, _ in completion.occasions("comp")] == ["completed", "completed-with-failures"]


def test_webhooks_are_offered_by_name(call: Milepost) -> None:
    import typer

    from milepost.interfaces.cli.app import app as program

    call("webhooks", "add", URL, "--on", "failed", "--name", "one")
    context = typer.Context(typer.main.get_command(program))

    assert completion.webhooks(context, "o") == [("one", "active")]
    assert completion.webhooks(context, "x") == []


PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")


def test_the_page_has_the_table_of_what_can_be_told() -> None:
    rows = [f"| `{name}` | `{known.event.__name__}` | {known.meaning} |" for name, known in OCCASIONS.items()]

    assert "\n".join(["|---|---|---|", *rows, ""]) in PAGE


def test_the_receiver_of_the_page_runs_as_it_stands(
    environment: Mapping[str, str], call: Milepost, tmp_path: Path
) -> None:
    found = re.search(r"<!-- receiver -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    secret, port = new_secret(), free_port()
    (tmp_path / "secret").write_text(secret)
    call("webhooks", "add", f"http://127.0.0.1:{port}/", "--on", "started", "--secret-file", f"{tmp_path}/secret")
    call("webhooks", "add", f"http://127.0.0.1:{port}/", "--on", "started", "--name", "unknown")
    receiver = subprocess.Popen(
        [sys.executable, "-c", found[1]],
        env={**environment, "WEBHOOK_SECRET": secret, "PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        while call("webhooks", "test", "127.0.0.1").code != 0:
            assert receiver.poll() is None
        assert "answered 401" in call("webhooks", "test", "unknown", "-o", "table").out
        job = call("jobs", "start", "self-test", "-q").out.strip()
        app = Application(resolve())
        with deliveries(app) as telling:
            assert telling.settle(TIME_OUT)
        app.close()
        assert receiver.stdout is not None
        assert [receiver.stdout.readline() for _ in range(2)] == ["ping None None\n", f"job.started {job} Pending\n"]
    finally:
        receiver.kill()
        receiver.communicate()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
