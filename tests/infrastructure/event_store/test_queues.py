"""In which order jobs are taken, and from which queues, on every store."""

from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost.domain.queues import PriorityInvalid, QueueInvalid
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.queries import JobQueries
from milepost.infrastructure.event_store.store import ClaimOffer, JobStore, WorkerRecord
from tests.infrastructure.event_store.scene import LEASE_SECONDS, WORKER, Scene, Surroundings

BOTH = {"import": ClaimOffer(), "export": ClaimOffer()}
Waiting = tuple[str, str, int]  # type, queue, priority


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    waiting=st.lists(
        st.tuples(st.sampled_from(["import", "export"]), st.sampled_from(["a", "b", "c"]), st.integers(-2, 2)),
        max_size=12,
    ),
    queues=st.none() | st.sets(st.sampled_from("abc"), min_size=1),
)
def test_jobs_are_taken_by_priority_and_then_by_age_over_all_types_and_queues(
    waiting: list[Waiting], queues: set[str] | None
) -> None:
    surroundings = Surroundings()
    database = open_database("sqlite://")
    scene = Scene(JobStore(database, surroundings), surroundings)
    started = [scene.start(of_type, queue=queue, priority=priority) for of_type, queue, priority in waiting]

    taken: list[UUID] = []
    while (job := scene.store.claim("w1", BOTH, LEASE_SECONDS, WORKER, queues=queues)) is not None:
        taken.append(job.id)

    due = [job for job in started if queues is None or job.facts.queue in queues]
    assert taken == [job.id for job in sorted(due, key=lambda job: (-job.facts.priority, job.id))]
    database.close()


def test_a_higher_priority_is_taken_first_and_a_queue_that_is_not_asked_for_is_left(scene: Scene) -> None:
    older, urgent, elsewhere = scene.start(), scene.start(priority=5), scene.start(queue="night", priority=9)

    def take(queues: set[str] | None) -> object:
        job = scene.store.claim("w1", BOTH, LEASE_SECONDS, WORKER, queues=queues)
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


def test_a_lease_that_has_just_run_out_is_left_alone_for_as_long_as_was_said(scene: Scene) -> None:
    job = scene.running()
    scene.surroundings.wait(LEASE_SECONDS + 1)

    def take(after: float | None) -> object:
        told: list[str] = []
        found = scene.store.claim(
            "w2", BOTH, LEASE_SECONDS, WORKER, takeover_after=after, took_over=lambda: told.append("took over")
        )
        return found and (found.id, told)

    assert [take(None), take(2.0), take(0.5)] == [None, None, (job.id, ["took over"])]
