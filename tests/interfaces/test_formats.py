"""Each format of each command that shows something."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Final

import jsonschema
import pytest

from milepost.domain import commands as c
from milepost.domain.events import PlannedStep, Progress
from milepost.interfaces.schemas import DOCUMENTS, schema_of
from tests.interfaces.conftest import Milepost
from tests.interfaces.furniture import Furniture

ON_ALL_STORES = True
HOW_IT_IS_SHOWN = True

# Each command with the document that it prints.
LISTS: Final[dict[tuple[str, ...], str]] = {
    ("jobs", "list"): "job",
    ("jobs", "history", "COMPLETED"): "event",
    ("types", "list"): "job-type",
    ("event-stores", "list"): "event-store",
    ("namespaces", "list"): "namespace",
    ("workers", "list"): "worker",
    ("event-stores", "create"): "event-store-state",
    ("event-stores", "check"): "event-store-state",
    ("jobs", "stop", "PENDING"): "command-result",
    ("jobs", "resume", "STOPPED"): "command-result",
    ("jobs", "cancel", "PENDING", "--yes"): "command-result",
    ("jobs", "remove", "COMPLETED", "--yes"): "command-result",
    ("jobs", "start", "self-test"): "start-result",
    ("jobs", "wait", "COMPLETED"): "wait-result",
}
SINGLES: Final[dict[tuple[str, ...], str]] = {
    ("jobs", "get", "COMPLETED"): "job",
    ("jobs", "get", "COMPLETED", "--version", "8"): "job",
    ("jobs", "why", "COMPLETED"): "why",
    ("jobs", "why", "STOPPED"): "why",
    ("types", "show", "self-test"): "job-type",
}
ALL: Final[dict[tuple[str, ...], str]] = {**LISTS, **SINGLES}


def words(command: tuple[str, ...], ids: Mapping[str, str]) -> list[str]:
    return [ids.get(word.lower(), word) if word.isupper() else word for word in command]


def named(commands: Mapping[tuple[str, ...], str]) -> pytest.MarkDecorator:
    rows = list(commands.items())
    return pytest.mark.parametrize(("command", "document"), rows, ids=["-".join(row[0][:2]) for row in rows])


@named(LISTS)
def test_a_list_in_json_holds_documents_of_the_published_schema(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-o", "json")

    assert done.code == 0, done.err
    assert len(done.json) > 0
    for each in done.json:
        jsonschema.validate(each, schema_of(document))


@named(SINGLES)
def test_a_single_thing_in_json_is_a_document_of_the_published_schema(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-o", "json")

    assert done.code == 0, done.err
    jsonschema.validate(done.json, schema_of(document))


@named(ALL)
def test_json_compact_is_the_same_on_one_line(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-o", "json-compact")

    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 1
    assert ": " not in done.out.split('"traceback"')[0][:40]


@named(LISTS)
def test_jsonl_is_one_document_a_line(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-o", "jsonl")

    assert done.code == 0, done.err
    for line in done.out.splitlines():
        jsonschema.validate(json.loads(line), schema_of(document))


@named(LISTS)
def test_plain_is_a_header_and_rows_of_as_many_cells_between_tabs(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-o", "plain")

    assert done.code == 0, done.err
    header, *rows = [line.split("\t") for line in done.out.splitlines()]
    assert rows
    assert {len(row) for row in rows} == {len(header)}


@named(SINGLES)
def test_plain_is_a_name_and_a_value_a_line_for_a_single_thing(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-o", "plain")

    assert done.code == 0, done.err
    assert {len(line.split("\t")) for line in done.out.splitlines()} == {2}


@named(ALL)
def test_csv_is_a_header_and_rows(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-o", "csv")

    assert done.code == 0, done.err
    header, *rows = csv.reader(io.StringIO(done.out))
    assert rows
    assert {len(row) for row in rows} == {len(header)}


@named(ALL)
def test_a_table_can_be_had_in_a_pipe_and_steers_no_terminal(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-o", "table")

    assert done.code == 0, done.err
    assert done.out.strip()
    assert "\x1b" not in done.out


@named(ALL)
def test_quiet_prints_only_names_one_a_line(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-q")

    assert done.code == 0, done.err
    assert done.err == ""
    assert done.out.splitlines()
    assert all(" " not in line and "\t" not in line for line in done.out.splitlines())


@named(ALL)
def test_quiet_with_json_is_an_array_of_names(
    command: tuple[str, ...], document: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    done = call(*words(command, ids), "-q", "-o", "json")

    assert done.code == 0, done.err
    assert all(isinstance(name, str) for name in done.json)


@pytest.mark.parametrize("command", [("jobs", "list"), ("namespaces", "list"), ("context", "list")])
def test_a_list_of_nothing_is_an_empty_list(
    command: tuple[str, ...], call: Milepost, environment: Mapping[str, str]
) -> None:
    Furniture(environment["MILEPOST_URL"]).database.close()  # an event store without jobs
    assert call(*command, "-o", "json").json == []
    assert call(*command, "-q").out == ""
    assert len(call(*command, "-o", "plain").out.splitlines()) == 1


def test_an_unknown_format_is_refused(call: Milepost) -> None:
    done = call("jobs", "list", "-o", "yaml")

    assert done.code == 5
    assert done.out == ""
    assert "'yaml'" in done.error["message"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_is_a_schema(name: str, call: Milepost) -> None:
    done = call("schema", name)

    jsonschema.Draft202012Validator.check_schema(done.json)
    assert done.json == schema_of(name)


def test_schema_lists_the_names_of_all(call: Milepost) -> None:
    assert set(call("schema", "-o", "json").json) == set(DOCUMENTS)
    assert call("schema", "-q").out.split() == list(DOCUMENTS)
    assert call("schema", "poem").code == 1


def test_an_error_is_a_document_of_the_published_schema(call: Milepost) -> None:
    jsonschema.validate(call("jobs", "get", "0", "-o", "json").error, schema_of("failure"))


def test_what_a_job_says_of_itself_cannot_break_a_line_or_steer_a_terminal(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    for format_name in ("table", "plain"):
        done = call("jobs", "get", ids["failed"], "-o", format_name)
        assert "\x1b" not in done.out
        assert "aircraft" in done.out


STEERING: Final = "s\x1b[2J\x07\x9b31m"


@pytest.fixture
def steering(jobs: Furniture) -> str:
    """A job whose step has control characters in its name, its unit and its message."""
    job = jobs.claimed(tags=(STEERING,), lease_seconds=0)
    jobs.work(
        job,
        c.PlanSteps(1, 0, (PlannedStep(name=STEERING),)),
        c.PrepareJob(1),
        c.StartStep(1, 0),
        c.ReportProgress(1, 0, 1, Progress(done=4, total=9, unit=STEERING, message=STEERING)),
    )
    return str(job.id)


@pytest.mark.parametrize("format_name", ["table", "plain", "json", "json-compact", "jsonl"])
def test_nothing_that_a_job_says_steers_a_terminal(format_name: str, steering: str, call: Milepost) -> None:
    for command in (
        ("get", steering),
        ("why", steering),
        ("history", steering),
        ("stop", steering),
        ("watch", steering),
        ("list",),
    ):
        done = call("jobs", *command, "-o", format_name)

        assert done.code == 0, done.err
        assert not set(done.out + done.err) & set("\x1b\x07\x9b")


def test_an_error_does_not_steer_a_terminal_in_json_either(jobs: Furniture, call: Milepost) -> None:
    for words in (("jobs", "get", STEERING), ("jobs", "start", STEERING), ("-e", STEERING, "jobs", "list")):
        done = call(*words, "-o", "json")

        assert done.code != 0
        assert not set(done.err) & set("\x1b\x07\x9b")
        assert done.error["message"]
