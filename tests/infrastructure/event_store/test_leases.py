"""Who may run a job and until when, on every store."""

from uuid import UUID

import pytest
import sqlalchemy as sa

from milepost.domain.commands import (
    ClaimJob,
    CompleteJob,
    InterruptStep,
    ReleaseJob,
    ReportSuccess,
    ResumeJob,
    StartStep,
)
from milepost.domain.events import JobClaimed, Json, Progress, StepInterrupted
from milepost.domain.job import Job
from milepost.domain.state_machine import JobStatus, StepStatus
from milepost.infrastructure.event_store.checkpoints import checkpoints_of, save_checkpoint
from milepost.infrastructure.event_store.leases import CLAIM_TRIES
from milepost.infrastructure.event_store.schema import EVENTS_TABLE, checkpoints, jobs, leases, refusals
from milepost.infrastructure.event_store.store import ClaimOffer, StreamMoved, Wanted
from tests.infrastructure.event_store.scene import ANY, LEASE_SECONDS, OPERATOR, WORKER, Scene

BOTH = {"import": ClaimOffer(), "export": ClaimOffer()}
ONE_AT_ONCE = {"import": ClaimOffer(running=1), "export": ClaimOffer()}
ONE_PER_KEY = {"import": ClaimOffer(running_per_key=1)}


def test_an_idle_store_has_nothing_to_claim(scene: Scene) -> None:
    assert scene.claim() is None


def test_a_claimed_job_is_being_prepared_by_its_worker(scene: Scene) -> None:
    started = scene.start()

    job = scene.claimed("w1")

    assert (job.id, job.status, job.worker, job.claim) == (started.id, JobStatus.PREPARING, "w1", 1)
    assert scene.store.load(job.id) == job


def test_the_oldest_job_of_all_namespaces_comes_first(scene: Scene) -> None:
    started = [scene.start(namespace=namespace).id for namespace in ("B", "A", "B")]

    assert [scene.claimed().id for _ in started] == started


def test_the_oldest_job_of_all_types_comes_first(scene: Scene) -> None:
    started = [scene.start("import").id, scene.start("export").id, scene.start("import").id]

    assert [job.id for _ in started if (job := scene.claim(offers=BOTH))] == started


def test_a_job_that_is_held_cannot_be_claimed(scene: Scene) -> None:
    scene.start()
    scene.claimed("w1")

    assert scene.claim("w2") is None


def test_a_job_of_a_type_that_was_not_offered_is_not_claimed(scene: Scene) -> None:
    scene.start("export")

    assert scene.claim() is None


@pytest.mark.parametrize("wanted", [0, 1])
def test_only_the_job_that_was_asked_for_is_claimed(scene: Scene, wanted: int) -> None:
    started = [scene.start().id, scene.start().id]

    assert scene.claimed(only=started[wanted]).id == started[wanted]


def test_a_job_at_rest_is_not_claimed_even_when_asked_for(scene: Scene) -> None:
    job = scene.start()
    scene.stop(job.id)

    assert scene.claim(only=job.id) is None


def test_jobs_that_the_worker_skips_do_not_keep_others_waiting(scene: Scene) -> None:
    first, second = scene.start(), scene.start()

    job = scene.store.claim(Wanted("w1", ANY, skip={first.id}), LEASE_SECONDS, WORKER)

    assert job is not None
    assert job.id == second.id


def test_a_limit_counts_the_jobs_of_all_workers(scene: Scene) -> None:
    scene.start()
    scene.start()
    assert scene.claim("w1", ONE_AT_ONCE)

    assert scene.claim("w2", ONE_AT_ONCE) is None


def test_a_type_at_its_limit_does_not_keep_other_types_waiting(scene: Scene) -> None:
    scene.start()
    scene.start()
    other = scene.start("export")
    scene.claim("w1", ONE_AT_ONCE)

    job = scene.claim("w2", ONE_AT_ONCE)

    assert job is not None
    assert job.id == other.id


def test_a_key_at_its_limit_does_not_keep_other_keys_waiting(scene: Scene) -> None:
    scene.start(limit_key="JFK")
    scene.start(limit_key="JFK")
    other, without = scene.start(limit_key="LGA"), scene.start()
    scene.claim("w1", ONE_PER_KEY)

    claimed = [scene.claim("w2", ONE_PER_KEY), scene.claim("w2", ONE_PER_KEY), scene.claim("w2", ONE_PER_KEY)]

    assert [job and job.id for job in claimed] == [other.id, without.id, None]


def test_a_place_within_the_limit_is_free_again_when_the_job_has_ended(scene: Scene) -> None:
    scene.start()
    scene.start()
    job = scene.claim("w1", ONE_AT_ONCE)
    assert job is not None
    scene.do(job, ReleaseJob(job.claim))
    scene.stop(job.id)

    assert scene.claim("w2", ONE_AT_ONCE) is not None


def test_a_place_within_the_limit_is_free_again_when_the_lease_has_run_out(scene: Scene) -> None:
    first, second = scene.start(), scene.start()
    scene.claim("w1", ONE_AT_ONCE)
    scene.surroundings.wait(LEASE_SECONDS + 1)

    job = scene.claim("w2", ONE_AT_ONCE)

    assert job is not None
    assert job.id == first.id
    assert scene.store.load(second.id).status is JobStatus.PENDING


def test_a_lease_that_ran_out_is_taken_over(scene: Scene) -> None:
    job = scene.do(scene.running(), StartStep(1, 0))
    scene.surroundings.wait(LEASE_SECONDS + 1)

    taken = scene.claimed("w2")

    assert (taken.id, taken.worker, taken.claim) == (job.id, "w2", 2)
    assert taken.steps[0].status is StepStatus.PENDING
    assert [type(e.event) for e in scene.store.history(job.id, after=job.version)] == [StepInterrupted, JobClaimed]


def test_a_heartbeat_keeps_the_jobs_of_the_worker(scene: Scene) -> None:
    first, second = scene.running(), scene.running()
    scene.running(worker="w2")
    scene.surroundings.wait(LEASE_SECONDS - 1)

    assert scene.store.renew("w1", LEASE_SECONDS) == {first.id, second.id}
    scene.surroundings.wait(2)
    taken = scene.claimed("w3")
    assert taken.worker == "w3"
    assert scene.claim("w3") is None


def test_a_heartbeat_does_not_bring_back_a_job_that_was_taken_over(scene: Scene) -> None:
    scene.running()
    scene.surroundings.wait(LEASE_SECONDS + 1)
    scene.claimed("w2")

    assert scene.store.renew("w1", LEASE_SECONDS) == frozenset()


def test_a_late_heartbeat_keeps_a_job_that_nobody_took(scene: Scene) -> None:
    job = scene.running()
    scene.surroundings.wait(LEASE_SECONDS + 1)

    assert scene.store.renew("w1", LEASE_SECONDS) == {job.id}
    assert scene.claim("w2") is None


def test_a_worker_does_not_take_over_from_itself(scene: Scene) -> None:
    scene.running()
    scene.surroundings.wait(LEASE_SECONDS + 1)

    assert scene.claim("w1") is None


def test_a_job_that_its_worker_gave_back_is_there_for_the_next_at_once(scene: Scene) -> None:
    job = scene.running()
    scene.do(job, ReleaseJob(job.claim))

    assert scene.claimed("w2").id == job.id
    assert scene.store.renew("w1", LEASE_SECONDS) == frozenset()


def test_a_dropped_lease_leaves_no_trace_and_the_job_to_others(scene: Scene) -> None:
    job = scene.running()
    scene.store.drop_lease("w2", job.id)
    assert scene.claim("w2") is None

    scene.store.drop_lease("w1", job.id)

    assert scene.store.load(job.id) == job
    assert scene.claimed("w2").id == job.id


def test_no_lease_outlives_the_jobs_time_with_its_worker(scene: Scene) -> None:
    scene.completed()
    stopped = scene.running()
    scene.surroundings.wait(LEASE_SECONDS + 1)
    scene.stop(stopped.id)

    with scene.store.database.read() as connection:
        assert connection.execute(sa.select(leases)).all() == []


def test_of_two_workers_that_saw_the_same_job_one_gets_it(scene: Scene) -> None:
    job = scene.start()
    seen = scene.store.load(job.id)
    scene.claimed("w1")

    assert scene.claim("w2") is None
    with pytest.raises(StreamMoved):
        scene.do(seen, *claim_by("w2"))


def claim_by(worker: str) -> list[ClaimJob]:
    return [ClaimJob(worker)]


def test_what_a_dead_workers_step_committed_itself_is_where_its_successor_goes_on(scene: Scene) -> None:
    job = scene.do(scene.running(), StartStep(1, 0), StartStep(1, 1))
    reached = Progress(done=7, checkpoint="row 7")
    with scene.store.database.write() as connection:
        save_checkpoint(connection, job.id, 0, 1, reached, schema=scene.store.database.schema)
    assert committed(scene, job) == {0: reached}
    scene.surroundings.wait(LEASE_SECONDS + 1)

    taken = scene.claimed("w2")

    assert (taken.steps[0].progress, taken.steps[1].progress) == (reached, None)


def test_what_an_earlier_attempt_committed_does_not_take_a_later_one_back(scene: Scene) -> None:
    job = scene.do(scene.running(), StartStep(1, 0))
    with scene.store.database.write() as connection:
        save_checkpoint(connection, job.id, 0, 1, Progress(done=3), schema=scene.store.database.schema)
    job = scene.do(job, InterruptStep(1, 0, 1, "lost", Progress(done=5)), StartStep(1, 0))

    assert committed(scene, job) == {}


def test_what_steps_committed_themselves_goes_when_the_job_has_succeeded(scene: Scene) -> None:
    job = scene.do(scene.running(steps=1), StartStep(1, 0))
    with scene.store.database.write() as connection:
        save_checkpoint(connection, job.id, 0, 1, Progress(done=3), schema=scene.store.database.schema)
    scene.do(job, ReportSuccess(1, 0, 1, 0.5), CompleteJob(1))

    with scene.store.database.read() as connection:
        assert connection.execute(sa.select(checkpoints)).all() == []


def test_a_job_with_an_event_that_cannot_be_read_does_not_keep_others_waiting(scene: Scene) -> None:
    broken, other = scene.start(), scene.start()
    spoil(scene, broken.id)

    assert scene.claimed("w1").id == other.id
    assert scene.claim("w1") is None
    assert "newer" in why_not(scene, broken.id)


def test_a_job_whose_row_contradicts_its_history_does_not_keep_others_waiting(scene: Scene) -> None:
    broken, other = scene.start(), scene.start()
    scene.stop(broken.id)
    with scene.store.database.write() as connection:
        connection.execute(jobs.update().where(jobs.c.id == str(broken.id)).values(live=True, status="Pending"))

    assert scene.claimed("w1").id == other.id
    assert "Stopped" in why_not(scene, broken.id)


def committed(scene: Scene, job: Job) -> dict[int, Progress]:
    with scene.store.database.read() as connection:
        return checkpoints_of(connection, job)


def spoil(scene: Scene, job_id: UUID) -> None:
    columns = ("originator_id", "originator_version", "topic", "state")
    row: dict[str, object] = dict(zip(columns, (job_id.hex, 2, "milepost:JobPaused", b"{}"), strict=True))
    with scene.store.database.write() as connection:
        connection.execute(sa.table(EVENTS_TABLE, *map(sa.column, columns)).insert(), row)


def why_not(scene: Scene, job_id: UUID) -> str:
    with scene.store.database.read() as connection:
        found = connection.execute(sa.select(refusals.c.why).where(refusals.c.job_id == str(job_id)))
        return str(found.scalar_one())


def test_a_job_that_the_worker_does_not_accept_is_left_to_others_and_says_why(scene: Scene) -> None:
    refused, other = scene.start(), scene.start()

    def accepts(job_type: str, request: dict[str, Json]) -> str | None:
        return "months: too many"

    job = scene.store.claim(Wanted("w1", ANY, only=refused.id), LEASE_SECONDS, WORKER, accepts=accepts)

    assert job is None
    assert why_not(scene, refused.id) == "months: too many"
    assert scene.claimed("w1").id == other.id
    assert scene.claim("w1") is None
    assert scene.claimed("w2").id == refused.id


def test_a_worker_asks_itself_whether_it_takes_a_job_before_it_reads_the_history(scene: Scene) -> None:
    broken = scene.start()
    spoil(scene, broken.id)
    asked: list[tuple[str, dict[str, Json]]] = []

    def accepts(job_type: str, request: dict[str, Json]) -> str | None:
        asked.append((job_type, request))
        return "not here"

    assert scene.store.claim(Wanted("w1", ANY), LEASE_SECONDS, WORKER, accepts=accepts) is None
    assert asked == [("import", {"months": [1, 2]})]
    assert why_not(scene, broken.id) == "not here"


def test_a_worker_looks_at_few_jobs_at_once_and_comes_to_the_next_ones_by_and_by(scene: Scene) -> None:
    for _ in range(CLAIM_TRIES + 1):
        scene.start()
    asked = 0

    def accepts(job_type: str, request: dict[str, Json]) -> str | None:
        nonlocal asked
        asked += 1
        return "not here" if asked <= CLAIM_TRIES else None

    assert scene.store.claim(Wanted("w1", ANY), LEASE_SECONDS, WORKER, accepts=accepts) is None
    assert asked == CLAIM_TRIES
    assert scene.store.claim(Wanted("w1", ANY), LEASE_SECONDS, WORKER, accepts=accepts) is not None


def test_any_number_of_jobs_can_be_skipped(scene: Scene) -> None:
    job = scene.start()
    others = {UUID(int=n) for n in range(300_000)}  # more than SQLite takes parameters

    claimed = scene.store.claim(Wanted("w1", ANY, skip=others), LEASE_SECONDS, WORKER)

    assert claimed is not None
    assert claimed.id == job.id


def test_who_comes_too_late_for_a_job_gets_none(scene: Scene) -> None:
    job = scene.start()

    def another_is_faster(job_type: str, request: dict[str, Json]) -> None:
        scene.claimed("w2")

    assert scene.store.claim(Wanted("w1", ANY), LEASE_SECONDS, WORKER, accepts=another_is_faster) is None
    assert scene.store.load(job.id).worker == "w2"


def test_what_happens_between_the_look_and_the_claim_is_not_lost(scene: Scene) -> None:
    job = scene.start()

    def stopped_and_resumed(job_type: str, request: dict[str, Json]) -> None:
        scene.stop(job.id)
        scene.store.execute("Default", job.id, lambda situation: ResumeJob(), OPERATOR)

    claimed = scene.store.claim(Wanted("w1", ANY), LEASE_SECONDS, WORKER, accepts=stopped_and_resumed)

    assert claimed is not None
    assert claimed == scene.store.load(job.id)
    assert claimed.version == 5


def test_a_lease_from_before_the_clock_was_set_back_holds_no_longer_than_it_was_given_for(
    scene: Scene,
) -> None:
    scene.start()
    job = scene.claimed("w1")
    scene.surroundings.wait(-3_600)

    assert scene.claim("w2") is not None
    assert scene.store.catch_up(job).worker == "w2"


def test_clocks_that_are_a_little_apart_end_no_lease(scene: Scene) -> None:
    scene.start()
    scene.claimed("w1")
    scene.surroundings.wait(-3)

    assert scene.claim("w2") is None
