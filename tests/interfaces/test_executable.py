"""Every command through the real executable: exit codes, where output and errors go, what is imported."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.interfaces.conftest import EXECUTABLE, TIME_OUT, Milepost, Words
from tests.interfaces.furniture import Furniture
from tests.interfaces.savings_stage import Stage

ON_ALL_STORES = True

COMMANDS: Final = (
    (("jobs", "list"), 0),
    (("jobs", "get", "STOPPED"), 0),
    (("jobs", "get", "ffffffff"), 1),
    (("jobs", "start", "self-test"), 0),
    (("jobs", "stop", "PENDING"), 0),
    (("jobs", "resume", "COMPLETED"), 6),
    (("jobs", "cancel", "PENDING"), 5),
    (("jobs", "remove", "STOPPED", "--yes"), 0),
    (("jobs", "watch", "FAILED", "--exit-status"), 11),
    (("jobs", "wait", "PENDING", "--timeout", "0"), 7),
    (("jobs", "history", "STOPPED"), 0),
    (("jobs", "why", "STOPPED"), 0),
    (("types", "list"), 0),
    (("types", "show", "self-test"), 0),
    (("event-stores", "list"), 0),
    (("namespaces", "list"), 0),
    (("workers", "list"), 0),
    (("event-stores", "create"), 0),
    (("event-stores", "check"), 0),
    (("context", "list"), 0),
    (("context", "create", "home"), 0),
    (("context", "use", "home"), 1),
    (("context", "show"), 1),
    (("context", "delete", "home"), 1),
    (("schema",), 0),
)


@pytest.mark.parametrize(("command", "code"), COMMANDS, ids=["-".join(command[:2]) for command, _ in COMMANDS])
def test_a_command_exits_with_its_code_and_tells_errors_only_on_standard_error(
    command: tuple[str, ...], code: int, jobs: Furniture, ids: Mapping[str, str], milepost: Milepost
) -> None:
    done = milepost(*(ids.get(word.lower(), word) if word.isupper() else word for word in command))

    assert done.code == code, done.err
    assert "Traceback" not in done.err
    if code in (0, 11):
        assert done.out
        assert done.err == ""
    else:
        assert done.out == ""
        assert set(done.error) == {"error", "message", "suggestion"}


def test_a_terminal_that_knows_few_characters_gets_escapes(
    jobs: Furniture, ids: Mapping[str, str], milepost: Milepost
) -> None:
    done = milepost("jobs", "get", ids["stopped"], "-o", "table", PYTHONIOENCODING="ascii")

    assert done.code == 0
    assert "\\u2501" in done.out


def test_the_version_is_printed(milepost: Milepost) -> None:
    assert milepost("--version").out.startswith("milepost ")


def test_no_words_at_all_ask_for_help(milepost: Milepost) -> None:
    done = milepost()

    assert done.code == 0
    assert "jobs" in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("poem",),
        ("jobs", "poem"),
        ("jobs", "get"),
        ("jobs", "list", "--poem"),
        ("jobs", "list", "--limit", "many"),
        ("jobs", "list", "--sort", "-o", "json"),
        ("jobs", "list", "-o"),
    ],
)
def test_a_command_line_that_cannot_be_understood_is_invalid_input(arguments: tuple[str, ...], call: Milepost) -> None:
    done = call(*arguments)

    assert (done.code, done.out, done.error["error"]) == (5, "", "validation_error")
    assert "--help" in done.error["suggestion"]


def test_words_that_are_not_text_are_refused_before_anything_is_done(call: Milepost) -> None:
    done = call("jobs", "start", "self-test", "--tag", "t\udcff", "-o", "json")

    assert done.code == 5
    assert "not text in UTF-8" in done.error["message"]
    assert call("jobs", "list", "-o", "json").code == 2  # there is no event store yet


def test_a_misused_command_is_told_in_the_format_that_was_asked_for(call: Milepost) -> None:
    assert call("jobs", "list", "--poem", "-o", "plain").err.startswith("Error: ")
    assert call("jobs", "list", "--poem", "--output=json").error["error"] == "validation_error"


@pytest.mark.parametrize("place", range(3))
def test_global_options_may_stand_before_or_behind_the_sub_command(
    place: int, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    words = ["jobs", "list"]
    words[place:place] = ["-n", "Other", "-q"]

    assert call(*words).out.splitlines() == [ids["elsewhere"]]


def test_the_option_nearest_to_the_end_wins(jobs: Furniture, ids: Mapping[str, str], call: Milepost) -> None:
    assert call("-n", "Nobody", "jobs", "-n", "Default", "list", "-n", "Other", "-q").out.split() == [ids["elsewhere"]]


def test_no_color_means_plain(jobs: Furniture, milepost: Milepost) -> None:
    assert milepost("jobs", "list", NO_COLOR="1").out.splitlines()[0] == "Id\tType\tStatus\tProgress\tCreated"


def test_the_environment_may_name_the_format(jobs: Furniture, call: Milepost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_OUTPUT", "csv")
    assert call("jobs", "list").out.splitlines()[0] == "Id,Type,Status,Progress,Created"
    monkeypatch.setenv("MILEPOST_OUTPUT", "smoke")
    assert call("jobs", "list").code == 5


def test_a_reader_that_has_seen_enough_is_no_error(jobs: Furniture, words: Words) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [EXECUTABLE, *words("jobs", "list")], stdout=writer, stderr=subprocess.PIPE, timeout=TIME_OUT, check=False
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_request_may_come_from_standard_input_or_a_file(milepost: Milepost, call: Milepost) -> None:
    Path("request.json").write_text('{"steps": 4}')
    piped = milepost("jobs", "start", "self-test", "--request", "-", "-q", input='{"steps": 5}').out.strip()
    filed = call("jobs", "start", "self-test", "--request", "@request.json", "-q").out.strip()

    assert [call("jobs", "get", each).json["request"]["steps"] for each in (piped, filed)] == [5, 4]


def test_listing_jobs_imports_nothing_that_it_does_not_need(jobs: Furniture) -> None:
    of_another_database = {"sqlalchemy.dialects.postgresql"} if jobs.database.url.startswith("sqlite") else set[str]()
    unwanted = {"pydantic", "rich", "eventsourcing"} | of_another_database
    program = (
        "import sys; from milepost.interfaces.cli.app import run; code = run(['jobs', 'list', '-o', 'json']);"
        f"print(*sorted({unwanted} & sys.modules.keys()), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIME_OUT, check=True)

    assert done.stderr.strip() == ""


# -- jobs that really run


def test_run_does_the_job_here_and_exits_by_how_it_ended(milepost: Milepost) -> None:
    good = milepost("jobs", "run", "self-test", "--set", "steps=3")
    bad = milepost("jobs", "run", "self-test", "--request", '{"steps": 2, "fail_steps": [2], "fail_attempts": 9}')

    assert (good.code, good.json["status"], good.json["progress"]["successfulSteps"]) == (0, "CompletedSuccessfully", 3)
    assert "CompletedSuccessfully 3/3 steps" in good.err
    assert (bad.code, bad.json["status"]) == (10, "CompletedWithFailures")
    assert "told to fail" in bad.json["steps"][1]["errors"][0]["message"]


def test_run_tells_people_how_it_ended_and_what_went_wrong(call: Milepost) -> None:
    good = call("jobs", "run", "self-test", "--set", "steps=1", "-o", "table")
    bad = call("jobs", "run", "self-test", "--set", "steps=2", "--set", "fail_steps=[1]", "-o", "table")

    assert good.out.startswith("CompletedSuccessfully")
    assert "1/1 steps, 10 items in" in good.out
    assert "1/2 steps, 1 failed" in bad.out
    assert "step-1 was told to fail" in bad.out


def test_a_job_without_steps_is_complete(call: Milepost) -> None:
    assert call("jobs", "run", "self-test", "--set", "steps=0").code == 0
    assert "100 %, no steps" in call("jobs", "get", call("jobs", "list", "-q").out.strip(), "-o", "table").out


def test_run_does_steps_in_processes_of_their_own(milepost: Milepost) -> None:
    assert milepost("jobs", "run", "self-test", "--set", "steps=2", "--executor", "processes", "--slots", "1").code == 0


def test_a_worker_ends_when_nothing_is_left_to_do(milepost: Milepost, call: Milepost) -> None:
    started = [call("jobs", "start", "self-test", "--set", "steps=2", "-q").out.strip() for _ in range(2)]

    done = milepost("worker", "--exit-when-idle", "--slots", "2", "--types", "self-test")

    assert done.code == 0
    assert [call("jobs", "get", each).json["status"] for each in started] == ["CompletedSuccessfully"] * 2
    assert all(f"job {each} self-test: claimed" in done.err for each in started)


def test_a_worker_for_a_type_that_nobody_knows_is_refused(call: Milepost) -> None:
    assert call("worker", "--types", "self-test,poem").code == 5


class Running:
    """A worker that is alive, and what it says."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen([EXECUTABLE, "worker", *options], stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.lines = self.process.stderr

    def says(self, words: str) -> str:
        heard = ""
        for line in self.lines:
            heard += line
            if words in line:
                return line
        raise AssertionError(f"the worker ended and never said {words!r}, but: {heard}")


@pytest.fixture
def worker(environment: Mapping[str, str]) -> Iterator[Running]:
    running = Running("--lease-seconds", "1")
    running.says("takes")
    yield running
    running.process.kill()
    running.process.wait()
    running.lines.close()


LONG: Final = ("jobs", "start", "self-test", "--set", "steps=50", "--set", "items=100", "--set", "seconds=0.05", "-q")


def test_a_stop_of_a_running_job_returns_when_it_is_stopped_and_any_process_agrees(
    worker: Running, call: Milepost, milepost: Milepost
) -> None:
    job_id = call(*LONG).out.strip()
    worker.says("claimed")

    (result,) = milepost("jobs", "stop", job_id).json

    assert result["status"] == "Stopped"
    assert milepost("jobs", "get", job_id).json["status"] == "Stopped"


def test_a_worker_that_is_told_to_end_hands_its_job_back(worker: Running, call: Milepost) -> None:
    job_id = call(*LONG).out.strip()
    worker.says("claimed")

    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait(TIME_OUT) == 0
    assert call("jobs", "get", job_id).json["status"] == "Pending"


def test_a_second_ctrl_c_hands_back_without_waiting(worker: Running, call: Milepost) -> None:
    job_id = call(*LONG).out.strip()
    worker.says("claimed")

    worker.process.send_signal(signal.SIGINT)
    worker.process.send_signal(signal.SIGINT)

    assert worker.process.wait(TIME_OUT) == 0
    assert call("jobs", "get", job_id).json["status"] == "Pending"


def test_watching_everything_in_a_pipe_is_a_line_for_each_change(worker: Running, call: Milepost, words: Words) -> None:
    for options, expected in (((), "Running"), (("-o", "jsonl"), '"status":"Running"'), (("-q",), "0")):
        job_id = call(*LONG).out.strip()
        watcher = subprocess.Popen([EXECUTABLE, *words("jobs", "watch", *options)], stdout=subprocess.PIPE, text=True)
        assert watcher.stdout is not None
        while job_id not in (line := watcher.stdout.readline()) or expected not in line:
            assert watcher.poll() is None
        call("jobs", "stop", job_id)
        while job_id not in watcher.stdout.readline():
            assert watcher.poll() is None
        watcher.send_signal(signal.SIGINT)
        watcher.communicate(timeout=TIME_OUT)


def test_a_stop_of_a_job_whose_worker_was_killed_ends_when_its_lease_has_run_out(
    worker: Running, call: Milepost
) -> None:
    job_id = call(*LONG).out.strip()
    worker.says("claimed")
    worker.process.kill()

    assert call("jobs", "stop", job_id).json[0]["status"] == "Stopped"


def test_wait_and_watch_see_a_job_to_its_end(worker: Running, call: Milepost, milepost: Milepost) -> None:
    job_id = call("jobs", "start", "self-test", "--set", "steps=4", "--set", "seconds=0.02", "-q").out.strip()

    watched = milepost("jobs", "watch", job_id, "--exit-status", "-o", "jsonl")
    waited = call("jobs", "wait", job_id)

    assert (watched.code, waited.code) == (0, 0)
    assert '"CompletedSuccessfully"' in watched.out.splitlines()[-1]


def test_ctrl_c_stops_the_job_that_runs_here(environment: Mapping[str, str], call: Milepost) -> None:
    process = subprocess.Popen(
        [EXECUTABLE, "jobs", "run", *LONG[2:-1], "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Running" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIME_OUT)

    assert process.returncode == 12
    assert '"Stopped"' in out
    assert "Ctrl-C again" in err
    (job,) = call("jobs", "list").json
    assert job["statusChanges"][-2]["reason"] == "Ctrl-C"


def test_a_run_that_is_told_to_end_leaves_its_job_to_the_next_worker(
    environment: Mapping[str, str], call: Milepost
) -> None:
    process = subprocess.Popen([EXECUTABLE, "jobs", "run", *LONG[2:-1]], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "Running" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIME_OUT)

    assert process.returncode == 130
    assert call("jobs", "list").json[0]["status"] == "Pending"


CARELESS: Final = """
from milepost import JobType, NoRequest, Step, job_type

@job_type("careless")
class Careless(JobType[NoRequest]):
    def details(self, request):
        return 1 / 0

@job_type("reckless")
class Reckless(JobType[NoRequest]):
    pass

Reckless.policy = "whatever"
"""


def test_an_error_that_nobody_foresaw_is_told_whole_and_is_no_not_found(call: Milepost) -> None:
    Path("milepost.toml").write_text('job_types = ["careless_for_test", "no_such_module"]')
    Path("careless_for_test.py").write_text(CARELESS)

    done = call("jobs", "start", "reckless")

    assert (done.code, done.error["error"]) == (3, "server_error")
    assert "Traceback" in done.err
    assert "no_such_module could not be loaded" in done.err


def test_an_error_in_a_job_types_own_method_is_told_as_such(call: Milepost) -> None:
    Path("milepost.toml").write_text('job_types = ["careless_for_test"]')
    Path("careless_for_test.py").write_text(CARELESS)

    done = call("jobs", "start", "careless")

    assert (done.code, done.error["error"]) == (5, "validation_error")
    assert "details() of job type 'careless' failed: ZeroDivisionError" in done.error["message"]


def test_the_actor_is_the_account_and_not_what_the_environment_says(milepost: Milepost) -> None:
    job_id = milepost("jobs", "start", "self-test", "-q", LOGNAME="mallory", USER="mallory").out.strip()

    (started,) = milepost("jobs", "history", job_id, "-o", "json").json
    assert started["actor"] == f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "list", "--until", "9999-12-31T23:59:59"),
        ("jobs", "history", "01a2", "--after", "99999999999999999999"),
        ("jobs", "get", "01a2", "--steps", "9223372036854775807"),
        ("jobs", "start", "self-test", "--request", "[" * 100_000),
        ("jobs", "start", "self-test", "--set", "steps=" + "[" * 100_000),
        ("jobs", "start", "self-test", "--set", "seconds=1e999"),
        ("jobs", "start", "self-test", "--set", "a." * 5_000 + "x=1"),
        ("worker", "--slots", "99999999999999999999"),
        ("worker", "--lease-seconds", "1e999"),
        ("worker", "--grace-seconds", "1e999"),
    ],
)
def test_what_is_too_large_or_too_deep_is_invalid_input_and_no_defect(
    arguments: tuple[str, ...], call: Milepost
) -> None:
    done = call(*arguments, "-o", "json")

    assert (done.code, done.error["error"]) == (5, "validation_error")


def test_what_a_job_says_of_itself_does_not_steer_the_terminal(call: Milepost) -> None:
    done = call("jobs", "get", "\x1b]0;mine\x07", "-o", "table")

    assert done.code != 0
    assert not set(done.err) & {"\x1b", "\x07"}


KEYED: Final = """
from pydantic import BaseModel
from milepost import JobType, Step, job_type

class What(BaseModel):
    what: str = ""

@job_type("keyed")
class Keyed(JobType[What]):
    def key(self, request):
        return "one"

    def plan(self, request):
        return [Step("step")]

    def perform(self, step):
        pass
"""


@pytest.fixture
def keyed() -> None:
    """A job type of which only one job may live."""
    Path("milepost.toml").write_text('job_types = ["keyed_for_test"]')
    Path("keyed_for_test.py").write_text(KEYED)


@pytest.mark.usefixtures("environment", "keyed")
def test_a_run_beside_a_live_job_of_its_key_with_another_request_is_refused(call: Milepost) -> None:
    job_id = call("jobs", "start", "keyed", "--set", "what=first", "-q").out.strip()

    done = call("jobs", "run", "keyed", "--set", "what=second", "-o", "json")

    assert (done.code, done.out, done.error["error"]) == (6, "", "refused")
    assert f"{job_id} was started before, with another request" in done.error["message"]
    assert f"milepost jobs stop {job_id}" in done.error["suggestion"]
    assert call("jobs", "get", job_id).json["status"] == "Pending"


@pytest.mark.usefixtures("environment", "keyed")
def test_a_start_beside_a_live_job_of_its_key_says_so_and_warns_where_the_request_differs(call: Milepost) -> None:
    job_id = call("jobs", "start", "keyed", "--set", "what=first", "-q").out.strip()
    same = call("jobs", "start", "keyed", "--set", "what=first")
    other = call("jobs", "start", "keyed", "--set", "what=second")

    assert [done.json[0]["id"] for done in (same, other)] == [job_id, job_id]
    assert "was started before: it is Pending" in same.json[0]["message"]
    assert "Warning" not in same.err
    assert "was started before, with another request: it is Pending" in other.json[0]["message"]
    assert "Warning: this request is not carried out" in other.err


def test_a_run_of_what_was_started_before_does_that_and_says_so(call: Milepost) -> None:
    first = ("self-test", "--set", "steps=1", "--command-id", "c-1")
    job_id = call("jobs", "start", *first, "-q").out.strip()

    done = call("jobs", "run", *first, "-o", "json")
    again = call("jobs", "run", *first, "-o", "json")

    assert (done.code, done.json["id"], done.json["status"]) == (0, job_id, "CompletedSuccessfully")
    assert (again.code, again.json["id"]) == (0, job_id)
    assert f"{job_id} was started before" in done.err


def test_a_command_id_that_was_used_for_another_request_is_refused_and_says_what_to_do(call: Milepost) -> None:
    call("jobs", "start", "self-test", "--command-id", "c-1")

    done = call("jobs", "run", "self-test", "--set", "steps=1", "--command-id", "c-1", "-o", "json")

    assert (done.code, done.error["error"]) == (6, "refused")
    assert "--command-id" in done.error["suggestion"]


def test_ctrl_c_leaves_a_job_alone_that_was_started_before(worker: "Running", call: Milepost) -> None:
    again = (*LONG[2:-1], "--command-id", "c-1")
    job_id = call("jobs", "start", *again, "-q").out.strip()
    worker.says("claimed")
    process = subprocess.Popen(
        [EXECUTABLE, "jobs", "run", *again], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while "Running" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIME_OUT)

    assert process.returncode == 130
    assert f"Job {job_id} is Running: it goes on without this process" in err
    assert "Stopping" not in [change["status"] for change in call("jobs", "get", job_id).json["statusChanges"]]


STUBBORN: Final = """
import time
from milepost import JobType, NoRequest, Step, job_type

@job_type("stubborn")
class Stubborn(JobType[NoRequest]):
    def plan(self, request):
        return [Step("deaf")]

    def perform(self, step):
        time.sleep(600)
"""


@pytest.fixture
def stubborn(environment: Mapping[str, str]) -> None:
    """There is a type of that name, whose step does not react."""
    Path("milepost.toml").write_text('job_types = ["stubborn_for_test"]')
    Path("stubborn_for_test.py").write_text(STUBBORN)


def interrupted_twice(*command: str) -> tuple[int, str]:
    """The exit code and the output of a program that runs a job, after a Ctrl-C and one more once it was told of."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for words in ("Running", "Ctrl-C again"):
        while words not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=TIME_OUT)
    return process.returncode, out


@pytest.mark.usefixtures("stubborn")
@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_second_ctrl_c_does_not_wait_for_a_step_that_does_not_react(executor: str, call: Milepost) -> None:
    code, _ = interrupted_twice(str(EXECUTABLE), "jobs", "run", "stubborn", "--executor", executor)

    assert code == 12
    assert call("jobs", "list").json[0]["status"] == "Stopped"


ENDS_BEHIND_THE_LOOK: Final = """
from milepost.interfaces.cli.app import main
from milepost.interfaces.cli.jobs import run
from milepost.interfaces.cli.worker_thread import WorkerThread

def alive(self):
    if self._worker._abandoning:
        self._thread.join()
    return self._thread.is_alive()

WorkerThread.alive, run.LOOK_SECONDS = property(alive), 0.0
main()
"""


@pytest.mark.usefixtures("stubborn")
def test_a_job_that_comes_to_rest_right_behind_the_last_look_is_told_as_it_is() -> None:
    program = (sys.executable, "-c", ENDS_BEHIND_THE_LOOK)
    code, shown = interrupted_twice(*program, "jobs", "run", "stubborn", "-o", "json")

    assert (code, json.loads(shown)["status"]) == (12, "Stopped")


@pytest.mark.usefixtures("stubborn")
def test_a_worker_that_is_told_to_end_waits_no_longer_than_its_grace_and_says_for_what(call: Milepost) -> None:
    job_id = call("jobs", "start", "stubborn", "-q").out.strip()
    running = Running("--grace-seconds", "0.2")
    while call("jobs", "get", job_id).json["progress"]["runningSteps"] == 0:
        assert running.process.poll() is None

    running.process.send_signal(signal.SIGTERM)

    assert job_id in running.says("step deaf of job")
    assert running.process.wait(TIME_OUT) == 0
    running.lines.close()
    assert call("jobs", "get", job_id).json["status"] == "Pending"


def test_watching_everything_ends_by_ctrl_c(jobs: Furniture, ids: Mapping[str, str], words: Words) -> None:
    command = [str(EXECUTABLE), *words("jobs", "watch")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(ids["unknown_type"])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIME_OUT)

    assert process.returncode == 130


# -- shell completion


def completed(milepost: Milepost, words: Words, *typed: str) -> list[str]:
    line = ["milepost", *words(*typed)]
    done = milepost(_MILEPOST_COMPLETE="complete_bash", COMP_WORDS=" ".join(line), COMP_CWORD=str(len(line) - 1))
    return done.out.split()


def test_the_shell_completes_observers_and_their_failed_partitions(
    stage: Stage, milepost: Milepost, words: Words
) -> None:
    ann = stage.deposit("ann", 13)
    stage.go()

    assert completed(milepost, words, "observers", "show", "b") == ["balances"]
    assert completed(milepost, words, "failed-partitions", "show", "balances", ann[:9]) == [ann]
    assert completed(milepost, words, "failed-partitions", "retry", "letters", ann[:9]) == []


def test_the_shell_completes_job_ids_types_stores_and_more(
    jobs: Furniture, ids: Mapping[str, str], milepost: Milepost, words: Words
) -> None:
    assert set(completed(milepost, words, "jobs", "get", "0")) == set(ids.values()) - {ids["removed"], ids["elsewhere"]}
    assert completed(milepost, words, "jobs", "-n", "Other", "stop", ids["elsewhere"][:9]) == [ids["elsewhere"]]
    assert completed(milepost, words, "jobs", "start", "self") == ["self-test"]
    assert completed(milepost, words, "jobs", "list", "-n", "O") == ["Other"]
    assert completed(milepost, words, "jobs", "list", "-e", "d") == ["default"]
    assert completed(milepost, words, "jobs", "list", "-o", "json") == ["json", "json-compact", "jsonl"]
    assert completed(milepost, words, "jobs", "list", "--status", "Comp") == [
        "CompletedSuccessfully",
        "CompletedWithFailures",
    ]
    assert completed(milepost, words, "jobs", "get", "x", "--step-status", "Wai") == ["Waiting"]
    assert "history" in completed(milepost, words, "jobs", "h")


def test_the_shell_completes_contexts(call: Milepost, milepost: Milepost, words: Words) -> None:
    call("context", "create", "home")

    assert completed(milepost, words, "context", "use", "h") == ["home"]


def test_the_shell_completes_nothing_and_says_nothing_when_there_is_no_database(
    environment: Mapping[str, str], milepost: Milepost
) -> None:
    done = milepost(
        _MILEPOST_COMPLETE="complete_bash", COMP_WORDS="milepost jobs get 0", COMP_CWORD="3", MILEPOST_URL="nonsense://"
    )

    assert (done.out.strip(), done.err) == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script_for_each_shell(shell: str, milepost: Milepost) -> None:
    assert "_MILEPOST_COMPLETE" in milepost(_MILEPOST_COMPLETE=f"source_{shell}").out


def test_a_worker_runs_steps_on_a_cluster_of_its_own(call: Milepost, milepost: Milepost) -> None:
    job_id = call("jobs", "start", "self-test", "--set", "steps=2", "-q", "-o", "plain").out.strip()

    done = milepost("worker", "--executor", "dask", "--slots", "1", "--exit-when-idle")

    assert done.code == 0, done.err
    assert call("jobs", "get", job_id).json["status"] == "CompletedSuccessfully"


def test_the_scheduler_of_a_cluster_is_refused_where_steps_run_elsewhere(milepost: Milepost) -> None:
    done = milepost("worker", "--scheduler", "tcp://somewhere:8786")

    assert (done.code, done.error["error"]) == (5, "validation_error")


def test_an_empty_address_of_a_scheduler_is_refused(milepost: Milepost) -> None:
    done = milepost("worker", "--executor", "dask", "--scheduler=")

    assert (done.code, done.error["error"]) == (5, "validation_error")
    assert "is empty" in done.error["message"]


def test_a_cluster_that_nobody_runs_cannot_be_connected_to(milepost: Milepost) -> None:
    done = milepost("worker", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:1")

    assert (done.code, done.error["error"]) == (2, "connection_error")
