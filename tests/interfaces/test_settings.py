"""Where a setting comes from when several places name it, and what is said when one cannot be followed."""

import re
from pathlib import Path

import pytest

from milepost.infrastructure.settings import SettingsInvalid, masked, resolve
from tests.interfaces.conftest import Milepost

MILEPOST_TOML = """
default_event_store = "flights"
default_namespace = "Ours"
job_types = ["ours.jobs"]

[event_stores]
flights = "sqlite:///data/flights.sqlite"
"""

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder below the one with the settings file."""
    (tmp_path / "milepost.toml").write_text(MILEPOST_TOML)
    monkeypatch.delenv("MILEPOST_URL")
    return tmp_path / "here"


def test_without_any_setting_the_event_store_is_a_file_in_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MILEPOST_URL")
    settings = resolve()

    assert settings.url.value == f"sqlite:///{tmp_path / 'data' / 'default.sqlite'}"
    assert (settings.event_store.value, settings.namespace.value) == ("default", "Default")


def test_the_users_folders_are_those_of_the_operating_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MILEPOST_URL", "MILEPOST_DATA_DIR", "MILEPOST_CONFIG_DIR"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))

    assert resolve().url.value.endswith("milepost/default.sqlite")


def test_a_file_above_the_working_folder_names_event_stores_relative_to_itself(here: Path) -> None:
    settings = resolve()

    assert settings.url.value == f"sqlite:///{here.parent / 'data' / 'flights.sqlite'}"
    assert settings.namespace.value == "Ours"
    assert settings.job_types == ("ours.jobs",)
    assert settings.import_from == (here.parent,)


def test_the_nearest_file_is_the_one_that_counts(here: Path) -> None:
    (here / "pyproject.toml").write_text('[tool.milepost]\ndefault_namespace = "Nearer"\n')

    assert resolve().namespace.value == "Nearer"
    assert resolve().event_store.value == "default"


def test_a_project_file_without_our_table_is_passed_over(here: Path) -> None:
    (here / "pyproject.toml").write_text("[project]\nname = 'theirs'\n")

    assert resolve().event_store.value == "flights"


def test_option_beats_environment_beats_context_beats_file(
    here: Path, call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve().namespace.value == "Ours"
    call("context", "create", "work", "-n", "FromContext")
    assert resolve().namespace.value == "FromContext"
    monkeypatch.setenv("MILEPOST_NAMESPACE", "FromEnvironment")
    assert resolve().namespace.value == "FromEnvironment"
    assert resolve(namespace="FromOption").namespace.value == "FromOption"


def test_the_environments_url_is_that_of_the_default_event_store_only(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_URL", "sqlite:////elsewhere.sqlite")

    assert "flights" in resolve().url.value
    assert resolve(event_store="default").url.value == "sqlite:////elsewhere.sqlite"


def test_job_types_named_by_the_environment_are_found_from_the_working_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_JOB_TYPES", "one.jobs, two.jobs")

    assert resolve().job_types == ("one.jobs", "two.jobs")
    assert resolve().import_from == (here,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("event_stores = 1", "event_stores must be a table"),
        ("[event_stores]\na = 1", "event_stores must be a table"),
        ('[event_stores]\n"a b" = "sqlite://"', "'a b'"),
        ("job_types = ['a', 1]", "job_types must be a list"),
        ("job_types = 'a'", "job_types must be a list"),
        ("default_namespace = 3", "default_namespace must be a text"),
        ("colour = 'red'", "colour is not a setting"),
        ("= broken", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_followed_is_named_with_what_is_wrong(here: Path, text: str, told: str) -> None:
    (here / "milepost.toml").write_text(text)

    with pytest.raises(SettingsInvalid, match=told) as raised:
        resolve()

    assert str(here / "milepost.toml") in str(raised.value)
    assert raised.value.suggestion


@pytest.mark.parametrize("options", [("-n", "a b"), ("-e", "x" * 101), ("-n", "/etc")])
def test_a_name_that_is_none_is_refused(options: tuple[str, str], call: Milepost) -> None:
    done = call("jobs", "list", *options)

    assert (done.code, done.error["error"]) == (5, "validation_error")


def test_an_event_store_that_nobody_named_is_refused_with_those_there_are(here: Path, call: Milepost) -> None:
    done = call("jobs", "list", "-e", "poems")

    assert done.code == 5
    assert "default, flights" in done.error["message"]
    assert "[event_stores]" in done.error["suggestion"]


def test_a_check_of_an_event_store_that_is_not_there_fails(here: Path, call: Milepost, tmp_path: Path) -> None:
    done = call("event-stores", "check")

    assert (done.code, done.out) == (2, "")
    assert "there is none yet" in done.error["message"]
    assert not (tmp_path / "data").exists()


def test_event_stores_are_listed_with_their_source_and_without_passwords(
    here: Path, call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here.parent / "milepost.toml").write_text('[event_stores]\nfar = "postgresql://ann:secret@host/db"\n')
    stores = {store["name"]: store for store in call("event-stores", "list").json}

    assert stores["far"]["url"] == "postgresql://ann:***@host/db"
    assert stores["far"]["source"].endswith("milepost.toml")
    assert stores["default"]["inUse"] is True
    done = call("jobs", "list", "-e", "far")
    assert (done.code, done.error["error"]) == (2, "connection_error")
    assert "secret" not in done.err


def test_a_database_that_cannot_be_opened_is_told_as_such(call: Milepost, tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_text("this is a letter, not a database, and long enough to be told apart" * 20)

    done = call("jobs", "list")

    assert (done.code, done.out, done.error["error"]) == (2, "", "connection_error")


def test_reading_makes_no_event_store_where_a_path_may_be_mistyped(call: Milepost, tmp_path: Path) -> None:
    for command in (("jobs", "list"), ("jobs", "get", "01a2"), ("jobs", "stop", "01a2"), ("namespaces", "list")):
        done = call(*command)

        assert (done.code, done.out, done.error["error"]) == (2, "", "connection_error")
        assert "there is none yet" in done.error["message"]
    assert not (tmp_path / "jobs.sqlite").exists()


def test_before_anything_was_started_the_users_own_event_store_is_empty_and_is_not_made(
    call: Milepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MILEPOST_URL")

    done = call("jobs", "list", "-o", "json")

    assert (done.code, done.json) == (0, [])
    assert "Nothing was started yet" in done.err
    assert str(tmp_path / "data" / "default.sqlite") in done.err
    assert call("namespaces", "list").json == []
    assert call("jobs", "get", "01a2").code == 1
    assert not (tmp_path / "data").exists()
    assert call("jobs", "start", "self-test", "-q").code == 0
    assert call("jobs", "list").err == ""


@pytest.mark.parametrize(
    "line",
    [
        ("jobs", "start", "self-test", "--set", "steps=1"),
        ("jobs", "run", "self-test", "--set", "steps=1"),
        ("worker", "--exit-when-idle"),
        ("serve", "--port", "0", "--no-worker", "--require-tokens"),
    ],
)
def test_whoever_makes_an_event_store_says_so_once_and_on_standard_error(
    line: tuple[str, ...], call: Milepost, tmp_path: Path
) -> None:
    made = f"Made a new event store at sqlite:///{tmp_path / 'jobs.sqlite'}"

    first, second = call(*line), call(*line)

    assert first.err.count(made) == 1
    assert made not in first.out + second.out + second.err


def test_an_event_store_that_was_made_by_name_is_told_once(call: Milepost) -> None:
    done = call("event-stores", "create", "-o", "plain")

    assert (done.code, done.err) == (0, "")


def test_event_stores_are_listed_with_whether_they_exist(here: Path, call: Milepost) -> None:
    (here.parent / "milepost.toml").write_text(
        '[event_stores]\nfar = "postgresql://host/db"\nmade = "sqlite:///made.sqlite"\n'
    )
    call("jobs", "start", "self-test", "-e", "made")

    stores = {store["name"]: store["exists"] for store in call("event-stores", "list").json}
    assert stores == {"default": False, "far": None, "made": True}


def test_a_database_in_memory_is_refused_for_it_ends_with_the_command(
    call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_URL", "sqlite://")

    done = call("jobs", "start", "self-test")

    assert (done.code, done.error["error"]) == (2, "connection_error")
    assert "in memory" in done.error["message"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:sec/ret@h/db",
        "postgresql://u:sec@ret@h/db",
        "postgresql://u/x:secret@h/db",
        "postgresql://:secret@h/db",
        "postgresql:u:secret@h",
        "u:secret@h",
        "u:sec@ret@h",
        "postgresql://u@h/db?password=secret",
        "postgresql://u@h/db?a=1&sslpassword=se@cret",
        "sqlite:///jobs.sqlite?token=secret",
    ],
)
def test_a_password_is_never_shown(url: str, call: Milepost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_URL", url)

    for command in (("jobs", "list"), ("event-stores", "list"), ("--debug", "jobs", "list")):
        done = call(*command)
        assert not {"sec", "ret", "cret"} & set(re.findall("[a-z]+", done.out + done.err))
        assert "secret" not in done.out + done.err


@pytest.mark.parametrize("url", ["sqlite:////home/a:b@c/jobs.sqlite", "sqlite:///jobs.sqlite", "postgresql://u@h/db"])
def test_what_holds_no_password_is_shown_as_it_is(url: str) -> None:
    assert masked(url) == url


def test_debug_says_what_was_chosen_and_why(here: Path, call: Milepost) -> None:
    assert call("jobs", "start", "self-test", "-q").code == 0
    done = call("--debug", "jobs", "list", "-n", "Mine")

    assert done.json == []
    assert "namespace: Mine (option --namespace)" in done.err
    assert f"event store: flights ({here.parent / 'milepost.toml'})" in done.err
    assert "exit code 0 after" in done.err


def test_contexts_are_created_used_shown_and_deleted(call: Milepost) -> None:
    assert call("context", "create", "home", "-n", "Home", "--url", "sqlite:///home.sqlite").json[0]["inUse"] is True
    assert call("context", "create", "work", "-e", "default", "-n", "Work").json[0]["inUse"] is False
    assert call("context", "use", "work").code == 0
    assert call("context", "show").json[0]["name"] == "work"
    assert [each["inUse"] for each in call("context", "list").json] == [False, True]
    assert call("context", "delete", "work").code == 5
    assert call("context", "delete", "work", "--yes").code == 0
    assert call("context", "show").code == 1
    assert call("context", "show", "home").json[0]["url"].endswith("here/home.sqlite")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("use", "nowhere"), 1),
        (("show", "nowhere"), 1),
        (("delete", "nowhere", "--yes"), 1),
        (("create", "home"), 5),
        (("create", "a b"), 5),
        (("create", "other", "-n", "a b"), 5),
    ],
)
def test_a_context_command_that_cannot_be_done_says_why(arguments: tuple[str, ...], code: int, call: Milepost) -> None:
    call("context", "create", "home")

    done = call("context", *arguments)

    assert (done.code, done.out) == (code, "")
    assert done.error["suggestion"]


def test_the_environment_may_name_the_context(call: Milepost, monkeypatch: pytest.MonkeyPatch) -> None:
    call("context", "create", "home", "-n", "Home")
    call("context", "create", "work", "-n", "Work", "--url", "sqlite:////work.sqlite")
    monkeypatch.delenv("MILEPOST_URL")
    monkeypatch.setenv("MILEPOST_CONTEXT", "work")

    assert (resolve().namespace.value, resolve().url.value) == ("Work", "sqlite:////work.sqlite")
    monkeypatch.setenv("MILEPOST_CONTEXT", "nowhere")
    assert call("jobs", "list").code == 1


def test_a_file_of_contexts_that_is_broken_is_named(call: Milepost, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "contexts.json").write_text("{}")

    done = call("jobs", "list")

    assert done.code == 5
    assert "contexts.json" in done.error["message"]


def test_contexts_that_cannot_be_kept_are_no_success(call: Milepost, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file where the folder should be")

    assert call("context", "create", "home").code == 5


def test_a_job_type_that_cannot_be_told_of_is_warned_about_and_hides_no_other(here: Path, call: Milepost) -> None:
    (here.parent / "milepost.toml").write_text('job_types = ["calls_for_test"]\n')
    (here.parent / "calls_for_test.py").write_text(
        "from collections.abc import Callable\n"
        "from pydantic import BaseModel\n"
        "from milepost import JobType, job_type\n"
        "class Calls(BaseModel):\n"
        "    call: Callable[[], int] | None = None\n"
        "@job_type('calls')\n"
        "class MakesCalls(JobType[Calls]):\n"
        "    pass\n"
    )

    done = call("types", "list")

    assert (done.code, "self-test" in [each["name"] for each in done.json]) == (0, True)
    assert "calls_for_test:MakesCalls" in done.err
    assert call("types", "show", "calls", "-o", "json").code == 5


def test_job_types_of_the_users_own_are_found_and_broken_modules_only_warned_about(here: Path, call: Milepost) -> None:
    (here.parent / "milepost.toml").write_text('job_types = ["greetings_for_test", "no_such_module_for_test"]\n')
    (here.parent / "greetings_for_test.py").write_text(
        "from milepost import JobType, NoRequest, Step, job_type\n"
        "@job_type('greet')\n"
        "class Greet(JobType[NoRequest]):\n"
        "    '''Says hello.'''\n"
        "    def plan(self, request):\n        return [Step('hello')]\n"
        "    def perform(self, step):\n        pass\n"
    )

    done = call("types", "list")

    greet = next(each for each in done.json if each["name"] == "greet")
    assert greet["description"] == "Says hello."
    assert "no_such_module_for_test" in done.err
