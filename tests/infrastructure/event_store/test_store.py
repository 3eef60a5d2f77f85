"""What every job store promises to those who start, command, append and read."""

from dataclasses import replace
from uuid import UUID

import pytest
import sqlalchemy as sa

from milepost.domain.commands import (
    Advance,
    CancelJob,
    CompleteJob,
    OperatorCommand,
    RemoveJob,
    ReportFailure,
    ReportSuccess,
    ResumeJob,
    StartJob,
    StartStep,
)
from milepost.domain.errors import ClaimSuperseded, IllegalTransition, VersionMismatch
from milepost.domain.events import ErrorDetail, JobClaimed, JobStarted, JobStopped, JobStopRequested
from milepost.domain.job import Job, replay
from milepost.domain.state_machine import JobStatus
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.schema import commands, jobs, steps
from milepost.infrastructure.event_store.store import CommandReused, JobNotFound, Situation, StreamMoved
from tests.infrastructure.event_store.scene import OPERATOR, WORKER, Scene, stop

NOBODY = UUID(int=1)


def resume(situation: Situation) -> OperatorCommand:
    return ResumeJob()


def test_a_started_job_is_pending_and_its_first_event_says_who_started_it(scene: Scene) -> None:
    job = scene.start()

    (event,) = scene.store.history(job.id)
    assert job.status is JobStatus.PENDING
    assert isinstance(event.event, JobStarted)
    assert (event.version, replace(event.origin, correlation_id="")) == (1, OPERATOR)
    assert scene.store.load(job.id) == job


def test_all_that_follows_from_a_command_carries_its_correlation_id(scene: Scene) -> None:
    command = StartJob("Default", "import", {})
    job, _ = scene.store.start(command, OPERATOR, command_id="c-1")
    job = scene.succeed(scene.planned(scene.claimed(only=job.id)), 0)
    scene.stop(job.id, command_id="c-2")
    job = scene.store.catch_up(job)
    scene.do(job, Advance(job.claim))

    told = [(type(each.event).__name__, each.origin.correlation_id) for each in scene.store.history(job.id)]
    assert {name for name, correlation in told if correlation == "c-2"} == {"JobStopRequested", "JobStopped"}
    assert {correlation for _, correlation in told} == {"c-1", "c-2"}


def test_a_command_without_an_id_gets_one_of_its_own_to_correlate_by(scene: Scene) -> None:
    first, second = scene.start(), scene.start()

    (one,), (other,) = scene.store.history(first.id), scene.store.history(second.id)
    assert one.origin.correlation_id
    assert one.origin.correlation_id != other.origin.correlation_id


def test_a_job_that_nobody_started_is_at_version_0_and_has_no_history(scene: Scene) -> None:
    assert scene.store.load(NOBODY) == Job(NOBODY)
    assert list(scene.store.history(NOBODY)) == []


def test_a_key_that_a_live_job_has_gives_that_job_back(scene: Scene) -> None:
    first = scene.start(key="2013")
    command = StartJob("Default", "import", {}, key="2013")

    again, new = scene.store.start(command, OPERATOR)

    assert (again, new) == (first, False)


@pytest.mark.parametrize(("namespace", "job_type"), [("Default", "export"), ("Other", "import")])
def test_a_key_is_of_one_type_in_one_namespace(scene: Scene, namespace: str, job_type: str) -> None:
    first = scene.start(key="2013")

    assert scene.start(job_type, namespace, key="2013").id != first.id


def test_a_key_is_free_again_once_its_job_is_at_rest(scene: Scene) -> None:
    first = scene.start(key="2013")
    scene.stop(first.id)

    assert scene.start(key="2013").id != first.id


def test_a_start_with_the_same_command_id_gives_the_first_job_back_even_when_it_has_ended(scene: Scene) -> None:
    command = StartJob("Default", "import", {})
    first, new = scene.store.start(command, OPERATOR, command_id="c-1")
    scene.stop(first.id)

    again, new_again = scene.store.start(command, OPERATOR, command_id="c-1")

    assert (again.id, again.status, new, new_again) == (first.id, JobStatus.STOPPED, True, False)


@pytest.mark.parametrize(("job_type", "request_"), [("export", {}), ("import", {"months": [2]})])
def test_a_command_id_that_was_used_for_another_type_or_request_is_refused(
    scene: Scene, job_type: str, request_: dict[str, object]
) -> None:
    first, _ = scene.store.start(StartJob("Default", "import", {}), OPERATOR, command_id="c-1")

    with pytest.raises(CommandReused, match=f"StartJob, job {first.id}"):
        scene.store.start(StartJob("Default", job_type, request_), OPERATOR, command_id="c-1")


def test_a_command_id_is_of_one_namespace(scene: Scene) -> None:
    first, _ = scene.store.start(StartJob("A", "import", {}), OPERATOR, command_id="c-1")
    second, new = scene.store.start(StartJob("B", "import", {}), OPERATOR, command_id="c-1")

    assert new
    assert first.id != second.id


def test_a_stop_without_a_worker_stops_at_once(scene: Scene) -> None:
    job = scene.start()

    outcome = scene.stop(job.id)

    assert outcome.changed
    assert [type(event) for event in outcome.events] == [JobStopRequested, JobStopped]
    assert (outcome.before, outcome.job) == (job, scene.store.load(job.id))


def test_a_stop_of_a_job_that_a_live_worker_holds_is_only_asked_for(scene: Scene) -> None:
    job = scene.running()

    assert scene.stop(job.id).job.status is JobStatus.STOPPING


def test_a_stop_of_a_job_whose_worker_fell_silent_stops_at_once(scene: Scene) -> None:
    job = scene.do(scene.running(), StartStep(1, 0))
    scene.surroundings.wait(11)

    assert scene.stop(job.id).job.status is JobStatus.STOPPED


def test_a_command_on_a_job_of_another_namespace_does_not_find_it(scene: Scene) -> None:
    job = scene.start(namespace="Mine")

    with pytest.raises(JobNotFound) as refused:
        scene.stop(job.id, namespace="Yours")
    assert (refused.value.job_id, refused.value.namespace) == (job.id, "Yours")
    assert scene.store.load(job.id) == job


def test_a_command_on_a_job_that_does_not_exist_says_so(scene: Scene) -> None:
    with pytest.raises(JobNotFound):
        scene.stop(NOBODY)


def test_a_refused_command_writes_nothing(scene: Scene) -> None:
    job = scene.completed()

    with pytest.raises(IllegalTransition):
        scene.stop(job.id, command_id="c-1")
    assert scene.store.load(job.id) == job
    with scene.store.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(commands)) == 0


def test_a_command_for_a_version_that_is_over_is_refused(scene: Scene) -> None:
    job = scene.running()

    with pytest.raises(VersionMismatch) as refused:
        scene.store.execute("Default", job.id, stop, OPERATOR, expected_version=1)
    assert (refused.value.expected, refused.value.actual) == (1, job.version)


def test_a_command_for_the_present_version_is_taken(scene: Scene) -> None:
    job = scene.running()

    assert scene.store.execute("Default", job.id, stop, OPERATOR, expected_version=job.version).changed


def test_a_command_id_seen_before_changes_nothing_whatever_has_happened_since(scene: Scene) -> None:
    job = scene.start()
    scene.stop(job.id, command_id="c-1")
    resumed = scene.store.execute("Default", job.id, resume, OPERATOR).job

    outcome = scene.store.execute("Default", job.id, stop, OPERATOR, expected_version=1, command_id="c-1")

    assert (outcome.changed, outcome.job) == (False, resumed)


def test_a_command_that_changed_nothing_is_remembered_too(scene: Scene) -> None:
    job = scene.start()
    scene.stop(job.id)
    scene.stop(job.id, command_id="c-1")
    scene.store.execute("Default", job.id, resume, OPERATOR)

    assert scene.stop(job.id, command_id="c-1").job.status is JobStatus.PENDING


def test_a_command_id_used_for_another_job_is_refused(scene: Scene) -> None:
    first, second = scene.start(), scene.start()
    scene.stop(first.id, command_id="c-1")

    with pytest.raises(CommandReused) as refused:
        scene.stop(second.id, command_id="c-1")
    assert refused.value.job_id == first.id


def test_a_command_id_used_for_another_command_is_refused(scene: Scene) -> None:
    job, _ = scene.store.start(StartJob("Default", "import", {}), OPERATOR, command_id="c-1")
    scene.stop(job.id, command_id="c-2")

    with pytest.raises(CommandReused, match="StartJob"):
        scene.stop(job.id, command_id="c-1")
    with pytest.raises(CommandReused, match="StopJob"):
        scene.store.start(StartJob("Default", "import", {}), OPERATOR, command_id="c-2")


def test_a_dry_run_says_what_would_happen_and_writes_nothing(scene: Scene) -> None:
    job = scene.start()

    outcome = scene.store.execute("Default", job.id, stop, OPERATOR, command_id="c-1", dry_run=True)

    assert outcome.changed
    assert outcome.job.status is JobStatus.STOPPED
    assert scene.store.load(job.id) == job
    assert scene.stop(job.id, command_id="c-1").changed


def test_a_worker_that_lost_its_claim_cannot_append(scene: Scene) -> None:
    job = scene.running()
    scene.surroundings.wait(11)
    successor = scene.claimed("w2", only=job.id)

    with pytest.raises(StreamMoved) as refused:
        scene.succeed(job, 0)
    assert (refused.value.job_id, refused.value.version) == (job.id, job.version)
    assert scene.store.load(job.id) == successor


def test_a_worker_that_lost_its_claim_is_refused_when_it_has_caught_up(scene: Scene) -> None:
    job = scene.running()
    scene.surroundings.wait(11)
    scene.claimed("w2", only=job.id)

    with pytest.raises(ClaimSuperseded):
        Batch(scene.store.catch_up(job), WORKER, scene.surroundings).do(StartStep(job.claim, 0))


def test_an_operators_command_makes_the_workers_next_append_fail_and_is_what_it_then_reads(scene: Scene) -> None:
    job = scene.running()
    scene.stop(job.id)

    with pytest.raises(StreamMoved):
        scene.do(job, StartStep(job.claim, 0))
    assert scene.store.catch_up(job).status is JobStatus.STOPPING


def test_a_batch_that_fails_leaves_no_row_behind(scene: Scene) -> None:
    job = scene.running()
    scene.stop(job.id)
    before = rows_of(scene)

    with pytest.raises(StreamMoved):
        scene.succeed(job, 0)
    assert rows_of(scene) == before


def test_an_empty_batch_is_not_a_transaction(scene: Scene) -> None:
    job = scene.running()
    scene.stop(job.id)

    assert scene.store.append(Batch(job, WORKER, scene.surroundings)) is job


def test_a_batch_goes_into_the_history_in_its_order(scene: Scene) -> None:
    job = scene.running()

    after = scene.do(job, StartStep(1, 0), StartStep(1, 1), ReportSuccess(1, 1, 1, 0.5), ReportSuccess(1, 0, 1, 0.5))

    history = list(scene.store.history(job.id))
    assert [event.version for event in history] == list(range(1, after.version + 1))
    assert replay(job.id, history) == after == scene.store.load(job.id)
    assert [e.event for e in scene.store.history(job.id, after=job.version)] == [
        e.event for e in history[job.version :]
    ]


def test_a_history_longer_than_a_page_is_read_whole(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.infrastructure.event_store.streams.PAGE", 2)
    job = scene.succeed(scene.running(), 0, 1, 2)

    assert len(list(scene.store.history(job.id))) == job.version == 10
    assert scene.store.load(job.id) == job
    assert scene.stop(job.id).job.version == 11


def test_versions_are_those_of_the_streams_and_unknown_ids_are_left_out(scene: Scene) -> None:
    first, second = scene.running(), scene.start()

    assert scene.store.versions([first.id, second.id, NOBODY]) == {first.id: first.version, second.id: 1}
    assert scene.store.versions([]) == {}


def test_removing_a_job_keeps_its_history(scene: Scene) -> None:
    job = scene.completed()

    removed = scene.store.execute("Default", job.id, lambda situation: RemoveJob(), OPERATOR).job

    assert removed.status is JobStatus.REMOVED
    assert len(list(scene.store.history(job.id))) == job.version + 1


def test_cancelling_a_pending_job_takes_one_transaction(scene: Scene) -> None:
    job = scene.start()

    cancelled = scene.store.execute(
        "Default", job.id, lambda situation: CancelJob(situation.worker_alive, situation.reached), OPERATOR
    )

    assert cancelled.job.status is JobStatus.CANCELLED


def test_a_plan_made_anew_after_a_takeover_replaces_the_rows_of_the_first(scene: Scene) -> None:
    from milepost.domain.commands import PlanSteps
    from milepost.domain.events import PlannedStep

    job = scene.claimed(only=scene.start().id)
    scene.do(job, PlanSteps(job.claim, 0, tuple(PlannedStep(name=f"old-{n}") for n in range(3))))
    scene.surroundings.wait(11)
    second = scene.claimed("w2")
    scene.do(second, PlanSteps(second.claim, 0, (PlannedStep(name="new-0"),)))

    assert isinstance(list(scene.store.history(job.id))[-2].event, JobClaimed)
    with scene.store.database.read() as connection:
        assert connection.scalars(sa.select(steps.c.name).where(steps.c.job_id == str(job.id))).all() == ["new-0"]


def test_a_resume_and_a_cancel_change_the_rows_of_all_steps_that_they_concern(scene: Scene) -> None:
    job = scene.running(steps=2)
    job = scene.do(job, StartStep(1, 0), ReportFailure(1, 0, 1, 0.5, ErrorDetail(type="E", message="m")))
    job = scene.do(job, StartStep(1, 1), ReportSuccess(1, 1, 1, 0.5), CompleteJob(1))
    assert statuses(scene) == ["Failed", "Succeeded"]

    scene.store.execute("Default", job.id, resume, OPERATOR)
    assert statuses(scene) == ["Pending", "Succeeded"]

    scene.store.execute("Default", job.id, lambda situation: CancelJob(situation.worker_alive), OPERATOR)
    assert statuses(scene) == ["Cancelled", "Succeeded"]


def statuses(scene: Scene) -> list[str]:
    with scene.store.database.read() as connection:
        return list(connection.scalars(sa.select(steps.c.status).order_by(steps.c.step)))


def rows_of(scene: Scene) -> list[tuple[object, ...]]:
    with scene.store.database.read() as connection:
        return [tuple(row) for table in (jobs, steps) for row in connection.execute(sa.select(table))]
