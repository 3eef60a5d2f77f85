"""The command line asks a server: which one, with which token, and what is said where that cannot be."""

import http.server
import io
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from rich.console import Console
from rich.live import Live

from milepost.client import Client, JobFilter
from milepost.domain.commands import ResumeJob, StopJob
from milepost.infrastructure.credentials import credential
from milepost.infrastructure.event_store.tokens import Role, Tokens
from milepost.infrastructure.server_url import ServerUrl, ServerUrlInvalid
from milepost.infrastructure.settings import Chosen, SettingsInvalid, resolve
from milepost.interfaces import remote_service
from milepost.interfaces.cli.jobs.board.keyboard import Keyboard
from milepost.interfaces.cli.jobs.board.screen import Screen
from milepost.interfaces.cli.jobs.waiting import looks_at
from milepost.interfaces.cli.session import Globals, Session
from milepost.interfaces.client import calls
from milepost.interfaces.client.line import Line
from milepost.interfaces.error_mapping import SERVER_ERROR, Told
from milepost.interfaces.http import open_streams
from milepost.interfaces.job_documents import JobDocument
from milepost.interfaces.remote_changes import Changes
from milepost.interfaces.remote_service import RemoteService
from milepost.interfaces.service import NO_STEPS, StepsAsked
from tests.interfaces.conftest import EXECUTABLE, TIME_OUT, Milepost
from tests.interfaces.furniture import Furniture
from tests.interfaces.here_only import HERE_ONLY, HERE_ONLY_MODULES
from tests.interfaces.server import Server
from tests.interfaces.wire import Wire

pytestmark = pytest.mark.usefixtures("environment")

PAGE: Final = Path(__file__).parents[2] / "docs" / "remote.md"
NOBODY: Final = "http://127.0.0.1:9"  # where nothing listens


@pytest.fixture
def store_kind() -> str:
    """A file; the commands of this module say themselves that a server is to be asked."""
    return "file"


@pytest.fixture
def server(environment: Mapping[str, str], a_server: Server) -> Iterator[Server]:
    """It serves the event store of the environment."""
    a_server.serve(resolve())
    yield a_server
    a_server.leave()


@pytest.fixture
def guarded(environment: Mapping[str, str], a_server: Server) -> Iterator[Server]:
    """As `server`, and asks everybody for a token."""
    a_server.serve(resolve(), open_to_all_here=False)
    yield a_server
    a_server.leave()


# -- which server


def test_option_beats_environment_beats_context(call: Milepost, monkeypatch: pytest.MonkeyPatch) -> None:
    call("context", "create", "far", "--server", "https://context")
    monkeypatch.delenv("MILEPOST_URL")
    assert resolve().server == Chosen("https://context", "context far")
    monkeypatch.setenv("MILEPOST_SERVER", "https://environment/")
    assert resolve().server == Chosen("https://environment", "environment MILEPOST_SERVER")
    assert resolve(server="https://option").server == Chosen("https://option", "option --server")


def test_a_database_that_the_environment_names_is_nearer_than_a_contexts_server(call: Milepost) -> None:
    call("context", "create", "far", "--server", "https://context")

    assert resolve().server is None


def test_a_server_knows_event_stores_that_have_no_name_here() -> None:
    assert resolve(event_store="theirs", server=NOBODY).event_store.value == "theirs"


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:mp_secret@host",
        "https://mp_secret@host",
        "https://host/?token=mp_secret",
        "https://host/#mp_secret",
        "ann:mp_secret@host",
        "https:/ann:mp_secret@host",
        "https://[mp_secret@host",
        "https://host:mp_secret",
        "http://a..b.localhost",
        "http://h\u00f6st",
        "http://a_b",
        "http://[::g]",
        "127.0.0.1:8400",
        "ftp://host",
        "http://",
        "http://[host",
        "http://host:port",
        "http://ho st",
        "http://host/\x1b[31m",
    ],
)
def test_a_url_that_is_none_or_holds_a_secret_is_refused_and_the_secret_is_not_repeated(
    url: str, call: Milepost
) -> None:
    done = call("jobs", "list", "--server", url, "-o", "json")

    assert (done.code, done.error["error"]) == (5, "validation_error")
    assert "mp_secret" not in done.err
    with pytest.raises(ServerUrlInvalid):
        ServerUrl.parse(url)


@pytest.mark.parametrize(
    "line",
    [("--server", "", "jobs", "list"), ("jobs", "list", "--server", ""), ("context", "create", "far", "--server", "")],
)
def test_an_empty_server_is_refused_and_does_not_mean_the_event_store_here(
    line: tuple[str, ...], call: Milepost
) -> None:
    done = call(*line, "-o", "json")

    assert (done.code, done.out) == (5, "")
    assert "is empty" in done.error["message"]


def test_an_empty_server_in_the_environment_is_none(call: Milepost, monkeypatch: pytest.MonkeyPatch) -> None:
    call("jobs", "start", "self-test")
    monkeypatch.setenv("MILEPOST_SERVER", "")

    assert call("jobs", "list").code == 0


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.9", "http://[::1]:8400/x/", "http://LOCALHOST"])
def test_what_is_sent_to_loopback_does_not_leave_the_machine(url: str) -> None:
    assert ServerUrl.parse(url).is_loopback
    elsewhere = url.lower().replace("local", "global").replace("127", "128").replace("::1", "::2")
    assert not ServerUrl.parse(elsewhere).is_loopback


@pytest.mark.parametrize("host", ["a.localhost", "localhost.example.com", "127.0.0.1.example.com", "localhost."])
def test_a_name_that_only_looks_like_this_machine_is_another(host: str) -> None:
    assert not ServerUrl.parse(f"http://{host}").is_loopback


def test_debug_says_which_server_and_whose_token_and_never_the_token(
    call: Milepost, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_TOKEN", "mp_secret")

    done = call("jobs", "list", "--server", server.url, "--debug")

    assert f"server: {server.url} (option --server)" in done.err
    assert "token: environment MILEPOST_TOKEN" in done.err
    assert "mp_secret" not in done.err


# -- the token


def test_a_contexts_token_is_shown_to_its_own_server_and_to_no_other(
    call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("context", "create", "far", "--server", "https://far", "--token-file", "token")
    monkeypatch.delenv("MILEPOST_URL")

    assert resolve().token_file == Chosen(str(Path.cwd() / "token"), "context far")
    assert resolve(server="https://far/").token_file is not None
    assert resolve(server="https://elsewhere").token_file is None


def test_a_token_comes_from_the_environment_before_a_file() -> None:
    Path("token").write_text("mp_of_the_file\n")
    Path("token").chmod(0o600)
    file = Chosen("token", "context far")

    found = [credential(file, {"MILEPOST_TOKEN": "mp_of_the_environment"}), credential(file, {}), credential(None, {})]

    assert [each.token if each else None for each in found] == ["mp_of_the_environment", "mp_of_the_file", None]
    assert "mp_of_the" not in repr(found)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_token_file_that_others_may_read_is_refused(
    mode: int, call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("token").write_text("mp_secret")
    Path("token").chmod(mode)
    monkeypatch.setenv("MILEPOST_TOKEN_FILE", "token")

    done = call("jobs", "list", "--server", NOBODY, "-o", "json")

    assert (done.code, done.error["error"]) == (5, "validation_error")
    assert "chmod 600 token" in done.error["suggestion"]
    assert "mp_secret" not in done.err


def test_a_token_of_the_environment_that_can_be_none_is_malformed_and_not_missing(
    call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_TOKEN", "mp_two words")

    done = call("jobs", "list", "--server", NOBODY, "-o", "json")

    assert (done.code, done.error["message"]) == (5, "The token in MILEPOST_TOKEN is malformed")
    assert "mp_two" not in done.err


@pytest.mark.parametrize("text", ["", "two words", "mp_\x00", "mp_ü"])
def test_a_token_file_without_a_token_is_refused(text: str) -> None:
    Path("token").write_text(text)
    Path("token").chmod(0o600)

    for path in ("token", "nowhere", "."):
        with pytest.raises(SettingsInvalid):
            credential(Chosen(path, "context far"), {})


def test_a_pipe_in_place_of_a_token_file_is_refused_at_once() -> None:
    os.mkfifo("token", 0o600)

    with pytest.raises(SettingsInvalid, match="is not a file"):
        credential(Chosen("token", "context far"), {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_token_file_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("token").write_text("mp_secret")
    Path("token").chmod(0o600)
    os.chown("token", 12345, 12345)

    with pytest.raises(SettingsInvalid, match="somebody else"):
        credential(Chosen("token", "context far"), {})


def test_contexts_are_for_their_owner_alone(call: Milepost, environment: Mapping[str, str]) -> None:
    call("context", "create", "near", "--url", "postgresql://ann:mp_secret@host/jobs")

    (file,) = Path(environment["MILEPOST_CONFIG_DIR"]).iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_token_goes_unencrypted_to_no_other_machine_unless_that_is_wanted() -> None:
    with pytest.raises(Told, match="unencrypted"):
        Line("http://elsewhere", "mp_secret", seconds=1, plain_http=False)

    for url, plain_http in (("http://elsewhere", True), ("https://elsewhere", False), ("http://127.0.0.1", False)):
        assert Line(url, "mp_secret", seconds=1, plain_http=plain_http).headers["Authorization"] == "Bearer mp_secret"
    with pytest.raises(Told, match="is none"):
        Line("https://elsewhere", "two words", seconds=1, plain_http=False)


def test_an_encrypted_server_must_prove_who_it_is() -> None:
    assert Line("https://elsewhere", None, seconds=1, plain_http=False).verify is True


def test_without_a_token_that_holds_the_server_tells_nothing_and_the_exit_code_is_4(
    call: Milepost, guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token, told in (("", "No token was given"), ("mp_wrong", "not valid here")):
        monkeypatch.setenv("MILEPOST_TOKEN", token)
        done = call("jobs", "list", "--server", guarded.url, "-o", "json")
        assert (done.code, done.out, done.error["error"]) == (4, "", "not_allowed")
        assert told in done.error["message"]
        assert "MILEPOST_TOKEN" in done.error["suggestion"]


def test_a_tokens_name_is_the_actor_and_its_role_is_the_limit(
    call: Milepost, jobs: Furniture, ids: Mapping[str, str], guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(jobs.database, jobs.store.surroundings)
    desk = tokens.create("desk", Role.OPERATOR, created_by="test")
    guest = tokens.create("guest", Role.VIEWER, created_by="test")
    monkeypatch.setenv("MILEPOST_SERVER", guarded.url)
    monkeypatch.setenv("MILEPOST_TOKEN", desk)
    assert call("jobs", "stop", ids["pending"], "--reason", "lunch").code == 0
    last = call("jobs", "history", ids["pending"], "-o", "json").json[-1]
    assert (last["actor"], last["source"], last["reason"]) == ("desk", "http", "lunch")

    monkeypatch.setenv("MILEPOST_TOKEN", guest)
    refused = call("jobs", "resume", ids["pending"], "-o", "json")

    assert (refused.code, refused.error["error"]) == (4, "not_allowed")
    seen = call("jobs", "get", ids["pending"], "-o", "json")
    assert (seen.err, seen.json["status"]) == ("", "Stopped")


# -- what cannot be


@pytest.mark.parametrize(
    "command", [("jobs", "run", "self-test"), ("worker",), ("serve",), ("demo",), ("event-stores", "create")]
)
def test_what_works_on_the_event_store_itself_is_refused_and_says_what_to_do(
    command: tuple[str, ...], call: Milepost, tmp_path: Path
) -> None:
    done = call(*command, "--server", NOBODY, "-o", "json")

    assert (done.code, done.out, done.error["error"]) == (5, "", "validation_error")
    assert "Leave --server out" in done.error["suggestion"]
    assert not (tmp_path / "jobs.sqlite").exists()


def test_a_server_of_a_context_is_refused_likewise(call: Milepost, monkeypatch: pytest.MonkeyPatch) -> None:
    call("context", "create", "far", "--server", NOBODY)
    monkeypatch.delenv("MILEPOST_URL")

    for line in (("worker",), ("tokens", "list"), ("webhooks", "list")):
        advice = call(*line, "-o", "json").error["suggestion"]
        assert "a context without a server" in advice
        assert "--server" not in advice


def test_a_server_of_the_environment_is_refused_likewise(call: Milepost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_SERVER", NOBODY)

    for line in (("worker",), ("tokens", "list"), ("webhooks", "list")):
        assert call(*line, "-o", "json").error["suggestion"].startswith("Unset MILEPOST_SERVER")


@pytest.mark.parametrize(
    "options",
    [
        ("--url", "sqlite:///x", "--server", NOBODY),
        ("--token-file", "token"),
        ("--server", "https://ann:mp_secret@host"),
    ],
)
def test_a_context_that_makes_no_sense_is_refused(options: tuple[str, ...], call: Milepost) -> None:
    done = call("context", "create", "far", *options)

    assert done.code == 5
    assert "mp_secret" not in done.err


def test_a_server_that_is_not_there_cannot_be_connected_to(call: Milepost) -> None:
    done = call("jobs", "list", "--server", NOBODY, "-o", "json")

    assert (done.code, done.out, done.error["error"]) == (2, "", "connection_error")
    assert "refused" in done.error["message"]
    assert "milepost serve" in done.error["suggestion"]


def test_an_event_store_that_is_not_served_is_not_found(call: Milepost, server: Server) -> None:
    done = call("jobs", "list", "-e", "theirs", "--server", server.url, "-o", "json")

    assert (done.code, done.error["error"]) == (1, "not_found")


def test_event_stores_are_those_that_are_served(call: Milepost, server: Server) -> None:
    (found,) = call("event-stores", "list", "--server", server.url, "-o", "json").json

    assert found == {
        "name": "default", "url": server.url, "source": "the server", "inUse": True, "exists": True,
    }  # fmt: skip


def test_the_environments_proxy_hears_nothing_of_what_goes_to_this_machine(
    call: Milepost, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NOBODY)

    assert call("jobs", "list", "--server", server.url).code == 0


def test_a_defect_of_the_server_is_told_by_its_kind_alone(call: Milepost, server: Server) -> None:
    Path("milepost.toml").write_text('job_types = ["reckless_for_test"]')
    Path("reckless_for_test.py").write_text(
        "from milepost import JobType, NoRequest, job_type\n"
        "@job_type('reckless')\nclass Reckless(JobType[NoRequest]):\n"
        "    def plan(self, request): return []\n    def perform(self, step): pass\n"
        "Reckless.policy = 'mp_secret'\n"
    )
    server.serve(resolve())

    done = call("jobs", "start", "reckless", "--server", server.url, "-o", "json")

    assert (done.code, done.error["error"]) == (3, "server_error")
    assert "mp_secret" not in done.err
    assert "log" in done.error["suggestion"]


class Stranger(http.server.BaseHTTPRequestHandler):
    """No server of Milepost's."""

    def do_GET(self) -> None:
        status, body = {"/moved": (302, b""), "/page": (200, b"<html>"), "/list": (200, b"[]")}.get(
            "/" + self.path.split("/")[1], (404, b"no")
        )
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parameter's name
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as listens:
        threading.Thread(target=listens.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listens.server_address[1]}"
        listens.shutdown()


@pytest.mark.parametrize("path", ["moved", "page", "list", "nothing"])
def test_what_is_no_server_of_milepost_is_told_as_such_and_not_followed(
    path: str, stranger: str, call: Milepost
) -> None:
    done = call("jobs", "list", "--server", f"{stranger}/{path}", "-o", "json")

    assert (done.code, done.out, done.error["error"]) == (3, "", "server_error")
    assert stranger in done.error["message"]


# -- the same answers

SAME: Final = (
    ("jobs", "list"),
    ("jobs", "list", "--sort", "oldest", "--limit", "5"),
    ("jobs", "list", "--limit", "3", "-o", "table"),
    ("jobs", "list", "--status", "Failed", "--tag", "nightly"),
    ("jobs", "list", "--since", "2h", "--until", "2026-01-01T10:00:00+02:00", "-o", "plain"),
    ("jobs", "get", "COMPLETED"),
    ("jobs", "get", "COMPLETED", "--steps", "2"),
    ("jobs", "get", "WITH_FAILURES", "-o", "table"),
    ("jobs", "get", "WITH_FAILURES", "-o", "table", "--steps", "1"),
    ("jobs", "get", "COMPLETED", "--steps-after", "0", "--step-status", "Succeeded"),
    ("jobs", "get", "ELSEWHERE"),
    ("jobs", "get", "poem"),
    ("jobs", "get", "0"),
    ("jobs", "why", "ELSEWHERE"),
    ("jobs", "why", "poem"),
    ("jobs", "history", "COMPLETED"),
    ("jobs", "history", "COMPLETED", "--limit", "5", "--after", "2", "-o", "table"),
    ("jobs", "history", "COMPLETED", "--event", "StepSucceeded", "--event", "JobCompleted"),
    ("jobs", "stop", "COMPLETED"),
    ("jobs", "stop", "PENDING", "--dry-run"),
    ("jobs", "start", "poem"),
    ("jobs", "start", "self-test", "--set", "steps=-1"),
    ("jobs", "start", "self-test", "--queue", "no such queue"),
    ("jobs", "start", "self-test", "--priority", "1001"),
    ("jobs", "start", "self-test", "--reason", "x" * 2_001),
    ("jobs", "start", "self-test", "--tag", "x" * 201),
    ("jobs", "start", "self-test", *("--tag", "x") * 51),
    ("jobs", "start", "self-test", "--command-id", "two words"),
    ("jobs", "stop", "PENDING", "--command-id", "\u00e9"),
    ("jobs", "stop", "PENDING", "--command-id", "x" * 201),
    ("jobs", "start", "self-test", "--tag", "a\0b"),
    ("jobs", "start", "x" * 201),
    ("jobs", "start", "self-test", "--set", "deep=" + "[" * 63 + "]" * 63),
    ("jobs", "start", "self-test", "--set", "deep=" + "[" * 62 + "]" * 62),
    ("jobs", "list", "--tag", "a\0b"),
    ("jobs", "list", "--tag", "x" * 201),
    ("jobs", "list", "--type", "x" * 201),
    ("jobs", "resume", "STOPPED", "--reason", "x" * 2_001),
    ("types", "list"),
    ("types", "show", "self-test", "-o", "table"),
    ("types", "show", "poem/1"),
    ("types", "show", ""),
    ("types", "show", "x" * 201),
    ("workers", "list", "--all"),
    ("namespaces", "list"),
)


@pytest.mark.parametrize("command", SAME, ids=lambda command: " ".join(command)[:60])
def test_a_server_answers_what_the_event_store_would(
    command: tuple[str, ...], jobs: Furniture, ids: Mapping[str, str], call: Milepost, server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("PAGE", "SHORTENED_AT_ONCE", "STEPS_AT_ONCE"):  # so that everything comes in pieces
        monkeypatch.setattr(remote_service, name, 2)
    monkeypatch.setattr(calls, "PAGE", 2)
    words = [ids.get(word.lower(), word) if word.isupper() else word for word in command]

    here = call(*words)
    assert call(*words, "--server", server.url) == here
    assert here.code != SERVER_ERROR


# -- whoever waits


@contextmanager
def served(port: int = 0, *, worker: bool = False) -> "Generator[tuple[subprocess.Popen[str], int]]":
    command = [str(EXECUTABLE), "serve", "--worker" if worker else "--no-worker", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = next(each for each in process.stderr if "Serving" in each)
    yield process, int(line.partition("http://127.0.0.1:")[2].partition(";")[0])
    process.kill()
    process.communicate()


def test_whoever_waits_outlives_a_server_that_is_killed_and_comes_back(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    job_id = ids["pending"]
    with served() as (first, port):
        command = [str(EXECUTABLE), "--server", f"http://127.0.0.1:{port}", "jobs", "watch", job_id]
        watch = [*command, "--exit-status", "-o", "jsonl"]
        watcher = subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert watcher.stdout is not None
        assert watcher.stderr is not None
        assert '"status":"Pending"' in watcher.stdout.readline()
        first.send_signal(signal.SIGKILL)
        assert "Trying again until it answers" in watcher.stderr.readline()
    assert call("jobs", "cancel", job_id, "--yes").code == 0
    with served(port):
        out, _ = watcher.communicate(timeout=TIME_OUT)

    assert watcher.returncode == 13
    assert '"Cancelled"' in out.splitlines()[-1]


@pytest.mark.parametrize("bound", ["MOST_STREAMS", "MOST_STREAMS_OF_ONE"])
def test_whoever_waits_looks_now_and_then_where_no_stream_can_be_had(
    bound: str, jobs: Furniture, ids: Mapping[str, str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_streams, bound, 0)
    session = Session(Globals(server=server.url))
    seen = looks_at(session, ids["pending"], TIME_OUT, look_seconds=0.05)
    assert next(seen).status == "Pending"
    jobs.execute(UUID(ids["pending"]), StopJob(worker_alive=False))

    assert next(job for job in seen if job.status != "Pending").status == "Stopped"
    session.close()


def test_a_server_that_is_silent_holds_nobody_up() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with Client(f"http://127.0.0.1:{silent.getsockname()[1]}") as client:
        changes = Changes(client)
        assert changes.count() == changes.count()
        silent.close()  # so that its thread has nothing to wait for
        changes.close()


def test_the_marker_changes_when_something_was_written_and_when_the_stream_ends(
    jobs: Furniture, server: Server
) -> None:
    service = RemoteService(Client(server.url), server.url, "default")
    before = service.marker()
    while service.marker() == before:  # until the stream is open
        time.sleep(0.001)
    opened = service.marker()
    jobs.start("self-test")
    while service.marker() == opened:
        time.sleep(0.001)
    written = service.marker()
    server.leave()
    while service.marker() == written:
        time.sleep(0.001)
    service.close()


def test_the_live_table_outlives_a_server_that_is_away(
    jobs: Furniture, guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Tokens(jobs.database, jobs.store.surroundings).create("desk", Role.OPERATOR, created_by="test")
    monkeypatch.setenv("MILEPOST_TOKEN", token)
    console = Console(file=io.StringIO(), width=100, height=24)
    with Wire(guarded.url, token) as wire:
        session = Session(Globals(server=wire.url))
        table = Screen(session, JobFilter(live=True), console, Live(console=console), Keyboard(None))
        table.read_all()
        seen = table.board.jobs
        wire.answers_lost = 1_000
        wire.cut()
        table.read_all()
        session.close()
    assert seen
    assert table.board.jobs == seen
    assert "cannot be reached" in table.board.said


def test_the_live_table_asks_once_for_a_job_that_has_come_to_rest(
    jobs: Furniture, ids: Mapping[str, str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = RemoteService.job

    def counted(service: RemoteService, job_id: str, steps: StepsAsked = NO_STEPS) -> JobDocument:
        asked.append(job_id)
        return read(service, job_id, steps)

    monkeypatch.setattr(RemoteService, "job", counted)
    session = Session(Globals(server=server.url))
    console = Console(file=io.StringIO(), width=100, height=24)
    table = Screen(session, JobFilter(live=True), console, Live(console=console), Keyboard(None))
    table.read_all()
    jobs.execute(UUID(ids["pending"]), StopJob(worker_alive=False))
    for _ in range(3):
        table.read_all()

    assert asked == [ids["pending"]]
    assert "Stopped" in [job.status for job in table.board.jobs]
    jobs.execute(UUID(ids["pending"]), ResumeJob())
    table.read_all()
    assert "Stopped" not in [job.status for job in table.board.jobs]
    session.close()


# -- what the page says


def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with served(worker=True) as (_, port):
        for example in examples:
            exec(example.replace(":8400", f":{port}"), {"__name__": "example"})

    assert len(examples) == 2
    said = capsys.readouterr().out
    assert said.startswith("CompletedSuccessfully 3\n")
    assert "JobCompleted" in said.splitlines()[-1]


# -- what is tested here only


def test_every_test_of_the_command_line_runs_through_a_server_or_says_why_not() -> None:
    modules = {path.name: path.read_text() for path in Path(__file__).parent.glob("test_*.py")}
    asking = {
        name
        for name, text in modules.items()
        if any(f"{fixture}: {kind}" in text for fixture, kind in (("call", "Milepost"), ("milepost", "Milepost")))
    }

    assert {name for name in asking if "\nON_ALL_STORES" not in modules[name]} == set(HERE_ONLY_MODULES)
    for test in HERE_ONLY:
        assert any(f"def {test}(" in text for text in modules.values())
