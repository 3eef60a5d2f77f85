"""`jobs prune`: what would go is said first, what went is gone for good, and who asks for it later is told so."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.client import InvalidInput, NothingFound
from milepost.domain.envelope import Origin
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store import pruning
from milepost.infrastructure.event_store.pruning import PruneRule, Pruning
from milepost.infrastructure.event_store.schema import tombstones
from milepost.infrastructure.settings import resolve
from milepost.interfaces.cli.app import run
from tests.interfaces.clients import opened
from tests.interfaces.conftest import Milepost
from tests.interfaces.furniture import Furniture
from tests.interfaces.server import Server

ON_ALL_STORES = True
ON_BOTH_DATABASES = True  # in short, too: what is read there is asked of the database in words of its own

Ids = Mapping[str, str]
ENDED = ("completed", "with_failures", "failed", "cancelled", "removed")


@pytest.fixture
def milepost_at(jobs: Furniture, a_server: Server) -> Iterator[str]:
    """The URL of a server of that event store."""
    a_server.serve(resolve())
    yield a_server.url
    a_server.leave()


def test_what_would_go_is_said_and_stays(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    before = len(call("jobs", "history", ids["completed"]).json)

    (would,) = call("jobs", "prune", "--all", "--dry-run").json

    assert would["dryRun"] is True
    assert would["jobs"] == sum(each["jobs"] for each in would["found"]) >= len(ENDED) - 1
    assert {each["status"] for each in would["found"]} >= {"CompletedSuccessfully", "Failed", "Removed"}
    assert len(call("jobs", "history", ids["completed"]).json) == before


def test_what_was_pruned_is_gone_and_who_asks_is_told_by_whom_and_why(
    jobs: Furniture, ids: Ids, call: Milepost
) -> None:
    (done,) = call("jobs", "prune", "--all", "--status", "completedsuccessfully", "--reason", "tidy", "--yes").json

    assert (done["dryRun"], done["more"]) == (False, False)
    assert [each["status"] for each in done["found"]] == ["CompletedSuccessfully"]
    for words in (("get",), ("history",), ("remove", "--yes")):
        asked = call("jobs", words[0], ids["completed"], *words[1:])
        assert asked.code == 1
        assert "CompletedSuccessfully" in asked.error["message"]
        assert "was pruned at" in asked.error["message"]
        assert asked.error["message"].endswith(": tidy")
    assert call("jobs", "get", ids["failed"]).json["status"] == "Failed"
    assert call("jobs", "prune", "--all", "--status", "CompletedSuccessfully", "--yes").json[0]["jobs"] == 0


def test_nothing_goes_without_a_yes(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    refused = call("jobs", "prune", "--all")

    assert refused.code == 5
    assert "--yes" in refused.error["suggestion"]
    assert call("jobs", "get", ids["completed"]).code == 0


@pytest.mark.parametrize("status", ["Running", "Stopped", "Pending"])
def test_what_has_not_ended_is_refused(status: str, jobs: Furniture, call: Milepost) -> None:
    refused = call("jobs", "prune", "--all", "--status", status, "--yes")

    assert refused.code == 5
    assert f"What is {status} has not ended" in refused.error["message"]


def test_what_a_prune_left_half_way_is_finished_also_where_nothing_else_is_to_go(
    jobs: Furniture, ids: Ids, call: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as small:
        small.setattr(pruning, "EVENTS_AT_ONCE", 3)
        rule = PruneRule("Default", datetime.now(UTC), (JobStatus.COMPLETED_SUCCESSFULLY,))
        with pytest.raises(KeyboardInterrupt):
            Pruning(jobs.database, jobs.store.surroundings, killed).prune(rule, Origin("ann", "cli"), limit=1)

    (done,) = call("jobs", "prune", "--older-than", "1000d").json  # nor is it asked whether it may

    assert (done["dryRun"], done["jobs"], done["more"]) == (False, 0, False)
    with jobs.database.read() as connection:
        assert connection.scalars(sa.select(tombstones.c.remaining)).all() == [0]
    assert call("jobs", "get", ids["failed"]).code == 0


def test_young_jobs_and_the_newest_that_are_kept_stay(jobs: Furniture, call: Milepost) -> None:
    assert call("jobs", "prune", "--older-than", "1h", "--yes").json[0]["jobs"] == 0
    assert call("jobs", "prune", "--keep", "1000", "--yes").json[0]["jobs"] == 0
    assert call("jobs", "prune", "--all", "--type", "nobody-has-it", "--yes").json[0]["jobs"] == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "Nothing says how old"),
        (("--older-than", "old"), "'old' is no age"),
        (("--older-than", "6m", "--yes"), "'6m' would be minutes"),
        (("--older-than", "1d", "--all"), "not both"),
    ],
)
def test_what_is_not_said_clearly_is_refused(
    given: tuple[str, ...], told: str, jobs: Furniture, call: Milepost
) -> None:
    refused = call("jobs", "prune", *given)

    assert refused.code == 5
    assert told in refused.error["message"]


def test_what_goes_is_archived_before_and_can_be_imported_elsewhere(
    jobs: Furniture, ids: Ids, call: Milepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()

    pruned = call("jobs", "prune", "--all", "--archive", str(folder), "--yes")

    (file,) = folder.iterdir()
    assert f"in {file}. SHA-256" in pruned.err.replace("\n", "")
    gone = call("jobs", "get", ids["completed"])
    assert gone.error["message"].endswith(f"; its history is in the archive {file.name}")
    monkeypatch.setenv("MILEPOST_URL", f"sqlite:///{tmp_path / 'elsewhere.sqlite'}")
    (imported,) = call("audit", "import", str(file)).json
    assert imported["imported"] == pruned.json[0]["jobs"] > 1
    assert call("jobs", "get", ids["completed"]).json["status"] == "CompletedSuccessfully"


def test_without_a_folder_for_the_archive_nothing_goes(jobs: Furniture, ids: Ids, call: Milepost) -> None:
    refused = call("jobs", "prune", "--all", "--archive", "not-there", "--yes")

    assert refused.code == 5
    assert "there is no folder not-there" in refused.error["message"]
    assert call("jobs", "get", ids["completed"]).code == 0


def test_an_archive_through_a_server_is_refused_with_advice(
    jobs: Furniture, ids: Ids, milepost_at: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = run(["--server", milepost_at, "-o", "json", "jobs", "prune", "--all", "--archive", str(tmp_path), "--yes"])

    told = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert code == 5
    assert f"--archive writes files where the event store is opened, and that is at {milepost_at}" in told["message"]
    assert "Prune on that machine" in told["suggestion"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_both_clients_say_what_would_go_and_have_it_go(kind: str, jobs: Furniture, ids: Ids, milepost_at: str) -> None:
    with opened(kind, milepost_at) as client:
        soon = datetime.now(UTC) + timedelta(minutes=1)
        would = client.prune(soon, statuses=["Failed"])
        assert (would.dry_run, [each.status for each in would.found]) == (True, ["Failed"])
        assert client.job(ids["failed"]).status == "Failed"
        assert client.prune(soon, types=["nobody-has-it"], dry_run=False).jobs == 0
        assert client.prune(soon, statuses=["Failed"], keep=1_000, dry_run=False).jobs == 0

        done = client.prune(soon, statuses=["Failed"], reason="tidy", dry_run=False)

        assert (done.dry_run, done.jobs, done.events, done.more) == (False, would.jobs, would.events, False)
        with pytest.raises(NothingFound, match=r"was pruned at .*: tidy"):
            client.job(ids["failed"])
        with pytest.raises(InvalidInput, match=r"takes 'Cancelled', .* or 'Removed'"):
            client.prune(soon, statuses=["Running"])


def test_a_client_is_told_that_there_is_more(jobs: Furniture, milepost_at: str) -> None:
    with opened("sync", milepost_at) as client:
        soon = datetime.now(UTC) + timedelta(minutes=1)
        all_of_them = client.prune(soon).jobs
        first = client.prune(soon, dry_run=False, limit=1)
        assert (first.jobs, first.more) == (1, True)
        rest = client.prune(soon, dry_run=False)
        assert (rest.jobs, rest.more) == (all_of_them - 1, False)
