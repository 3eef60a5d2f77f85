"""A job as it was: at each version and time it is what was seen then, and no other moment is made up."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from milepost.domain.envelope import RecordedEvent
from milepost.domain.events import JobEvent
from milepost.domain.job import Job
from milepost.infrastructure.event_store import snapshots
from milepost.infrastructure.event_store.batch import Batch
from milepost.infrastructure.event_store.database import open_database
from milepost.infrastructure.event_store.job_filter import ALL_JOBS, JobFilter
from milepost.infrastructure.event_store.job_not_found import JobPruned
from milepost.infrastructure.event_store.past import NotBegun, VersionUnknown
from milepost.infrastructure.event_store.past_jobs import past_page
from milepost.infrastructure.event_store.read_models import job_row, step_row
from milepost.infrastructure.event_store.schema import jobs, status_changes, steps
from milepost.infrastructure.event_store.store import JobStore
from milepost.infrastructure.event_store.streams import CLOCK_SLACK
from tests.domain.test_job_machine import JobMachine
from tests.infrastructure.audit.pruned import half_pruned, prune
from tests.infrastructure.event_store.scene import OPERATOR, Scene, Surroundings

MORE: Final = 100 if os.environ.get("MILEPOST_PROOFS") == "full" else 1
ONE_BY_ONE: Final = settings(max_examples=10 * MORE, stateful_step_count=30, deadline=None)
Seen = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]


class PastMachine(JobMachine):
    """The same stories of one job, each event appended to a store as it happens, and the rows looked at after each."""

    def __init__(self) -> None:
        super().__init__()
        self.surroundings = Surroundings()
        self.store = JobStore(open_database("sqlite://"), self.surroundings)
        self.stored = Job(self.job.id)
        self.seen: list[Seen] = []
        self.times: list[datetime] = []

    def see(self, event: JobEvent) -> None:
        super().see(event)
        self.surroundings.wait(1)
        batch = Batch(self.stored, OPERATOR, self.surroundings)
        new_id, now = self.surroundings.new_id(), self.surroundings.now()
        batch.take(RecordedEvent(self.stored.id, self.stored.version + 1, new_id, now, OPERATOR, event))
        self.stored = self.store.append(batch)
        self.times.append(batch.recorded[0].recorded_at)
        self.seen.append(rows_of(self.store, self.stored.id))

    def teardown(self) -> None:
        try:
            if self.seen and len(self.seen) % 2:
                self.store.take_snapshot(self.store.as_of(self.stored.id, version=len(self.seen) // 2 + 1))
            for version, (seen, at) in enumerate(zip(self.seen, self.times, strict=True), start=1):
                assert rows_then(self.store, self.store.as_of(self.stored.id, version=version)) == seen
                assert self.store.as_of(self.stored.id, at=at).version == version
                assert self.store.as_of(self.stored.id, at=at + timedelta(milliseconds=900)).version == version
                listed = past_page(self.store.database, "Default", JobFilter((seen[0]["status"],)), at, limit=1)
                assert [row["id"] for row in listed.rows] == [str(self.stored.id)]
        finally:
            self.store.database.close()


def rows_of(store: JobStore, job_id: UUID) -> Seen:
    """What is shown of a job now."""
    with store.database.read() as connection:

        def found(table: sa.Table, key: str) -> list[dict[str, Any]]:
            chosen = sa.select(table).where(table.c[key] == str(job_id)).order_by(*table.primary_key.columns)
            return [dict(row) for row in connection.execute(chosen).mappings()]

        return found(jobs, "id")[0], found(steps, "job_id"), found(status_changes, "job_id")


def rows_then(store: JobStore, job: Job) -> Seen:
    """What was shown of it, as its history tells."""
    _, _, changes = rows_of(store, job.id)
    planned = [step_row(str(job.id), job.steps[index]) for index in range(job.total)]
    return job_row(job), planned, [change for change in changes if change["version"] <= job.version]


def test_at_each_version_and_time_a_job_is_what_was_seen_then() -> None:
    run_state_machine_as_test(PastMachine, settings=ONE_BY_ONE)


def test_a_version_that_is_none_is_refused_with_the_newest(scene: Scene) -> None:
    job = scene.completed()

    with pytest.raises(VersionUnknown) as told:
        scene.store.as_of(job.id, version=job.version + 1)

    assert told.value.newest == job.version
    assert scene.store.as_of(job.id, version=0) == Job(job.id)


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_pruned_job_has_no_past_also_where_its_prune_is_not_finished(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    job, at = half_pruned(scene, monkeypatch, parts), scene.surroundings.now()
    moments: list[dict[str, Any]] = [{"version": 1}, {"version": job.version}, {"version": 99}, {"at": at}]
    for _ in ("half-way", "whole"):
        for moment in moments:
            with pytest.raises(JobPruned, match="was pruned at"):
                scene.store.as_of(job.id, **moment)
        prune(scene)


def test_a_time_before_the_job_is_refused_with_its_beginning(scene: Scene) -> None:
    before = scene.surroundings.at
    job = scene.start()

    with pytest.raises(NotBegun) as told:
        scene.store.as_of(job.id, at=before)

    assert told.value.began == job.created_at


def test_the_first_of_all_times_is_before_a_job_that_has_a_snapshot(scene: Scene) -> None:
    job = scene.completed()
    scene.store.take_snapshot(job)

    with pytest.raises(NotBegun):
        scene.store.as_of(job.id, at=datetime.min.replace(tzinfo=UTC))


def test_a_history_is_cut_at_the_first_event_that_is_later_though_a_clock_was_set_back(scene: Scene) -> None:
    job = scene.running()
    scene.surroundings.wait(30)
    job = scene.succeed(job, 0)
    scene.surroundings.wait(-20)
    later = scene.succeed(job, 1)

    assert scene.store.as_of(job.id, at=scene.surroundings.at).version == 4
    assert scene.store.as_of(job.id, version=later.version) == later


def test_a_snapshot_from_before_that_moment_is_where_the_fold_begins(scene: Scene) -> None:
    job = scene.succeed(scene.running(), 0)
    scene.store.take_snapshot(job)
    scene.surroundings.wait(120)
    at = scene.surroundings.at
    scene.surroundings.wait(1)
    later = scene.succeed(job, 1)
    with scene.store.database.write() as connection:  # a fold that begins before it would fail
        connection.exec_driver_sql("DELETE FROM milepost_events WHERE originator_version < 3")
        assert snapshots.newest_version(connection, job.id) == job.version

    assert scene.store.as_of(job.id, at=at) == job
    assert scene.store.as_of(job.id, version=later.version) == later


def test_jobs_of_a_time_are_those_that_there_were_with_the_status_of_then(scene: Scene) -> None:
    removed = scene.start()
    stopped = scene.start()
    scene.surroundings.wait(10)
    at = scene.surroundings.at
    scene.surroundings.wait(10)
    scene.stop(removed.id)
    scene.stop(stopped.id)
    later = scene.start()

    def then(
        meant: JobFilter = ALL_JOBS, *, when: datetime = at, limit: int = 9, after: str | None = None
    ) -> list[str]:
        page = past_page(scene.store.database, "Default", meant, when, limit=limit, after=after)
        return [row["id"] for row in page.rows]

    assert then() == [str(stopped.id), str(removed.id)]
    assert then(limit=1) == [str(stopped.id)]
    assert then(after=str(stopped.id)) == [str(removed.id)]
    assert then(JobFilter(("Stopped",))) == []
    assert then(JobFilter(("Pending",), live=True)) == [str(stopped.id), str(removed.id)]
    assert then(JobFilter(until=removed.created_at)) == []
    assert then(JobFilter(since=stopped.created_at)) == [str(stopped.id)]
    assert then(JobFilter(("Pending",)), when=scene.surroundings.at + CLOCK_SLACK) == [str(later.id)]
    assert then(when=at - timedelta(hours=1)) == []


def test_a_removed_job_is_listed_as_of_before_it_was_removed(scene: Scene) -> None:
    from milepost.domain.commands import RemoveJob

    job = scene.completed()
    scene.surroundings.wait(1)
    at = scene.surroundings.at
    scene.surroundings.wait(1)
    scene.store.execute("Default", job.id, lambda _: RemoveJob(), OPERATOR)
    scene.surroundings.wait(CLOCK_SLACK.total_seconds())

    def listed(when: datetime, *statuses: str) -> int:
        return len(past_page(scene.store.database, "Default", JobFilter(statuses), when, limit=9).rows)

    assert (listed(at), listed(at, "Removed")) == (1, 0)
    assert (listed(scene.surroundings.at), listed(scene.surroundings.at, "Removed")) == (0, 1)


def test_times_of_a_filter_are_those_of_any_zone(scene: Scene) -> None:
    from datetime import timezone

    from milepost.infrastructure.event_store.queries import JobQueries

    job = scene.start()
    assert job.created_at is not None
    elsewhere = job.created_at.astimezone(timezone(timedelta(hours=-9)))

    found = JobQueries(scene.store.database).page("Default", JobFilter(since=elsewhere), limit=9)

    assert [row["id"] for row in found.rows] == [str(job.id)]
