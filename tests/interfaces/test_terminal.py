"""The program on a terminal: tables that fit, colours, questions, live progress, Ctrl-C."""

import re
from collections.abc import Callable, Mapping
from typing import Final

import pexpect
import pytest

from tests.interfaces.conftest import EXECUTABLE, TIME_OUT, Milepost, Words
from tests.interfaces.furniture import Furniture
from tests.interfaces.savings_stage import Stage

ON_ALL_STORES = True
HOW_IT_IS_SHOWN = True
pytestmark = pytest.mark.usefixtures("measured")

ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
LONG: Final = ("self-test", "--set", "steps=50", "--set", "items=100", "--set", "seconds=0.05")

Terminal = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def terminal(environment: Mapping[str, str], words: Words) -> Terminal:
    def on_terminal(*arguments: str, columns: int = 80, **more: str) -> "pexpect.spawn[str]":
        return pexpect.spawn(
            str(EXECUTABLE),
            words(*arguments),
            env={**environment, "TERM": "xterm-256color", **more},
            dimensions=(40, columns),
            encoding="utf-8",
            timeout=TIME_OUT,
        )

    return on_terminal


def finished(child: "pexpect.spawn[str]") -> tuple[int, str]:
    """The exit code, and all that came since the last expectation."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None
    return child.exitstatus, str(child.before)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "command", [("jobs", "list"), ("jobs", "get", "WITH_FAILURES"), ("jobs", "history", "STOPPED")]
)
def test_no_line_is_wider_than_the_terminal(
    command: tuple[str, ...], columns: int, jobs: Furniture, ids: Mapping[str, str], terminal: Terminal
) -> None:
    words = [ids.get(word.lower(), word) if word.isupper() else word for word in command]

    code, out = finished(terminal(*words, columns=columns))

    assert code == 0
    assert max(len(ESCAPES.sub("", line)) for line in out.splitlines()) <= columns


def test_a_terminal_gets_a_table_with_colours_that_mean_a_status(jobs: Furniture, terminal: Terminal) -> None:
    _, out = finished(terminal("jobs", "list"))

    assert re.search(r"\x1b\[32mCompletedSuccessfully", out)
    assert re.search(r"\x1b\[31mCompletedWithFailures", out)
    assert "\t" not in out


def test_no_color_on_a_terminal_means_plain(jobs: Furniture, terminal: Terminal) -> None:
    _, out = finished(terminal("jobs", "list", NO_COLOR="1"))

    assert "\x1b" not in out
    assert "Id\tType" in out


def test_what_cannot_be_undone_is_asked_and_no_is_the_default(
    jobs: Furniture, ids: Mapping[str, str], terminal: Terminal, call: Milepost
) -> None:
    child = terminal("jobs", "cancel", ids["pending"])
    child.expect_exact("[y/N]")
    assert "self-test" in str(child.before)
    child.sendline("")
    code, out = finished(child)

    assert code == 5
    assert "nothing was done" in out
    assert call("jobs", "get", ids["pending"]).json["status"] == "Pending"


def test_yes_does_it(jobs: Furniture, ids: Mapping[str, str], terminal: Terminal, call: Milepost) -> None:
    child = terminal("jobs", "remove", "--type", "self-test")
    child.expect_exact("these 5 jobs? [y/N]")
    child.sendline("y")

    assert finished(child)[0] == 0
    assert set(call("jobs", "list", "-q").out.split()) == {ids["pending"], ids["unknown_type"]}


@pytest.mark.parametrize(("answer", "code"), [("", 5), ("y", 0)])
def test_an_event_is_skipped_only_when_the_answer_is_yes(
    answer: str, code: int, stage: Stage, terminal: Terminal, call: Milepost
) -> None:
    ann = stage.deposit("ann", 13)
    stage.go()

    child = terminal("failed-partitions", "skip", "balances", ann[:13], "--reason", "nobody needs it", columns=200)
    child.expect_exact(f"ValueError: nobody takes 13. Never handle the event at 2 of partition {ann}? [y/N]: ")
    child.sendline(answer)

    assert finished(child)[0] == code
    history = [each["event"] for each in call("observers", "history", "balances").json]
    assert ("PartitionSkipped" in history) is (answer == "y")


def test_a_diagnosis_is_painted_again_until_ctrl_c(stage: Stage, terminal: Terminal, call: Milepost) -> None:
    stage.go()
    child = terminal("diagnose", "--watch", columns=120)
    child.expect_exact("All is well")
    call("observers", "pause", "balances")
    child.expect_exact("it is Paused at 0")
    child.sendintr()

    assert finished(child)[0] == 130


def test_ctrl_c_at_a_question_does_nothing(
    jobs: Furniture, ids: Mapping[str, str], terminal: Terminal, call: Milepost
) -> None:
    child = terminal("jobs", "cancel", ids["pending"])
    child.expect_exact("[y/N]")
    child.sendintr()

    assert finished(child)[0] == 130
    assert call("jobs", "get", ids["pending"]).json["status"] == "Pending"


def test_a_run_shows_live_progress_and_ctrl_c_stops_the_job(terminal: Terminal, call: Milepost) -> None:
    child = terminal("jobs", "run", *LONG)
    child.expect(r"step-1.*\d+/100 items")
    child.sendintr()
    child.expect_exact("Stopping at the next checkpoint")
    child.expect_exact("Stopped")
    code, _ = finished(child)

    assert code == 12
    assert call("jobs", "list").json[0]["status"] == "Stopped"


def test_a_second_ctrl_c_leaves_the_job_at_once(terminal: Terminal, call: Milepost) -> None:
    child = terminal("jobs", "run", *LONG)
    child.expect_exact("step-1")
    child.sendintr()
    child.sendintr()
    code, _ = finished(child)

    assert code in (12, 130)
    assert call("jobs", "list").json[0]["status"] in ("Stopped", "Pending")


def test_watching_a_job_ends_by_ctrl_c_and_leaves_it_as_it_is(
    jobs: Furniture, ids: Mapping[str, str], terminal: Terminal, call: Milepost
) -> None:
    child = terminal("jobs", "watch", ids["pending"])
    child.expect_exact("no worker is running")
    child.sendintr()

    assert finished(child)[0] == 130
    assert call("jobs", "get", ids["pending"]).json["status"] == "Pending"


def test_watching_everything_draws_a_table(jobs: Furniture, terminal: Terminal) -> None:
    child = terminal("jobs", "watch")
    child.expect_exact("unknown-type")
    child.sendintr()

    assert finished(child)[0] == 130


def test_csv_escapes_control_characters_on_a_terminal_and_not_in_a_file(
    jobs: Furniture, terminal: Terminal, call: Milepost
) -> None:
    job = jobs.start("self-test", tags=("t\x1b[2J\x9b1m",))

    _, out = finished(terminal("jobs", "get", str(job.id), "-o", "csv"))

    assert "t\\x1b[2J\\x9b1m" in out
    assert not set(out) & {"\x1b", "\x9b"}
    assert "t\x1b[2J\x9b1m" in call("jobs", "get", str(job.id), "-o", "csv").out


def test_a_worker_on_a_narrow_terminal_shows_ids_as_the_lists_do(terminal: Terminal, call: Milepost) -> None:
    job_id = call("jobs", "start", "self-test", "--set", "steps=1", "-q").out.strip()

    code, out = finished(terminal("worker", "--exit-when-idle"))

    shown = re.search(r"job (\S+) self-test: claimed", out)
    assert code == 0
    assert shown is not None
    assert len(shown[1]) < len(job_id)
    assert call("jobs", "get", shown[1], "-q").out.strip() == job_id
