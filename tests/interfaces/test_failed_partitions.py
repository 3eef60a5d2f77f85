"""`milepost failed-partitions`: what waits and why, tried again or skipped, and nothing by mistake."""

import pytest
from jsonschema import validate

from milepost.infrastructure.event_store.schema import observer_partitions
from milepost.infrastructure.observers.holding import Holding
from milepost.interfaces.bootstrap import origin
from milepost.interfaces.schemas import schema_of
from tests.interfaces.conftest import Milepost
from tests.interfaces.savings_stage import Stage

ON_ALL_STORES = True


@pytest.fixture
def ann(stage: Stage) -> str:
    """The partition of an account whose third deposit cannot be handled; two more wait behind it."""
    partition = stage.deposit("ann", 1, 2, 13, 4, 5)
    stage.deposit("bob", 7)
    stage.go()
    return partition


def test_a_failed_partition_is_listed_with_what_waits_and_its_error(stage: Stage, ann: str, call: Milepost) -> None:
    (listed,) = call("failed-partitions", "list").json

    assert (listed["observer"], listed["partition"], listed["status"]) == ("balances", ann, "Failed")
    assert (listed["position"], listed["waiting"], listed["attempts"]) == (4, 3, 1)
    assert listed["error"] == "ValueError: nobody takes 13"
    assert listed["retryAt"] > listed["since"]
    assert call("failed-partitions", "list", "--observer", "letters").json == []
    assert call("failed-partitions", "list", "-n", "Other").json == []


def test_a_failed_partition_is_shown_by_the_beginning_of_its_key_with_its_attempts(
    stage: Stage, ann: str, call: Milepost
) -> None:
    shown = call("failed-partitions", "show", "balances", ann[:13]).json

    assert shown["partition"] == ann
    (attempt,) = shown["history"]
    assert (attempt["attempt"], attempt["position"]) == (1, 4)
    assert "nobody takes 13" in attempt["error"]["traceback"]
    validate(shown, schema_of("failed-partition"))
    told = call("failed-partitions", "show", "balances", ann, "-o", "table").out
    assert "Traceback (most recent call last):" in told


def test_a_partition_that_has_not_failed_is_not_found(stage: Stage, ann: str, call: Milepost) -> None:
    bob = stage.deposit("bob", 8)

    for words in (("show",), ("retry",), ("skip", "--reason", "x", "-y")):
        refused = call("failed-partitions", words[0], "balances", bob, *words[1:])

        assert (refused.code, refused.out, refused.error["error"]) == (1, "", "not_found")
        assert refused.error["message"] == f"Partition {bob} of observer 'balances' has not failed."


def test_no_partition_at_all_is_refused(stage: Stage, ann: str, call: Milepost) -> None:
    for verb in ("show", "retry"):
        refused = call("failed-partitions", verb, "balances", "")

        assert (refused.code, refused.error["message"]) == (5, "It is not said which partition")


def test_a_beginning_of_several_keys_is_refused_and_a_whole_key_is_not(stage: Stage, call: Milepost) -> None:
    call("event-stores", "create")
    call("observers", "pause", "balances")
    held(stage, "order-1", "order-12")

    refused = call("failed-partitions", "show", "balances", "order")

    assert (refused.code, refused.error["error"]) == (5, "validation_error")
    assert "order-1, order-12" in refused.error["message"]
    assert call("failed-partitions", "show", "balances", "order-1").json["partition"] == "order-1"


@pytest.mark.parametrize("stands_still", ["paused", "quarantined", "left"])
def test_a_partition_that_nobody_tries_again_says_so_instead_of_when(
    stage: Stage, ann: str, call: Milepost, stands_still: str
) -> None:
    if stands_still == "paused":
        call("observers", "pause", "balances")
    elif stands_still == "quarantined":
        Holding(stage.app.database, "Default", stage.app.surroundings, origin()).quarantine("balances", "why")
    else:
        stage.leave()
    (listed,) = call("failed-partitions", "list").json
    why = {"left": "no process runs its observer"}.get(stands_still, f"its observer is {stands_still}")

    assert (listed["status"], listed["retryAt"], listed["heldUp"]) == ("Failed", None, why)
    assert why in call("failed-partitions", "list", "-o", "table").out
    assert why in call("failed-partitions", "show", "balances", ann, "-o", "table").out
    assert call("failed-partitions", "show", "balances", ann).json["heldUp"] == why


def test_many_are_listed_page_by_page_and_none_twice(stage: Stage, call: Milepost) -> None:
    call("event-stores", "create")
    for observer in ("balances", "letters"):
        call("observers", "pause", observer)
        held(stage, *(f"order-{number:03}" for number in range(25)), observer=observer)
    pages: list[list[str]] = []
    after: list[str] = []
    while page := call("failed-partitions", "list", "--limit", "10", "-q", *after).out.split():
        pages.append(page)
        after = ["--after", page[-1]]

    listed = [each for page in pages for each in page]
    assert [len(page) for page in pages] == [10, 10, 10, 10, 10]
    assert listed == [f"{observer}/order-{n:03}" for observer in ("balances", "letters") for n in range(25)]
    behind = call("failed-partitions", "list", "--observer", "letters", "--after", "order-022", "-q").out.split()
    assert behind == ["order-023", "order-024"]
    assert "--after letters/order-019" in call("failed-partitions", "list", "--limit", "45").err
    assert call("failed-partitions", "list", "--after", "order-1").code == 5


def test_a_partition_that_is_tried_again_after_a_fix_comes_to_its_end(stage: Stage, ann: str, call: Milepost) -> None:
    stage.mend()

    retried = call("failed-partitions", "retry", "balances", ann[:13], "--reason", "mended").json[0]
    working = call("failed-partitions", "show", "balances", ann).json
    stage.work()

    assert (retried["partition"], retried["position"], retried["changed"]) == (ann, 4, True)
    assert working["job"] == retried["job"]
    assert call("failed-partitions", "list").json == []
    assert stage.balances() == {"ann": 25, "bob": 7}
    assert [each["reason"] for each in call("observers", "history", "balances").json if each["reason"]] == ["mended"]


def test_one_that_fails_again_says_so_and_its_attempts_are_counted_anew(stage: Stage, ann: str, call: Milepost) -> None:
    job = call("failed-partitions", "retry", "balances", ann, "-q").out.strip()
    stage.work()

    assert call("jobs", "wait", job).code == 10
    shown = call("failed-partitions", "show", "balances", ann).json
    assert (shown["status"], shown["attempts"], len(shown["history"])) == ("Failed", 1, 2)


def test_all_of_an_observer_are_tried_again_when_that_is_confirmed(stage: Stage, ann: str, call: Milepost) -> None:
    stage.deposit("cid", 13)
    stage.go()
    stage.mend()

    unasked = call("failed-partitions", "retry", "balances", "--all")
    retried = call("failed-partitions", "retry", "balances", "--all", "-y").json
    stage.work()

    assert (unasked.code, unasked.out) == (5, "")
    assert len(retried) == 2
    assert stage.balances() == {"ann": 25, "bob": 7, "cid": 13}
    assert call("failed-partitions", "retry", "balances", "--all", "-y").json == []


def test_those_that_can_be_tried_again_are_where_one_of_several_cannot(stage: Stage, ann: str, call: Milepost) -> None:
    done = call("failed-partitions", "retry", "balances", "nobody", ann)

    assert (done.code, [each["partition"] for each in done.json]) == (1, [ann])


def test_an_event_is_skipped_for_a_reason_when_that_is_confirmed(stage: Stage, ann: str, call: Milepost) -> None:
    words = ("failed-partitions", "skip", "balances", ann[:13])

    assert call(*words, "-y").code == 5
    assert call(*words, "-y", "--reason", " ").code == 5
    assert call(*words, "--reason", "nobody needs it").code == 5
    assert call("failed-partitions", "show", "balances", ann).json["position"] == 4
    skipped = call(*words, "-y", "--reason", "nobody needs it").json[0]
    stage.work()

    assert (skipped["position"], skipped["partition"]) == (4, ann)
    assert stage.balances() == {"ann": 12, "bob": 7}
    events = call("observers", "history", "balances").json
    assert [each["reason"] for each in events if each["event"] == "PartitionSkipped"] == ["nobody needs it"]


def test_another_event_than_the_one_that_was_seen_is_not_skipped(stage: Stage, ann: str) -> None:
    from milepost.domain.observers.errors import PartitionWentOn
    from milepost.interfaces.error_mapping import REFUSED, problem_of
    from milepost.interfaces.local_service import LocalService

    service = LocalService(stage.app, "Default")

    with pytest.raises(PartitionWentOn) as raised:
        service.change_partition("balances", ann, "skip", "seen before", if_position=3)

    problem = problem_of(raised.value)
    assert problem is not None
    assert (problem.code, "that at 4, not that at 3" in problem.message) == (REFUSED, True)
    assert service.failed_partition("balances", ann).position == 4


def test_words_that_make_no_sense_together_are_refused(stage: Stage, ann: str, call: Milepost) -> None:
    for words in (
        ("retry", "balances"),
        ("retry", "balances", ann, "--all"),
        ("retry", "balances", ann, "--timeout=1"),
    ):
        assert call("failed-partitions", *words).code == 5


def held(stage: Stage, *partitions: str, observer: str = "balances") -> None:
    """Rows as failures would have left them."""
    rows = [
        {"namespace": "Default", "observer": observer, "generation": 1, "partition": partition, "status": "Quarantined",
         "position": 1, "attempts": 2, "error": None, "retry_at": None, "since": "2026-11-01T00:00:00+00:00"}
        for partition in partitions
    ]  # fmt: skip
    with stage.app.database.write() as connection:
        connection.execute(observer_partitions.insert(), rows)
