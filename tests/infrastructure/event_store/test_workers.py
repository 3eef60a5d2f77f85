"""Which workers live, and why jobs wait although they do, on every store."""

import json
from uuid import UUID

import sqlalchemy as sa

from milepost.infrastructure.event_store.schema import refusals, workers
from milepost.infrastructure.event_store.store import WorkerRecord
from tests.infrastructure.event_store.scene import LEASE_SECONDS, Scene


def register(scene: Scene, name: str = "w1") -> None:
    worker = WorkerRecord(name, ("import", "export"), 4, scene.surroundings.now())
    scene.store.register_worker(worker, LEASE_SECONDS)


def known(scene: Scene) -> dict[str, float]:
    with scene.store.database.read() as connection:
        return {row.name: row.expires_at for row in connection.execute(sa.select(workers))}


def refused(scene: Scene) -> dict[tuple[UUID, str], str]:
    with scene.store.database.read() as connection:
        return {(UUID(row.job_id), row.worker): row.why for row in connection.execute(sa.select(refusals))}


def test_a_worker_is_known_with_its_types_from_its_registration_to_its_end(scene: Scene) -> None:
    register(scene)

    with scene.store.database.read() as connection:
        row = connection.execute(sa.select(workers)).one()
    assert (row.name, json.loads(row.types), row.slots) == ("w1", ["export", "import"], 4)
    scene.store.deregister_worker("w1")
    assert known(scene) == {}


def test_a_heartbeat_prolongs_the_life_of_its_worker_alone(scene: Scene) -> None:
    register(scene, "w1")
    register(scene, "w2")
    before = known(scene)
    scene.surroundings.wait(3)

    scene.store.renew("w1", LEASE_SECONDS)

    after = known(scene)
    assert after["w1"] == before["w1"] + 3
    assert after["w2"] == before["w2"]


def test_a_worker_that_was_silent_for_an_hour_is_forgotten_when_the_next_comes(scene: Scene) -> None:
    register(scene, "w1")
    scene.start("unknown")
    scene.store.note_refusals("w1", ["import"])
    scene.surroundings.wait(3_600)
    register(scene, "w2")
    assert set(known(scene)) == {"w1", "w2"}
    scene.surroundings.wait(LEASE_SECONDS + 1)

    register(scene, "w3")

    assert set(known(scene)) == {"w2", "w3"}
    assert refused(scene) == {}


def test_jobs_of_types_that_a_worker_does_not_know_say_so(scene: Scene) -> None:
    job = scene.start("unknown")
    scene.start("import")

    scene.store.note_refusals("w1", ["import"])

    assert refused(scene) == {(job.id, "w1"): "worker w1 does not know the job type 'unknown'"}


def test_every_worker_says_it_for_itself(scene: Scene) -> None:
    job = scene.start("unknown")

    scene.store.note_refusals("w1", [])
    scene.store.note_refusals("w2", [])

    assert set(refused(scene)) == {(job.id, "w1"), (job.id, "w2")}


def test_nothing_is_written_when_nothing_is_new(scene: Scene) -> None:
    scene.start("unknown")
    scene.store.note_refusals("w1", ["import"])
    marker = scene.store.database.change_marker()

    scene.store.note_refusals("w1", ["import"])

    assert scene.store.database.change_marker() == marker


def test_jobs_that_are_held_or_at_rest_need_no_word(scene: Scene) -> None:
    scene.running()
    scene.stop(scene.start().id)

    scene.store.note_refusals("w2", [])

    assert refused(scene) == {}


def test_many_waiting_jobs_are_noted_a_part_at_a_time(scene: Scene) -> None:
    for _ in range(201):
        scene.start("unknown")

    scene.store.note_refusals("w1", [])
    assert len(refused(scene)) == 200
    scene.store.note_refusals("w1", [])
    assert len(refused(scene)) == 201


def test_what_a_worker_says_later_replaces_what_it_said_first(scene: Scene) -> None:
    job = scene.start()
    scene.store.note_refusal(job.id, "w1", "months: a list is needed")
    scene.store.note_refusal(job.id, "w1", "months: too many")

    assert refused(scene) == {(job.id, "w1"): "months: too many"}


def test_a_claim_ends_all_that_was_said_of_the_job(scene: Scene) -> None:
    job = scene.start()
    scene.store.note_refusal(job.id, "w1", "it is full")

    scene.claimed("w2")

    assert refused(scene) == {}


def test_the_end_of_a_worker_ends_what_it_said(scene: Scene) -> None:
    scene.store.note_refusal(scene.start().id, "w1", "it is full")

    scene.store.deregister_worker("w1")

    assert refused(scene) == {}
