"""`milepost observers`: what is shown of them, and what is started on them or refused at once."""

import re

import pytest

from milepost.domain.observers.policy import PartitionPolicy
from milepost.domain.observers.slices import SLICES
from milepost.infrastructure.event_store.schema import observers
from milepost.infrastructure.observers.holding import Holding
from milepost.interfaces.bootstrap import origin
from milepost.interfaces.schemas import schema_of
from tests.interfaces.conftest import Milepost
from tests.interfaces.savings import Balances
from tests.interfaces.savings_stage import Stage

ON_ALL_STORES = True


def test_observers_that_are_declared_are_listed_before_they_were_ever_run(stage: Stage, call: Milepost) -> None:
    call("event-stores", "create")

    listed = call("observers", "list").json

    assert [(each["name"], each["status"], each["position"], each["version"]) for each in listed] == [
        ("balances", "Disconnected", 0, 0),
        ("letters", "Disconnected", 0, 0),
    ]
    assert call("observers", "show", "letters").json["canReplay"] is False
    assert call("observers", "history", "letters").json == []
    assert call("observers", "list", "-q").out.split() == ["balances", "letters"]


def test_an_observer_shows_how_far_it_is_and_who_runs_it(stage: Stage, call: Milepost) -> None:
    stage.deposit("ann", 1, 2)
    stage.go()

    run = call("observers", "show", "balances").json
    stage.leave()
    left = call("observers", "show", "balances").json

    assert (run["status"], run["position"], run["lag"], run["handled"], run["partitions"]) == ("Active", 3, 0, 2, 1)
    assert run["worker"]
    assert (run["description"], run["tables"]) == ("What is in each account.", ["balances"])
    assert (left["status"], left["worker"], left["position"]) == ("Disconnected", None, 3)


def test_the_list_has_its_columns_in_every_format(stage: Stage, call: Milepost) -> None:
    stage.deposit("ann", 1, 2)
    stage.go()

    plain = call("observers", "list", "-o", "plain").out.splitlines()
    table = call("observers", "list", "-o", "table").out.splitlines()
    csv = call("observers", "list", "-o", "csv").out.splitlines()

    assert plain[0].split("\t") == ["Name", "Status", "Position", "Lag", "Rate", "Failed", "Handled"]
    assert csv[0].split(",") == plain[0].split("\t") == table[0].split()
    assert plain[1].split("\t")[:4] == ["balances", "Active", "3", "0"]
    assert re.match(r"balances +Active +3 +0 +[\d.,]+/s +0 +2$", table[1])


def test_an_observer_that_is_run_and_cannot_go_on_is_not_called_active(stage: Stage, call: Milepost) -> None:
    stage.go()
    with stage.app.database.write() as connection:
        connection.execute(observers.update().where(observers.c.name == "balances").values(trouble="OSError: full"))

    table = call("observers", "list", "-o", "table").out.splitlines()
    listed = call("observers", "list").json[0]

    assert table[1].startswith("balances  Active (trouble)")
    assert (listed["status"], listed["trouble"], listed["partitions"]) == ("Active", "OSError: full", None)


def test_a_shipped_observer_is_listed_where_somebody_asked_for_it(stage: Stage, call: Milepost) -> None:
    call("event-stores", "create")
    call("observers", "pause", "aircraft-places")

    assert call("observers", "list", "-q").out.split() == ["aircraft-places", "balances", "letters"]
    unknown = call("observers", "replay", "nobody").error["message"]
    assert "Known here: balances, letters, aircraft-places, flight-search, route-delays." in unknown


def test_a_replay_in_place_builds_everything_anew(stage: Stage, call: Milepost) -> None:
    stage.deposit("ann", 1, 2)
    stage.go()

    started = call("observers", "replay", "balances", "--parallel", "2", "--reason", "a new column").json[0]
    stage.work()

    assert call("jobs", "wait", started["id"]).code == 0
    told = call("jobs", "get", started["id"]).json
    assert (told["type"], told["progress"]["totalSteps"]) == ("replay-observer", 2)
    assert told["statusChanges"][0]["reason"] == "a new column"
    assert stage.balances() == {"ann": 3}
    events = [each["event"] for each in call("observers", "history", "balances", "--after", "1").json]
    assert events == ["ObserverTaken", "ObserverReleased"]
    assert len(call("observers", "history", "balances", "--limit", "2").json) == 2


def test_a_replay_beside_brings_the_next_generation(stage: Stage, call: Milepost) -> None:
    stage.deposit("ann", 1, 2)
    stage.go()

    call("observers", "replay", "balances", "--beside")
    stage.work()

    assert call("observers", "show", "balances").json["generation"] == 2
    assert stage.balances() == {"ann": 3}


def test_a_partition_is_replayed_alone_by_the_beginning_of_its_key(stage: Stage, call: Milepost) -> None:
    ann = stage.deposit("ann", 1, 2)
    stage.deposit("bob", 4)
    stage.go()

    started = call("observers", "replay", "balances", "--partition", ann[:13]).json[0]
    stage.work()

    assert call("jobs", "get", started["id"]).json["request"] == {"observer": "balances", "partition": ann}
    assert stage.balances() == {"ann": 3, "bob": 4}


def test_a_catch_up_registers_an_observer_that_was_never_seen_and_shows_it_at_work(
    stage: Stage, call: Milepost
) -> None:
    stage.deposit("ann", 1, 2)

    started = call("observers", "catch-up", "balances").json[0]
    registered = call("observers", "show", "balances").json
    stage.work()

    assert started["changed"]
    assert registered["version"] == 1
    assert call("observers", "show", "balances").json["handled"] == 2
    assert call("observers", "show", "letters").json["version"] == 0


def test_a_job_that_does_just_that_is_found_and_none_is_started_beside_it(stage: Stage, call: Milepost) -> None:
    stage.go()
    first = call("observers", "replay", "balances").json[0]

    again = call("observers", "replay", "balances").json[0]

    assert (again["id"], again["changed"]) == (first["id"], False)


@pytest.mark.parametrize("rival", [("catch-up",), ("replay", "--beside")])
def test_what_the_job_in_its_way_forbids_is_refused_before_a_job_is_started(
    stage: Stage, call: Milepost, rival: tuple[str, ...]
) -> None:
    stage.go()
    replay = call("observers", "replay", "balances").json[0]["id"]

    refused = call("observers", rival[0], "balances", *rival[1:])

    assert (refused.code, refused.error["error"]) == (6, "refused")
    assert replay in refused.error["message"]
    assert call("jobs", "list", "-q").out.split() == [replay]


def test_a_replay_is_not_kept_from_beginning_by_a_catch_up(stage: Stage, call: Milepost) -> None:
    stage.go()
    call("observers", "catch-up", "balances")

    assert call("observers", "replay", "balances").json[0]["changed"]


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        (("replay", "letters"), "neither `tables` nor a `reset`"),
        (("replay", "letters", "--beside"), "only one with `tables`"),
        (("replay", "letters", "--partition", "x"), "no `reset_partition`"),
        (("rebuild-index", "balances"), "no `verify`"),
    ],
)
def test_what_an_observer_lacks_for_it_is_said_and_no_job_is_started(
    stage: Stage, call: Milepost, asked: tuple[str, ...], missing: str
) -> None:
    stage.go()

    refused = call("observers", *asked)

    assert (refused.code, refused.error["error"]) == (6, "refused")
    assert missing in refused.error["message"]
    assert "docs/observers.md" in refused.error["suggestion"]
    assert call("jobs", "list", "-q").out.split() == []


@pytest.mark.parametrize("asked", [("replay", "letters"), ("replay", "balances", "--partition", "x")])
def test_what_is_refused_registers_nothing(stage: Stage, call: Milepost, asked: tuple[str, ...]) -> None:
    call("event-stores", "create")

    refused = call("observers", *asked)

    assert refused.code != 0
    assert call("observers", "show", asked[1]).json["version"] == 0


@pytest.mark.parametrize("failing", [False, True])
def test_an_observer_that_would_soon_be_quarantined_again_says_so_when_it_is_unpaused(
    stage: Stage, call: Milepost, monkeypatch: pytest.MonkeyPatch, *, failing: bool
) -> None:
    monkeypatch.setattr(Balances, "policy", PartitionPolicy(max_failed=1))
    stage.go()
    if failing:
        stage.deposit("ann", 13)
        stage.deposit("bob", 13)
        stage.go()
    Holding(stage.app.database, "Default", stage.app.surroundings, origin()).quarantine("balances", "9 have failed")

    unpaused = call("observers", "unpause", "balances").json[0]

    again = "; but 2 partitions have failed, and at most 1 may: with the next that fails it is quarantined again"
    assert unpaused["message"].endswith(again) is failing


def test_a_partition_that_was_never_met_is_not_found(stage: Stage, call: Milepost) -> None:
    stage.go()

    refused = call("observers", "replay", "balances", "--partition", "nobody")

    assert (refused.code, refused.error["error"]) == (1, "not_found")


@pytest.mark.parametrize("verb", ["show", "history", "replay", "catch-up", "rebuild-index", "pause", "unpause"])
def test_an_observer_that_nobody_knows_is_not_found(stage: Stage, call: Milepost, verb: str) -> None:
    stage.go()

    refused = call("observers", verb, "nobody")

    assert (refused.code, refused.out, refused.error["error"]) == (1, "", "not_found")


def test_a_paused_observer_is_handed_nothing_until_it_is_unpaused(stage: Stage, call: Milepost) -> None:
    stage.go()
    paused = call("observers", "pause", "balances", "--reason", "maintenance").json[0]
    again = call("observers", "pause", "balances").json[0]
    stage.deposit("ann", 1)
    stage.go()
    meanwhile = call("observers", "show", "balances").json
    unpaused = call("observers", "unpause", "balances").json[0]
    stage.go()

    assert (paused["changed"], paused["status"], again["changed"]) == (True, "Paused", False)
    assert (meanwhile["status"], meanwhile["lag"], meanwhile["handled"]) == ("Paused", 2, 0)
    assert (unpaused["changed"], unpaused["status"]) == (True, "Active")
    assert stage.balances() == {"ann": 1}
    assert call("observers", "history", "balances").json[1]["reason"] == "maintenance"


def test_an_observer_can_be_paused_before_it_was_ever_run(stage: Stage, call: Milepost) -> None:
    call("event-stores", "create")
    assert call("observers", "unpause", "balances").json[0]["changed"] is False
    assert call("observers", "pause", "balances").json[0]["changed"] is True
    stage.deposit("ann", 1)
    stage.go()

    assert call("observers", "show", "balances").json["handled"] == 0


def test_a_stopped_replay_is_still_a_replay_and_nobody_else_may_have_the_observer(stage: Stage, call: Milepost) -> None:
    stage.go()
    job = call("observers", "replay", "balances").json[0]["id"]
    worker, executor = stage.app.worker(slots=1, kind="threads")
    while call("observers", "show", "balances").json["status"] != "Replaying":
        worker.turn()
    stage.leave()

    shown = call("observers", "show", "balances").json

    assert (shown["status"], shown["doing"], shown["job"]) == ("Replaying", "replay", job)
    worker.run(lambda: not worker.jobs)
    executor.close()


def test_observers_of_another_namespace_are_not_seen(stage: Stage, call: Milepost) -> None:
    stage.deposit("ann", 1)
    stage.go()

    assert call("observers", "show", "balances", "-n", "Other").json["version"] == 0


def test_documents_fit_their_published_schemas(stage: Stage, call: Milepost) -> None:
    from jsonschema import validate

    stage.deposit("ann", 1, 13)
    stage.go()

    validate(call("observers", "show", "balances").json, schema_of("observer"))
    for event in call("observers", "history", "balances").json:
        validate(event, schema_of("observer-event"))
    validate(call("observers", "pause", "balances").json[0], schema_of("observer-result"))


def test_as_many_steps_may_be_asked_for_as_there_are_slices(stage: Stage, call: Milepost) -> None:
    assert call("observers", "replay", "balances", "--parallel", str(SLICES + 1)).code == 5
    assert call("observers", "replay", "balances", "--partition", "x", "--beside").code == 5
    assert call("observers", "replay", "balances", "--timeout", "1").code == 5
