"""How workers carry out the rules: one at a time, again when they are due, and whatever goes wrong."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.infrastructure.event_store.database import Database, open_database
from milepost.infrastructure.event_store.job_not_found import JobPruned
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.event_store.schema import retention
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.retention import keeper
from milepost.infrastructure.retention.keeper import Retention
from milepost.infrastructure.retention.ledger import AGAIN_SECONDS, LEASE_SECONDS, TROUBLE_SECONDS, Ledger
from milepost.infrastructure.retention.rules import RetentionRule
from tests.infrastructure.event_store.scene import Scene, Surroundings
from tests.stores import url_of

OLD = RetentionRule("old", timedelta(days=30), "rule old (older_than 30d)")
OTHER = RetentionRule("other", timedelta(days=60), "rule other (older_than 60d)")
A_MONTH = 31 * 86_400


@pytest.fixture(params=["file", "server"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    database = open_database(url_of(request.param, tmp_path))
    yield database
    database.close()


@pytest.fixture
def scene(database: Database) -> Scene:
    surroundings = Surroundings()
    return Scene(JobStore(database, surroundings), surroundings)


def keeper_of(scene: Scene, *rules: RetentionRule, worker: str = "w1") -> Retention:
    return Retention(scene.store.database, scene.surroundings, rules or (OLD,), worker, "default")


def ids(scene: Scene) -> list[str]:
    with scene.store.database.read() as connection:
        return [str(each) for each in connection.exec_driver_sql("SELECT id FROM milepost_jobs ORDER BY id").scalars()]


def row(scene: Scene, rule: str = "old") -> sa.Row[tuple[object, ...]]:
    with scene.store.database.read() as connection:
        return connection.execute(sa.select(retention).where(retention.c.rule == rule)).one()


def test_what_a_rule_means_goes_and_its_tombstone_names_the_rule(scene: Scene) -> None:
    gone = scene.completed()
    scene.surroundings.wait(A_MONTH)
    kept = scene.completed()

    keeper_of(scene).turn()

    assert ids(scene) == [str(kept.id)]
    with pytest.raises(JobPruned) as refused:
        JobQueries(scene.store.database).job("Default", str(gone.id))
    told = refused.value.tombstone
    assert (told.actor, told.reason) == ("retention", OLD.told)
    assert (row(scene).jobs, row(scene).trouble, row(scene).holder) == (1, None, None)


def test_all_that_a_rule_means_goes_in_one_turn_part_by_part(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "AT_ONCE", 2)
    for _ in range(5):
        scene.completed()
    scene.surroundings.wait(A_MONTH)

    keeper_of(scene).turn()

    assert ids(scene) == []
    assert row(scene).jobs == 5


def test_a_rule_is_not_carried_out_before_it_is_due_again_by_whomever(scene: Scene) -> None:
    keeper_of(scene).turn()
    scene.completed()
    scene.surroundings.wait(A_MONTH)
    due_at = scene.surroundings.now().timestamp() + AGAIN_SECONDS
    with scene.store.database.write() as connection:
        connection.execute(retention.update().values(due_at=due_at))

    keeper_of(scene, worker="w2").turn()
    assert len(ids(scene)) == 1

    scene.surroundings.wait(AGAIN_SECONDS)
    keeper_of(scene, worker="w2").turn()
    assert ids(scene) == []


def test_one_worker_at_a_time_carries_out_rules(scene: Scene) -> None:
    first, second = (Ledger(scene.store.database, scene.surroundings, name) for name in ("w1", "w2"))

    assert first.take("old")
    assert not second.take("old")
    assert not second.take("other")
    first.leave("old", trouble=None, in_seconds=AGAIN_SECONDS)
    assert second.take("other")
    assert not first.take("old")


def test_the_rule_of_a_worker_that_was_killed_is_another_ones_when_its_lease_has_run_out(scene: Scene) -> None:
    scene.completed()
    scene.surroundings.wait(A_MONTH)
    assert Ledger(scene.store.database, scene.surroundings, "killed").take("old")

    keeper_of(scene).turn()
    assert len(ids(scene)) == 1
    scene.surroundings.wait(LEASE_SECONDS)
    keeper_of(scene).turn()
    assert ids(scene) == []


def test_who_has_lost_a_rule_changes_nothing_of_it_any_more(scene: Scene) -> None:
    slow, other = (Ledger(scene.store.database, scene.surroundings, name) for name in ("slow", "other"))
    assert slow.take("old")
    scene.surroundings.wait(LEASE_SECONDS)
    assert other.take("old")

    assert not slow.count("old", 0)
    slow.leave("old", trouble="late", in_seconds=0)

    assert (row(scene).holder, row(scene).trouble) == ("other", None)


def test_a_clock_that_was_set_back_keeps_no_rule_from_being_due(scene: Scene) -> None:
    keeper_of(scene).turn()
    scene.completed()
    scene.surroundings.wait(A_MONTH)
    with scene.store.database.write() as connection:
        connection.execute(retention.update().values(due_at=scene.surroundings.now().timestamp() + A_MONTH))

    keeper_of(scene).turn()

    assert ids(scene) == []


def test_a_rule_that_fails_is_told_and_tried_again_and_the_others_are_carried_out(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "kept"
    archived = RetentionRule("old", timedelta(days=30), "rule old", keep=1, archive=folder)
    for _ in range(3):
        scene.completed()
    scene.surroundings.wait(A_MONTH)
    made = keeper_of(scene, archived, OTHER)

    made.turn()
    scene.surroundings.wait(TROUBLE_SECONDS)
    made.turn()

    assert len(ids(scene)) == 3
    assert str(row(scene).trouble).startswith(f"The archive in {folder} could not be written")
    assert row(scene, "other").trouble is None
    assert len([each for each in caplog.records if "retention old" in each.message]) == 1  # once, not at every try

    folder.mkdir()
    scene.surroundings.wait(TROUBLE_SECONDS)
    made.turn()
    assert len(ids(scene)) == 1
    assert row(scene).trouble is None
    assert len(list(folder.iterdir())) == 1


def test_a_folder_that_is_not_there_is_told_before_there_is_anything_to_archive(scene: Scene, tmp_path: Path) -> None:
    keeper_of(scene, replace(OLD, archive=tmp_path / "nowhere")).turn()

    assert "there is no such folder" in str(row(scene).trouble)


def test_a_defect_is_that_rules_alone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(keeper.Retention, "_archive", broken)
    defective = RetentionRule("defective", timedelta(0), "rule defective", archive=Path("x"))
    scene.completed()
    scene.surroundings.wait(A_MONTH)

    keeper_of(scene, defective, OLD).turn()

    assert ids(scene) == []
    assert row(scene, "defective").trouble == "a defect: ZeroDivisionError: a defect"


def test_a_worker_that_ends_leaves_the_rest_to_the_next_one_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "AT_ONCE", 1)
    for _ in range(3):
        scene.completed()
    scene.surroundings.wait(A_MONTH)
    ends = keeper_of(scene)
    real = Ledger.count

    def ending(ledger: Ledger, rule: str, jobs: int) -> bool:
        ends.__exit__(None, None, None)
        return real(ledger, rule, jobs)

    monkeypatch.setattr(Ledger, "count", ending)
    ends.turn()
    monkeypatch.setattr(Ledger, "count", real)
    assert len(ids(scene)) == 2

    keeper_of(scene, worker="w2").turn()
    assert ids(scene) == []
