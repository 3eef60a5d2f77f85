"""Rules in milepost.toml: workers carry them out, say so, and refuse bad ones before they begin."""

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from milepost.interfaces.cli.app import run
from tests.interfaces.conftest import EXECUTABLE, TIME_OUT, Milepost
from tests.interfaces.furniture import Furniture

ON_ALL_STORES = True

Ids = Mapping[str, str]
RULES = """
[[retention]]
name = "failed"
older_than = "1s"
statuses = ["Failed"]
archive = "../kept"

[[retention]]
name = "nobodys"
keep = 1000
"""


@pytest.fixture
def kept(jobs: Furniture, tmp_path: Path) -> Path:
    """The folder of the archive, with the rules in force; all that has ended did so long ago."""
    (tmp_path / "here" / "milepost.toml").write_text(RULES)
    with jobs.database.write() as connection:
        connection.exec_driver_sql("UPDATE milepost_jobs SET ended_at = '2020-01-01T00:00:00.000000+00:00'")
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def worked_until(line: str) -> str:
    """What a worker said on standard error until it said that; then it is told to end, and does."""
    said = ""
    words = [str(EXECUTABLE), "worker", "--types", "self-test", "--queues", "nobodys"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for told in process.stderr:
            said += told
            if line in told:
                break
        process.send_signal(signal.SIGTERM)
        said += process.stderr.read()
        assert process.wait(TIME_OUT) == 0, said
    return said


def test_a_worker_archives_and_prunes_by_the_rules_and_says_so(
    jobs: Furniture, ids: Ids, kept: Path, environment: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = worked_until("retention failed: pruned 1 jobs")

    (file,) = kept.iterdir()
    assert "prunes by rule failed (older_than 1s)" in said
    assert f"retention failed: archived 1 jobs in {file.parent.parent}/here/../kept/{file.name}" in said
    capsys.readouterr()
    assert run(["-o", "json", "jobs", "get", ids["failed"]]) == 1
    told = capsys.readouterr().err
    assert "by retention: rule failed (older_than 1s); its history is in the archive" in told
    assert "'milepost audit import' brings it back from that file" in told
    assert run(["jobs", "get", ids["completed"]]) == 0


def test_diagnose_tells_how_the_rules_go(jobs: Furniture, kept: Path, call: Milepost) -> None:
    kept.rmdir()
    worked_until("retention failed: The archive in")

    findings = {each["subject"]: each for each in call("diagnose").json["findings"] if each["area"] == "retention"}

    assert findings["failed"]["healthy"] is False
    assert "it cannot be carried out, and is tried again: The archive in" in findings["failed"]["message"]
    assert call("diagnose").code == 3


def test_a_rule_can_be_tried_before_anybody_carries_it_out(
    jobs: Furniture, ids: Ids, kept: Path, call: Milepost
) -> None:
    (would,) = call("jobs", "prune", "--rule", "failed", "--dry-run").json
    assert [(each["status"], each["jobs"]) for each in would["found"]] == [("Failed", 1)]
    assert call("jobs", "prune", "--rule", "nobodys", "--dry-run").json[0]["jobs"] == 0
    assert call("jobs", "get", ids["failed"]).json["status"] == "Failed"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--rule", "nobody-has-it"), "'nobody-has-it' is no rule for this event store; there is failed, nobodys"),
        (("--rule", "failed", "--all"), "A rule says itself which jobs go"),
    ],
)
def test_a_rule_that_is_not_there_or_not_alone_is_refused(
    given: tuple[str, ...], told: str, jobs: Furniture, kept: Path, call: Milepost
) -> None:
    refused = call("jobs", "prune", *given)

    assert refused.code == 5
    assert told in refused.error["message"]


def test_a_rule_that_is_carried_out_by_hand_archives_as_it_says(
    jobs: Furniture, ids: Ids, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["-o", "json", "jobs", "prune", "--rule", "failed", "--yes"]) == 0

    assert len(list(kept.iterdir())) == 1
    assert run(["-o", "json", "jobs", "get", ids["failed"]]) == 1
    assert ": rule failed (older_than 1s); its history is in the archive" in capsys.readouterr().err


def test_a_bad_rule_is_refused_before_a_worker_begins(
    environment: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here" / "milepost.toml").write_text('[[retention]]\nname = "old"\nolder_than = "soon"\n')

    for words in (["worker", "--exit-when-idle"], ["serve", "--port", "0"]):
        assert run(words) == 5
        assert "retention rule 'old': older_than: 'soon' is no age" in capsys.readouterr().err
    assert run(["jobs", "list"]) == 0
