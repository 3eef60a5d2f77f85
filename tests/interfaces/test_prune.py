"""`jobs prune`: what would go is said first, what went is gone for good, and who asks for it later is told so."""

from collections.abc import Mapping

import pytest

from tests.interfaces.conftest import Milepost
from tests.interfaces.furniture import Furniture

ON_ALL_STORES = True
ON_BOTH_DATABASES = True  # in short, too: what is read there is asked of the database in words of its own

Ids = Mapping[str, str]
ENDED = ("completed", "with_failures", "failed", "cancelled", "removed")


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


def test_young_jobs_and_the_newest_that_are_kept_stay(jobs: Furniture, call: Milepost) -> None:
    assert call("jobs", "prune", "--older-than", "1h", "--yes").json[0]["jobs"] == 0
    assert call("jobs", "prune", "--keep", "1000", "--yes").json[0]["jobs"] == 0
    assert call("jobs", "prune", "--all", "--type", "nobody-has-it", "--yes").json[0]["jobs"] == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "Nothing says how old"),
        (("--older-than", "old"), "'old' is no age"),
        (("--older-than", "1d", "--all"), "not both"),
    ],
)
def test_what_is_not_said_clearly_is_refused(
    given: tuple[str, ...], told: str, jobs: Furniture, call: Milepost
) -> None:
    refused = call("jobs", "prune", *given)

    assert refused.code == 5
    assert told in refused.error["message"]
