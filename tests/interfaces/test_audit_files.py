"""`milepost audit export|import|replay|seal`: what is written, said and refused."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import jsonschema
import pytest

from milepost.interfaces.schemas import schema_of
from tests.interfaces.conftest import Milepost
from tests.interfaces.furniture import Furniture

ON_ALL_STORES = True
ON_BOTH_DATABASES = True  # in short, too: what is read there is asked of the database in words of its own
GOLDEN: Final = Path(__file__).parents[1] / "golden"


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From here on the event store is another one, which is not there yet."""
    monkeypatch.setenv("MILEPOST_URL", f"sqlite:///{tmp_path / 'other.sqlite'}")


def test_all_jobs_go_to_another_event_store_and_are_the_same_there(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = call("audit", "export", "--all", "all.jsonl", "-o", "json")
    assert exported.code == 0, exported.err
    jsonschema.validate(exported.json[0], schema_of("export-result"))
    history = call("jobs", "history", ids["completed"], "-o", "json").json
    shown = call("jobs", "get", ids["completed"], "-o", "json").json
    assert exported.json[0]["jobs"] == 8, "also the removed one, and none of another namespace"

    elsewhere(monkeypatch, tmp_path)
    imported = call("audit", "import", "all.jsonl", "--live", "-o", "json")

    assert imported.code == 0, imported.err
    jsonschema.validate(imported.json[0], schema_of("import-result"))
    assert (imported.json[0]["imported"], imported.json[0]["events"]) == (8, exported.json[0]["events"])
    assert call("jobs", "history", ids["completed"], "-o", "json").json == history
    assert call("jobs", "get", ids["completed"], "-o", "json").json == shown
    assert call("audit", "export", "--all", "again.jsonl").code == 0
    assert Path("again.jsonl").read_bytes() == Path("all.jsonl").read_bytes()


INTERRUPTED: Final = """
import os, signal
from milepost.infrastructure.audit import importing
from milepost.interfaces.cli.app import main

when, write = 2, importing.Importer._write
importing.AT_ONCE = 3

def interrupted(self, histories):
    global when
    found = write(self, histories)
    when -= 1
    if when == 0:
        os.kill(os.getpid(), signal.SIGINT)
    return found

importing.Importer._write = interrupted
main()
"""


def test_an_interrupted_import_says_what_stays_and_goes_on_when_it_is_begun_again(
    jobs: Furniture, call: Milepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("audit", "export", "--all", "all.jsonl").code == 0
    elsewhere(monkeypatch, tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "audit", "import", "all.jsonl", "--live"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 130
    assert "jobs that were imported whole are here to stay" in done.stderr
    assert "Import the file again" in done.stderr
    again = call("audit", "import", "all.jsonl", "--live", "-o", "json")
    assert again.code == 0
    (found,) = again.json
    assert found["there"] > 0
    assert (found["there"] + found["imported"], found["refused"]) == (8, [])
    assert call("audit", "export", "--all", "again.jsonl").code == 0
    assert Path("again.jsonl").read_bytes() == Path("all.jsonl").read_bytes()


def test_every_line_of_an_export_is_of_its_published_schema(jobs: Furniture, call: Milepost) -> None:
    assert call("audit", "export", "--all", "all.jsonl").code == 0

    first, *events, last = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]

    jsonschema.validate(first, schema_of("export-manifest"))
    jsonschema.validate(last, schema_of("export-end"))
    for event in events:
        jsonschema.validate(event, schema_of("export-event"))
        jsonschema.Draft202012Validator.check_schema(schema_of("export-event"))


def test_every_line_of_a_seal_is_of_its_published_schema(jobs: Furniture, call: Milepost) -> None:
    sealed = call("audit", "seal", "seal.jsonl", "-o", "json")
    assert sealed.code == 0, sealed.err
    jsonschema.validate(sealed.json[0], schema_of("seal-result"))

    first, *heads, last = [json.loads(line) for line in Path("seal.jsonl").read_text().splitlines()]

    jsonschema.validate(first, schema_of("seal-manifest"))
    jsonschema.validate(last, schema_of("seal-end"))
    for head in heads:
        jsonschema.validate(head, schema_of("seal-head"))
    assert last == {"jobs": len(heads), "root": sealed.json[0]["root"]}
    assert len(heads) == 9, "of all namespaces"


@pytest.mark.parametrize("command", [("replay",), ("import",), ("verify", "--seal")])
def test_the_advice_is_of_what_was_to_be_done(command: tuple[str, ...], jobs: Furniture, call: Milepost) -> None:
    kind = "seal" if "--seal" in command else "export"
    Path("newer").write_text(f'{{"format":"milepost-{kind}","formatVersion":2}}\n')

    missing, newer = (call("audit", *command, file).error for file in ("nothing", "newer"))

    assert missing["suggestion"] == "Look whether it is the right file, and whether you may read it"
    assert newer["suggestion"].endswith("Use the Milepost that wrote it, or a newer one")


def test_a_seal_without_a_file_is_printed(jobs: Furniture, milepost: Milepost) -> None:
    printed = milepost("audit", "seal")

    assert printed.code == 0, printed.err
    *_, last = printed.out.splitlines()
    assert f"Sealed 9 jobs. Merkle root {json.loads(last)['root']}" in printed.err


def test_jobs_are_exported_by_their_ids_or_by_a_filter(jobs: Furniture, ids: Mapping[str, str], call: Milepost) -> None:
    assert call("audit", "export", ids["completed"], ids["failed"], "two.jsonl", "-o", "json").json[0]["jobs"] == 2
    assert call("audit", "export", "--status", "Removed", "one.jsonl", "-o", "json").json[0]["jobs"] == 1
    assert call("audit", "export", "--tag", "nightly", "tag.jsonl", "-o", "json").json[0]["jobs"] == 1
    said = call("audit", "export", "--type", "self-test", "type.jsonl", "-o", "table").out
    assert said.startswith("Exported 7 jobs with ")
    assert call("audit", "export", "--all", "quiet.jsonl", "-q").out == "quiet.jsonl\n"


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (("export", "file"), 5, "Which jobs?"),
        (("export",), 5, "FILE"),
        (("export", "f" * 32, "file"), 1, "not found"),
        (("export", "COMPLETED", "--all", "file"), 5, "Give ids or a filter, not both"),
        (("export", "--all", "there"), 5, "There is a file there already"),
        (("export", "--all", "no/where"), 5, "No such file"),
        (("seal", "there"), 5, "There is a file there already"),
        (("import", "nothing"), 5, "No such file"),
        (("import", "there"), 5, "it is no milepost-export"),
        (("replay", "there"), 5, "it is no milepost-export"),
        (("export", "--all", "file", "--server", "http://127.0.0.1:1"), 5, "on the event store itself"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_every_file_as_it_was(
    asked: tuple[str, ...], code: int, said: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    Path("there").write_text("mine")

    done = call("audit", *(ids.get(word.lower(), word) for word in asked))

    assert (done.code, said in done.err) == (code, True), done.err
    assert [(each.name, each.read_text()) for each in Path().iterdir()] == [("there", "mine")]


def test_a_file_is_replaced_where_that_is_asked_for(jobs: Furniture, call: Milepost) -> None:
    Path("there").write_text("mine")

    assert call("audit", "export", "--all", "there", "--force").code == 0
    assert call("audit", "seal", "there", "--force").code == 0
    assert Path("there").read_text().startswith('{"format":"milepost-seal"')


def test_jobs_that_are_not_at_rest_stay_out_unless_that_is_meant(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("audit", "export", "--all", "all.jsonl")
    elsewhere(monkeypatch, tmp_path)

    first = call("audit", "import", "all.jsonl", "-o", "table")
    second = call("audit", "import", "all.jsonl", "-o", "table", "--live")

    assert first.code == 6
    assert "; 2 were refused" in first.out
    assert f"Job {ids['pending']} was not imported: it is Pending, not at rest" in first.err
    assert second.code == 0
    assert second.out.startswith("Imported 2 jobs with 2 events; 6 were here already")
    assert f"Skipped job {ids['completed']}: it is here already" in second.err


def test_an_event_store_that_was_tampered_with_is_exported_and_told(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with jobs.database.write() as connection:
        connection.exec_driver_sql("UPDATE milepost_events SET chain = NULL WHERE originator_version = 3")

    done = call("audit", "export", ids["completed"], "one.jsonl", "-o", "json")

    assert done.code == 3
    assert done.json[0]["broken"] == [{"id": ids["completed"], "version": 3}]
    assert f"The chain of job {ids['completed']} does not hold: its event 3" in done.err
    elsewhere(monkeypatch, tmp_path)
    refused = call("audit", "import", "one.jsonl")
    assert (refused.code, "does not follow in the chain" in refused.err) == (5, True)


def test_a_replay_needs_no_event_store(call: Milepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_URL", "sqlite:////nowhere/at/all.sqlite")
    export = str(GOLDEN / "export-1.jsonl")

    everything = call("audit", "replay", export, "-o", "jsonl")
    documents = [json.loads(line) for line in everything.out.removesuffix("\n").split("\n")]

    assert everything.code == 0, everything.err
    assert len(documents) == 285
    for document in documents[-40:]:
        jsonschema.validate(document, schema_of("replayed-event"))
    last = documents[-1]["job"]
    alone = call("audit", "replay", export, last["id"], "-o", "json").json
    assert alone == [document for document in documents if document["job"]["id"] == last["id"]]
    assert alone[-1]["job"]["version"] == len(alone)


def test_a_replay_shows_at_each_event_what_the_event_store_says_of_that_version(
    jobs: Furniture, ids: Mapping[str, str], call: Milepost
) -> None:
    for name in ("completed", "with_failures", "failed", "stopped", "cancelled"):
        call("audit", "export", ids[name], f"{name}.jsonl")

        replayed = call("audit", "replay", f"{name}.jsonl", "-o", "json").json

        for version, moment in enumerate(replayed, 1):
            then = call("jobs", "get", ids[name], "--version", str(version), "-o", "json", "--steps", "0").json
            without_steps = {"heldBy": None, "steps": then["steps"]}  # of which it says nothing
            assert {**moment["job"], **without_steps} == {**then, **without_steps}
        history = call("jobs", "history", ids[name], "-o", "json").json
        assert [moment["event"] for moment in replayed] == history


@pytest.mark.parametrize("format", ["table", "plain", "csv"])
def test_a_replay_is_a_row_an_event(format: str, jobs: Furniture, ids: Mapping[str, str], call: Milepost) -> None:  # noqa: A002 - what it is
    call("audit", "export", ids["stopped"], "stopped.jsonl")
    history = call("jobs", "history", ids["stopped"], "-o", "json").json

    done = call("audit", "replay", "stopped.jsonl", ids["stopped"], "-o", format)

    assert done.code == 0, done.err
    if format == "csv":
        rows = list(csv.DictReader(io.StringIO(done.out)))
        assert [int(row["Version"]) for row in rows] == [event["version"] for event in history]
        assert (rows[-1]["Status"], rows[-1]["Steps"], rows[-1]["Reason"]) == ("Stopped", "1/3", "")
        assert "lunch" in {row["Reason"] for row in rows}
    else:
        assert len(done.out.splitlines()) == len(history) + 1
        assert "\x1b" not in done.out


def test_an_id_that_no_job_of_the_file_has_is_not_found(call: Milepost) -> None:
    done = call("audit", "replay", str(GOLDEN / "export-1.jsonl"), "ffff")
    several = call("audit", "replay", str(GOLDEN / "export-1.jsonl"), "019b")

    assert (done.code, "has an id that begins with 'ffff'" in done.err) == (1, True)
    assert (several.code, "is the beginning of several job ids" in several.err) == (5, True)
