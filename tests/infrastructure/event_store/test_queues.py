"""In which order jobs are taken, and from which queues, on every store."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.domain.commands import StartStep
from milepost.domain.job import Job
from milepost.domain.queues import PriorityInvalid, QueueInvalid
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.queries import BUSY, PERHAPS_LIMITED, TO_BE_TAKEN, JobQueries
from milepost.infrastructure.event_store.store import ClaimOffer, JobStore, Wanted, WorkerRecord
from tests.infrastructure.event_store.scene import LEASE_SECONDS, WORKER, Scene, Surroundings
from tests.length import FULL
from tests.postgres import fresh_url

BOTH = {"import": ClaimOffer(), "export": ClaimOffer()}
Waiting = tuple[str, str, int]  # type, queue, priority


WAITING = st.lists(
    st.tuples(st.sampled_from(["import", "export"]), st.sampled_from(["a", "b", "c"]), st.integers(-2, 2)),
    max_size=12,
)


@pytest.mark.parametrize(
    ("make_url", "examples"),
    [(lambda: "sqlite://", 100 if FULL else 30), (fresh_url, 15 if FULL else 6)],
    ids=["memory", "server"],
)
def test_jobs_are_taken_by_priority_and_then_by_age_over_all_types_and_queues(
    make_url: Callable[[], str], examples: int
) -> None:
    @settings(deadline=None, max_examples=examples)
    @given(waiting=WAITING, queues=st.none() | st.sets(st.sampled_from("abc"), min_size=1))
    def holds(waiting: list[Waiting], queues: set[str] | None) -> None:
        surroundings = Surroundings()
        database = open_database(make_url())
        scene = Scene(JobStore(database, surroundings), surroundings)
        started = [scene.start(of_type, queue=queue, priority=priority) for of_type, queue, priority in waiting]

        taken: list[UUID] = []
        while (job := scene.store.claim(Wanted("w1", BOTH, queues=queues), LEASE_SECONDS, WORKER)) is not None:
            taken.append(job.id)

        due = [job for job in started if queues is None or job.facts.queue in queues]
        assert taken == [job.id for job in sorted(due, key=lambda job: (-job.facts.priority, job.id))]
        database.close()

    holds()


def test_a_higher_priority_is_taken_first_and_a_queue_that_is_not_asked_for_is_left(scene: Scene) -> None:
    older, urgent, elsewhere = scene.start(), scene.start(priority=5), scene.start(queue="night", priority=9)

    def take(queues: set[str] | None) -> object:
        job = scene.store.claim(Wanted("w1", BOTH, queues=queues), LEASE_SECONDS, WORKER)
        return job and job.id

    assert [take({"default"}), take({"default"}), take({"default"}), take(None)] == [
        urgent.id, older.id, None, elsewhere.id,
    ]  # fmt: skip


@pytest.mark.parametrize("queue", ["", "a,b", "-x", "x" * 101, "ä"])
def test_a_queue_that_could_not_be_named_on_a_command_line_is_refused(scene: Scene, queue: str) -> None:
    with pytest.raises(QueueInvalid):
        scene.start(queue=queue)


@pytest.mark.parametrize("priority", [1_001, -1_001, True, 0.5])
def test_a_priority_beyond_the_bounds_is_refused(scene: Scene, priority: int) -> None:
    with pytest.raises(PriorityInvalid):
        scene.start(priority=priority)


def test_a_job_in_a_queue_that_no_worker_takes_says_so(scene: Scene) -> None:
    job, now = scene.start(queue="night"), scene.surroundings.now()
    day = WorkerRecord("w1", ("import",), 1, now, queues=("day",))
    scene.store.register_worker(day, LEASE_SECONDS)
    queries = JobQueries(scene.store.database)

    waiting = queries.waiting([queries.job("Default", str(job.id))], now)

    assert "takes the queue 'night'" in waiting[str(job.id)]


def test_workers_are_called_busy_only_where_none_has_a_free_slot(scene: Scene) -> None:
    queries, now = JobQueries(scene.store.database), scene.surroundings.now()
    worker = WorkerRecord("w1", ("export", "import"), 2, now)
    scene.store.register_worker(worker, 100 * LEASE_SECONDS)

    def why(job: Job) -> str:
        return queries.waiting([queries.job("Default", str(job.id))], scene.surroundings.now())[str(job.id)]

    job = scene.start("export")
    assert why(job) == TO_BE_TAKEN
    other = scene.running()
    assert (why(job), why(scene.start())) == (TO_BE_TAKEN, PERHAPS_LIMITED)
    scene.do(other, StartStep(other.claim, 0), StartStep(other.claim, 1))
    assert why(job) == BUSY


def test_a_lease_that_has_just_run_out_is_left_alone_for_as_long_as_was_said(scene: Scene) -> None:
    job = scene.running()
    scene.surroundings.wait(LEASE_SECONDS + 1)

    def take(after: float | None) -> object:
        told: list[str] = []
        found = scene.store.claim(
            Wanted("w2", BOTH, takeover_after=after),
            LEASE_SECONDS,
            WORKER,
            took_over=lambda: told.append("took over"),
        )
        return found and (found.id, told)

    assert [take(None), take(2.0), take(0.5)] == [None, None, (job.id, ["took over"])]


def silent(scene: Scene, jobs: int) -> list[UUID]:
    """Jobs of a worker that has given no sign of life for half a lease."""
    held = [scene.running().id for _ in range(jobs)]
    scene.surroundings.wait(LEASE_SECONDS / 2)
    return held


def test_a_worker_keeps_place_for_the_jobs_of_one_that_is_silent(scene: Scene) -> None:
    silent(scene, 2)
    fresh = scene.start(priority=9)

    def takes(room: int | None, **limits: Any) -> UUID | None:
        job = scene.store.claim(Wanted("w2", BOTH, room=room, **limits), LEASE_SECONDS, WORKER)
        return None if job is None else job.id

    assert [takes(0), takes(1), takes(2), takes(3)] == [None, None, None, fresh.id]


def test_no_place_is_kept_for_jobs_that_the_worker_could_not_take(scene: Scene) -> None:
    held = silent(scene, 2)
    fresh = scene.start(queue="night")
    scene.store.note_refusal(held[0], "w2", "not here")

    job = scene.store.claim(Wanted("w2", BOTH, queues={"night"}, room=1), LEASE_SECONDS, WORKER)
    assert job is not None
    assert job.id == fresh.id
    fresh = scene.start()
    job = scene.store.claim(Wanted("w2", BOTH, skip={held[1]}, room=1), LEASE_SECONDS, WORKER)
    assert job is not None
    assert job.id == fresh.id


def test_what_a_dead_worker_left_comes_before_what_nobody_has_begun_whatever_its_priority(scene: Scene) -> None:
    [left] = silent(scene, 1)
    fresh = scene.start(priority=1_000)
    scene.surroundings.wait(LEASE_SECONDS)

    taken = [scene.store.claim(Wanted("w2", BOTH, room=1), LEASE_SECONDS, WORKER) for _ in range(2)]

    assert [job and job.id for job in taken] == [left, fresh.id]


def test_a_worker_with_no_place_takes_over_and_begins_nothing(scene: Scene) -> None:
    [left] = silent(scene, 1)
    scene.start()
    scene.surroundings.wait(LEASE_SECONDS)

    taken = [scene.store.claim(Wanted("w2", BOTH, room=0), LEASE_SECONDS, WORKER) for _ in range(2)]

    assert [job and job.id for job in taken] == [left, None]
