"""The live table of `jobs watch`: what keys do to it, what fits on it, and the real one on a real terminal."""

import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pexpect
import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from milepost.interfaces.cli.jobs.board.keyboard import keys_of
from milepost.interfaces.cli.jobs.board.picture import FRAME, picture, window
from milepost.interfaces.cli.jobs.board.state import Board, Key, Order, pressed, refreshed
from milepost.interfaces.job_documents import JobDocument, JobProgress, StatusChange
from tests.interfaces.conftest import EXECUTABLE, TIME_OUT, Milepost, Words
from tests.interfaces.furniture import Furniture

ON_ALL_STORES = True
HOW_IT_IS_SHOWN = True
pytestmark = pytest.mark.usefixtures("measured")

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
PROGRESS: Final = JobProgress(10, 3, 1, 0, 2, 4, 0, 0, False, False, "", 40.0, 120, "items", 12.5, 0.5, 42.0)


def job(job_id: str, **more: Any) -> JobDocument:
    changes = [StatusChange("Running", "2026-11-24T11:59:00+00:00", 2, "w", "worker")]
    known: dict[str, Any] = {
        "namespace": "Default", "type": "self-test", "details": "", "status": "Running", "version": 2,
        "created": "2026-11-24T11:58:00+00:00", "ended": None, "request": {}, "tags": [], "key": None,
        "queue": "default", "priority": 0, "worker": "host:1:abc", "waiting": None, "held_by": None, "error": None,
        "progress": PROGRESS, "status_changes": changes,
    }  # fmt: skip
    return JobDocument(id=job_id, **(known | more))


def board_of(*ids: str, **more: Any) -> Board:
    return refreshed(Board(**more), [job(each) for each in ids], {"Running": len(ids)}, None)


def after(board: Board, *keys: Key | str) -> Board:
    for key in keys:
        board = pressed(board, key)
    return board


KEYS: Final = st.one_of(st.sampled_from(Key), st.sampled_from([*"jkgGsrcq?/ab \u00e9"]))
IDS: Final = st.lists(st.sampled_from([f"{letter}{number}" for letter in "abc" for number in range(5)]), unique=True)


@given(st.lists(KEYS | IDS))
def test_whatever_comes_goes_and_is_typed_the_selected_job_is_one_that_is_shown(
    happens: list[Key | str | list[str]],
) -> None:
    board = Board()
    for each in happens:
        if isinstance(each, list):
            board = refreshed(board, [job(job_id) for job_id in each], None, None)
        else:
            board = pressed(board, each)

        assert (board.job is None) == (not board.shown)
        assert board.order is None or board.order.job_id


@given(st.integers(0, 2_000), st.integers(0, 2_000), st.integers(1, 60))
def test_the_selected_row_is_always_among_those_that_are_drawn(rows: int, selected: int, room: int) -> None:
    begin, end = window(rows, min(selected, rows - 1) if rows else None, room)

    assert 0 <= begin <= end <= rows
    assert end - begin == min(rows, room)
    assert not rows or begin <= min(selected, rows - 1) < end


@given(st.text())
def test_no_input_is_more_than_keys_that_are_known_and_characters_that_can_be_printed(sent: str) -> None:
    assert all(isinstance(key, Key) or (len(key) == 1 and key.isprintable()) for key in keys_of(sent))


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1b[Aj", [Key.UP, "j"]),
        ("\x1b", [Key.ESCAPE]),
        ("\x1b[200~pasted\r", [*"pasted", Key.ENTER]),
        ("\x1b[1;5Aq", ["q"]),
        ("\x1bOB\x7f", [Key.DOWN, Key.BACKSPACE]),
        ("\x1b[", []),
    ],
)
def test_escape_sequences_are_keys_or_nothing(sent: str, keys: list[Key | str]) -> None:
    assert list(keys_of(sent)) == keys


def test_a_stop_is_ordered_with_its_reason_whatever_the_version_is_by_then() -> None:
    board = after(board_of("a", "b"), "j", "s", *"too slow", Key.BACKSPACE, "w", Key.ENTER)

    assert board.order == Order("stop", "b", "too slow", None)


def test_a_cancel_is_for_the_version_that_was_seen_when_it_was_asked_for() -> None:
    asked = pressed(board_of("a"), "c")
    later = refreshed(asked, [job("a", version=9)], None, None)

    assert after(later, Key.ENTER).order is None
    assert after(later, Key.ENTER, "y").order == Order("cancel", "a", "", 2)
    assert after(later, Key.ENTER, Key.ENTER).said == "Nothing was done"


def test_escape_at_the_reason_does_nothing() -> None:
    board = after(board_of("a"), "c", *"no", Key.ESCAPE)

    assert (board.order, board.asking) == (None, None)
    assert board.said == "Nothing was done"


def test_the_selection_stays_on_its_job_when_new_ones_come() -> None:
    board = pressed(board_of("b", "a"), "j")

    assert refreshed(board, [job(each) for each in "dcba"], None, None).selected == "a"


def test_a_search_narrows_down_by_id_type_status_tag_and_worker() -> None:
    jobs = [job("a1"), job("b2", type="import"), job("c3", tags=["nightly"]), job("d4", worker="far:2")]
    board = refreshed(Board(), jobs, None, None)

    found = {text: [each.id for each in after(board, "/", *text).shown] for text in ("a1", "IMPORT", "night", "far")}

    assert found == {"a1": ["a1"], "IMPORT": ["b2"], "night": ["c3"], "far": ["d4"]}
    assert len(after(board, "/", *"zzz", Key.ESCAPE).shown) == 4


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_what_matters_fits_on_every_terminal(width: int) -> None:
    board = board_of(*(f"job-{number:03}" for number in range(100)))
    console = Console(width=width, height=20, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(picture(board, console, NOW, {}, keys=True), height=20)
    lines = captured.get().splitlines()

    assert len(lines) == 20
    assert max(len(line) for line in lines) <= width
    assert sum("job-" in line for line in lines) == 20 - FRAME
    assert "Running" in lines[2]
    assert "3/10 (1 failed)" in lines[2]
    assert "q quit" in lines[-1]


def test_texts_of_jobs_do_not_steer_the_terminal() -> None:
    bad = "x\x1b[2J[bold]"
    board = refreshed(Board(), [job("a", type=bad, waiting=bad, worker=bad)], None, None)
    console = Console(width=160, height=10, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(picture(board, console, NOW, {}, keys=True), height=10)

    assert "\x1b[2J" not in captured.get()
    assert "[bold]" in captured.get()


# -- the real one


class Screen:
    """What a person sees of a program on a terminal."""

    def __init__(self, child: "pexpect.spawn[Any]", columns: int, lines: int) -> None:
        self.child = child
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    def until(self, condition: Callable[[str], bool]) -> str:
        """The screen as soon as it is so."""
        deadline = time.monotonic() + TIME_OUT
        while not condition(text := "\n".join(self._screen.display)):
            assert time.monotonic() < deadline, f"it shows only:\n{text}"
            self._stream.feed(self.child.read_nonblocking(65_536, timeout=TIME_OUT))
        return text

    def shows(self, text: str) -> str:
        return self.until(lambda seen: text in seen)


Watching = Callable[..., Screen]


@pytest.fixture
def watching(environment: Mapping[str, str], words: Words) -> Watching:
    def watch(*arguments: str, columns: int = 100, lines: int = 24) -> Screen:
        child: pexpect.spawn[Any] = pexpect.spawn(
            str(EXECUTABLE),
            words("jobs", "watch", *arguments),
            env={**environment, "TERM": "xterm-256color"},
            dimensions=(lines, columns),
            timeout=TIME_OUT,
        )
        return Screen(child, columns, lines)

    return watch


def ended(screen: Screen) -> tuple[int | None, str]:
    """The exit code, and what came last."""
    screen.child.expect(pexpect.EOF)
    screen.child.close()
    return screen.child.exitstatus, (screen.child.before or b"").decode()


def test_a_job_is_stopped_with_a_reason_and_resumed_by_keys(
    jobs: Furniture, watching: Watching, call: Milepost
) -> None:
    # Its worker gives no sign of life, so that it is at rest at once.
    running = jobs.running(tags=("mine",), lease_seconds=0.0)
    screen = watching("--tag", "mine")
    assert "1/3" in screen.shows("Running")
    screen.child.send("s")
    screen.shows("reason (may be empty)")
    screen.child.send("too slow\r")
    screen.until(lambda seen: "Stopped" in seen and "too slow" in seen)
    job = call("jobs", "get", str(running.id)).json
    assert (job["status"], job["statusChanges"][-1]["reason"]) == ("Stopped", "too slow")

    screen.child.send("r\r")
    screen.until(lambda seen: "Pending" in seen.splitlines()[2])
    screen.child.send("r\r")
    screen.shows("is Pending")
    screen.child.send("q")

    assert ended(screen)[0] == 0
    assert call("jobs", "get", str(running.id)).json["status"] == "Pending"


def test_a_job_is_looked_at_alone_and_the_keys_are_told(jobs: Furniture, watching: Watching) -> None:
    screen = watching("--status", "CompletedWithFailures", columns=80)
    screen.shows("CompletedWithFailures 1")
    screen.child.send("\r")
    assert "no such" in screen.shows("Attempts")
    screen.child.send("\x1b")
    screen.until(lambda seen: "Attempts" not in seen)
    screen.child.send("?")
    screen.shows("cancel it for good")
    screen.child.send("xq")

    assert ended(screen)[0] == 0


def test_it_says_that_nothing_is_under_way(environment: Mapping[str, str], call: Milepost, watching: Watching) -> None:
    call("event-stores", "create")
    screen = watching()
    screen.shows("No job is under way.")
    screen.child.sendintr()

    assert ended(screen)[0] == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_terminal_is_as_before_however_it_ends(number: signal.Signals, jobs: Furniture, watching: Watching) -> None:
    screen = watching()
    screen.shows("unknown-type")
    screen.child.kill(number)
    code, last = ended(screen)

    assert code == 128 + number
    assert "\x1b[?1049l" in last  # the screen that was there before
    assert "\x1b[?25h" in last  # its cursor


def test_an_id_and_a_filter_are_not_taken_together(jobs: Furniture, ids: Mapping[str, str], call: Milepost) -> None:
    done = call("jobs", "watch", ids["stopped"], "--status", "Stopped", "-o", "json")

    assert (done.code, done.error["message"]) == (5, "Give an id or a filter, not both")
