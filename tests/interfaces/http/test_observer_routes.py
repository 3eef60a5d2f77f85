"""Observers and failed partitions over HTTP, on an application's real events."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from milepost.infrastructure.event_store.tokens import Role
from milepost.interfaces.http import metrics
from tests.infrastructure.observers.accounts import Balances, deposit, open_accounts
from tests.interfaces.http.served import MINE, THEIRS, space_of
from tests.interfaces.http.watched import ANY_KEY, POISON, Watched, watched
from tests.length import kinds

MY_SPACE: Final = space_of(MINE)


@pytest.fixture(params=kinds("file", "server", short=["file"]))  # the command line asks the same on both
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    with watched(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def client(house: Watched) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=house.url, timeout=60, trust_env=False, verify=False) as found:
        yield found


def partition(key: object) -> str:
    return f"/failed-partitions/balances/{quote(str(key), safe='')}"


def of_keyed(command: str = "") -> str:
    return f"/failed-partitions/keyed/{quote(ANY_KEY, safe='')}{command}"


# -- what is so


def test_observers_are_listed_with_how_far_they_are_and_what_failed(house: Watched, client: httpx.Client) -> None:
    house.failing()
    found = {each["name"]: each for each in client.get("/observers").json()["observers"]}

    assert {"balances", "keyed"} <= set(found)
    one = found["balances"]
    assert (one["status"], one["failedPartitions"], one["waiting"], one["handled"]) == ("Active", 1, 2, 2)
    assert one["position"] == one["newest"]
    assert one | {"partitions": 2} == client.get("/observers/balances").json()


def test_the_etag_of_an_observer_is_the_version_of_its_history(house: Watched, client: httpx.Client) -> None:
    house.live.turn()
    before = client.get("/observers/balances")
    client.post("/observers/balances/pause", json={"reason": "why"})
    after = client.get("/observers/balances")

    assert before.headers["etag"] == f'"{before.json()["version"]}"'
    assert after.headers["etag"] == f'"{before.json()["version"] + 1}"'


def test_its_history_comes_page_by_page(house: Watched, client: httpx.Client) -> None:
    house.failing()
    client.post("/observers/balances/pause", json={"reason": "a release"})
    whole = client.get("/observers/balances/history").json()
    pages: list[Any] = []
    after = 0
    while after is not None:
        page = client.get("/observers/balances/history", params={"limit": 1, "after": after}).json()
        pages += page["events"]
        after = page["next"]

    assert whole["next"] is None
    assert pages == whole["events"]
    assert [each["event"] for each in pages] == ["ObserverRegistered", "PartitionFailed", "ObserverPaused"]
    assert (pages[-1]["reason"], pages[-1]["source"]) == ("a release", "http")


@pytest.mark.parametrize("path", ["", "/history"])
@pytest.mark.parametrize("name", ["nobody", "no%20name", "x" * 201, "%2E%2E"])
def test_an_observer_that_nobody_has_seen_is_not_found(client: httpx.Client, path: str, name: str) -> None:
    answer = client.get(f"/observers/{name}{path}")

    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


def test_a_failed_partition_shows_its_attempts(house: Watched, client: httpx.Client) -> None:
    ann = house.failing()
    (listed,) = client.get("/failed-partitions", params={"observer": "balances"}).json()["partitions"]
    one = client.get(partition(ann.id)).json()

    assert (listed["partition"], listed["waiting"], listed["attempts"]) == (str(ann.id), 2, 1)
    assert listed["history"] == []
    assert [each["error"]["type"].rpartition(".")[2] for each in one["history"]] == ["Poisoned"]
    assert one | {"history": []} == listed


def test_failed_partitions_come_page_by_page_across_observers(house: Watched, client: httpx.Client) -> None:
    for account in open_accounts(house.bank, 3):
        deposit(house.bank, account, POISON)
    house.live.turn()
    whole = client.get("/failed-partitions").json()
    pages: list[Any] = []
    after: str | None = None
    while True:
        page = client.get("/failed-partitions", params={"limit": 1} | ({"after": after} if after else {})).json()
        pages += page["partitions"]
        if (after := page["next"]) is None:
            break

    assert [each["observer"] for each in pages] == ["balances"] * 3 + ["keyed"]
    assert pages == whole["partitions"]


def test_a_partition_may_have_any_sign_in_its_name(house: Watched, client: httpx.Client) -> None:
    house.failing()

    assert client.get(of_keyed()).json()["partition"] == ANY_KEY
    assert client.post(of_keyed("/retry")).json()["partition"] == ANY_KEY
    assert client.post(of_keyed("/skip"), json={"reason": "it is nothing"}).json()["partition"] == ANY_KEY


def test_a_partition_that_goes_on_with_the_others_has_not_failed(house: Watched, client: httpx.Client) -> None:
    house.failing()
    answers = [client.get(partition("nothing")), client.post(f"{partition('nothing')}/retry")]

    assert [(each.status_code, each.json()["error"]) for each in answers] == [(404, "not_found")] * 2


def test_a_diagnosis_is_answered_with_200_whether_all_is_well_or_not(house: Watched, client: httpx.Client) -> None:
    house.failing()
    answer = client.get("/diagnosis")

    assert answer.status_code == 200
    assert not answer.json()["healthy"]
    assert "failed-partitions" in {each["area"] for each in answer.json()["findings"] if not each["healthy"]}


def test_a_viewers_diagnosis_waits_for_nobody_who_writes(tmp_path: Path) -> None:
    with watched("file", tmp_path, open_here=False) as house:
        house.live.turn()
        tokens = [house.server.token(role.name.lower(), role) for role in (Role.VIEWER, Role.OPERATOR)]
        with house.server.asking(tokens[0]) as viewer, house.app.database.write():
            seen = viewer.get(f"{MY_SPACE}/diagnosis")
        with house.server.asking(tokens[1]) as operator:
            tried = operator.get(f"{MY_SPACE}/diagnosis")

    messages = [
        next(each["message"] for each in answer.json()["findings"] if each["area"] == "event-store")
        for answer in (seen, tried)
    ]
    assert [message.partition(" answers")[2] for message in messages] == ["", ", and can be written to"]


# -- what is done


def test_an_observer_is_paused_and_goes_on(house: Watched, client: httpx.Client) -> None:
    house.live.turn()
    paused = client.post("/observers/balances/pause", json={"reason": "why"}).json()
    again = client.post("/observers/balances/pause").json()
    unpaused = client.post("/observers/balances/unpause").json()

    assert [(each["changed"], each["status"]) for each in (paused, again, unpaused)] == [
        (True, "Paused"),
        (False, "Paused"),
        (True, "Active"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "job_type"),
    [
        ("catch-up", {"parallel": 2}, "catch-up-observer"),
        ("replay", {}, "replay-observer"),
        ("replay", {"beside": True, "parallel": 2}, "replay-observer"),
    ],
)
def test_a_job_on_an_observer_is_started_once_under_its_key(
    house: Watched, client: httpx.Client, path: str, body: dict[str, Any], job_type: str
) -> None:
    house.live.turn()
    first, again = (
        client.post(f"/observers/balances/{path}", json=body, headers={"Idempotency-Key": "once"}) for _ in range(2)
    )
    job = client.get(f"/jobs/{first.json()['id']}").json()

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert (job["type"], job["request"]["observer"]) == (job_type, "balances")
    assert first.headers["etag"] == f'"{job["version"]}"'


def test_a_partition_is_replayed_alone(house: Watched, client: httpx.Client) -> None:
    ann, _ = open_accounts(house.bank, 2)
    deposit(house.bank, ann, 1, 2)
    house.live.turn()
    started = client.post("/observers/balances/replay", json={"partition": str(ann.id)})

    assert started.status_code == 201
    assert house.work(started.json()["id"]) == "CompletedSuccessfully"
    assert client.get("/observers/balances").json()["failedPartitions"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"partition": "x", "beside": True},
        {"partition": "x", "parallel": 2},
        {"partition": ""},
        {"parallel": 0},
        {"parallel": 9},
        {"kind": "replay"},
        {"reason": "x" * 2_001},
    ],
    ids=str,
)
def test_a_replay_that_makes_no_sense_is_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post("/observers/balances/replay", json=body)

    assert (answer.status_code, answer.json()["error"]) == (400, "validation_error")


def test_an_observer_that_cannot_be_undone_refuses_a_replay_at_once(house: Watched, client: httpx.Client) -> None:
    house.live.turn()
    for path, body in (("replay", {}), ("replay", {"beside": True}), ("rebuild-index", {})):
        answer = client.post(f"/observers/keyed/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]) == (409, "refused")

    assert client.get("/jobs").json()["jobs"] == []


def test_a_retry_after_a_fix_brings_a_partition_back_to_the_others(house: Watched, client: httpx.Client) -> None:
    ann = house.failing()
    Balances.poison = set()
    done = client.post(f"{partition(ann.id)}/retry", json={"reason": "it is mended"}).json()

    assert house.work(done["job"]) == "CompletedSuccessfully"
    assert client.get("/failed-partitions", params={"observer": "balances"}).json()["partitions"] == []


@pytest.mark.parametrize("body", [None, {}, {"reason": ""}, {"reason": " "}])
def test_no_event_is_skipped_without_a_reason(
    house: Watched, client: httpx.Client, body: dict[str, str] | None
) -> None:
    ann = house.failing()
    before = client.get(partition(ann.id)).json()
    answer = client.post(f"{partition(ann.id)}/skip", json=body)

    assert (answer.status_code, answer.json()["error"]) == (400, "validation_error")
    assert client.get(partition(ann.id)).json() == before


def test_a_skip_stands_in_the_history_with_its_reason(house: Watched, client: httpx.Client) -> None:
    ann = house.failing()
    done = client.post(f"{partition(ann.id)}/skip", json={"reason": "a test's deposit"}).json()
    assert house.work(done["job"]) == "CompletedSuccessfully"
    events = client.get("/observers/balances/history").json()["events"]
    (skipped,) = [each for each in events if each["event"] == "PartitionSkipped"]

    assert (skipped["partition"], skipped["reason"]) == (str(ann.id), "a test's deposit")
    assert skipped["data"]["position"] == done["position"]
    assert client.get("/observers/balances").json()["failedPartitions"] == 0


@pytest.mark.parametrize("command", ["retry", "skip"])
def test_who_has_seen_another_event_fail_changes_nothing(house: Watched, client: httpx.Client, command: str) -> None:
    ann = house.failing()
    before = client.get(partition(ann.id)).json()
    seen = before["position"]
    body = {"reason": "why", "ifPosition": seen + 1}
    answer = client.post(f"{partition(ann.id)}/{command}", json=body)

    assert (answer.status_code, answer.json()["error"]) == (412, "refused")
    assert client.get(partition(ann.id)).json() == before
    assert client.post(f"{partition(ann.id)}/{command}", json=body | {"ifPosition": seen}).status_code == 200


# -- who may see it


def test_a_token_of_one_namespace_sees_no_observer_of_another(tmp_path: Path) -> None:
    with watched("file", tmp_path, open_here=False) as house:
        house.register(THEIRS)
        house.failing()
        house.live.turn()
        paths = ("/observers", "/observers/balances", "/observers/balances/history", "/failed-partitions", "/diagnosis")
        mine = house.server.token("mine", Role.ADMIN, MINE)
        with house.server.asking(mine) as client:
            assert [client.get(space_of(MINE) + path).status_code for path in paths] == [200] * len(paths)
            for path in (*paths, "/observers/stream", "/failed-partitions/balances/x"):
                there, nowhere = (client.get(space_of(each) + path) for each in (THEIRS, "Nowhere"))
                assert there.status_code == 404
                assert there.text.replace(THEIRS, "Nowhere") == nowhere.text


def test_what_is_done_is_done_by_the_name_of_the_token(tmp_path: Path) -> None:
    with watched("file", tmp_path, open_here=False) as house:
        house.live.turn()
        with house.server.asking(house.server.token("carol", Role.OPERATOR)) as carol:
            carol.post(f"{MY_SPACE}/observers/balances/pause")
            newest = carol.get(f"{MY_SPACE}/observers/balances/history").json()["events"][-1]

    assert (newest["event"], newest["actor"], newest["source"]) == ("ObserverPaused", "carol", "http")


# -- figures


def test_figures_tell_of_each_observer(tmp_path: Path) -> None:
    with watched("file", tmp_path, open_here=False) as house:
        house.failing()
        with house.server.asking(house.server.token("prometheus", Role.ADMIN)) as client:
            text = client.get("/metrics").text

    labels = '{namespace="Default",observer="balances"}'
    assert f"milepost_observer_lag_events{labels} 0.0" in text
    assert f"milepost_observer_handled_events{labels} 2.0" in text
    assert f"milepost_observer_failed_partitions{labels} 1.0" in text


def test_figures_tell_of_so_many_observers_and_of_the_others_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_OBSERVERS", 1)
    with watched("file", tmp_path, open_here=False) as house:
        house.failing()
        for number in range(3):
            house.register(f"space-{number}")
        with house.server.asking(house.server.token("prometheus", Role.ADMIN)) as client:
            text = client.get("/metrics").text

    found = [line for line in text.splitlines() if line.startswith("milepost_observer_failed_partitions{")]
    assert len(found) == 2
    assert 'milepost_observer_failed_partitions{namespace="(others)",observer="(others)"} 1.0' in found
